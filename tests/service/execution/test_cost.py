"""The memory that is held for a request, before it has run."""

from dataclasses import replace

import numpy as np
import pytest
from mcdrop_service.errors import TooLargeError
from mcdrop_service.execution.cost import kind_of, pieces_of, size_bytes, unit_bytes
from mcdrop_service.execution.engine import FIRST_BLOCKS
from mcdrop_service.execution.servable import Lane
from mcdrop_service.facts import BLOCK, OutputFacts, PredictionRequest

from mcdrop.engine import masks
from mcdrop.settings import LEAST_SAMPLES
from tests.service.models import facts

ROWS, PIXELS, LENGTH = 3, 64 * 64, 50


def request(n_samples: int = 40) -> PredictionRequest:
    return PredictionRequest({"x": np.zeros((ROWS, LENGTH), np.float32)}, ROWS, n_samples, 0, ("mean",))


def test_a_model_whose_answers_are_pictures_costs_what_its_samples_take() -> None:
    pictures = replace(facts(), tensors=(OutputFacts("mean", "float32", (21, 64, 64)),))
    each = unit_bytes(pictures, request())
    assert each - unit_bytes(replace(facts(), tensors=()), request()) == 16 * 21 * PIXELS * 4
    assert size_bytes(request(), 3 * each, 10**12) == ROWS * LENGTH * 4 + ROWS * 3 * each


def test_an_answer_with_quantiles_is_reckoned_to_be_made_in_tiles_of_its_rows() -> None:
    lane, quantiles = Lane(1, 2, mixes=True), replace(request(), quantiles=(0.5,))
    assert (pieces_of(request(), lane), pieces_of(quantiles, lane)) == (0, 2)
    assert pieces_of(request(), replace(lane, apart=True)) == 2


def test_pieces_are_of_one_kind_where_levels_blocks_and_rows_differ_by_less_than_a_factor_of_two() -> None:
    def kind(levels: int, n_samples: int, rows: int = 8) -> tuple[int, int, int]:
        asked = replace(request(n_samples), quantiles=(0.5,) * levels, rows=rows)
        return kind_of(asked, Lane(1, 16, mixes=True))

    assert kind(64, 256) == kind(100, 384, 15)
    assert kind(2, 256, 16) == kind(2, 256, 1000)  # a piece has 16 rows
    assert len({kind(2, 256), kind(100, 256), kind(2, 512), kind(0, 256), kind(2, 256, 4)}) == 5


def test_a_length_that_varies_is_that_of_the_inputs() -> None:
    tokens = replace(facts(), tensors=(OutputFacts("mean", "float64", (-1, 7)),))
    fixed = replace(facts(), tensors=(OutputFacts("mean", "float64", (LENGTH, 7)),))
    assert unit_bytes(tokens, request()) == unit_bytes(fixed, request())


def test_what_would_not_fit_if_it_were_alone_is_too_large_and_not_asked_to_come_back() -> None:
    size = size_bytes(request(), 1000, 10**12)
    assert size_bytes(request(), 1000, size) == size
    with pytest.raises(TooLargeError, match=f"about {size} bytes of memory.*fewer rows or samples"):
        size_bytes(request(), 1000, size - 1)


def test_a_block_and_the_first_blocks_are_the_librarys() -> None:
    assert request().blocks == 3
    assert (BLOCK, FIRST_BLOCKS * BLOCK) == (masks.BLOCK, LEAST_SAMPLES)
