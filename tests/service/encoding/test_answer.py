"""Answers as JSON bytes."""

import json
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from mcdrop_service.encoding import encode_answer, encode_document, encode_error
from mcdrop_service.encoding.answer import for_json
from mcdrop_service.errors import ModelFaultError
from mcdrop_service.facts import PredictionAnswer

from tests.service.models import facts

SHAPES = hnp.array_shapes(min_dims=1, max_dims=3, max_side=4)


def encoded(**outputs: npt.NDArray[Any]) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(encode_answer(PredictionAnswer(facts(), 64, 7, outputs)))
    return document


FLOATS = st.sampled_from([np.float16, np.float32, np.float64]).flatmap(
    lambda dtype: hnp.arrays(dtype, SHAPES, elements={"allow_nan": False, "allow_infinity": False})
)


@given(FLOATS)
def test_every_float_reads_back_to_the_last_bit_in_its_own_dtype(array: npt.NDArray[Any]) -> None:
    read = np.array(encoded(mean=array)["outputs"]["mean"], dtype=np.float64).astype(array.dtype)
    assert read.tobytes() == array.tobytes()


def test_random_bit_patterns_read_back_to_the_last_bit() -> None:
    bits = np.random.default_rng(0).integers(0, 2**32, 100_000, dtype=np.uint32).view(np.float32)
    array = bits[np.isfinite(bits)]
    read = np.array(encoded(mean=array)["outputs"]["mean"]).astype(np.float32)
    assert read.tobytes() == array.tobytes()


def test_numbers_are_the_shortest_decimals_of_their_dtype() -> None:
    answer = PredictionAnswer(facts(), 64, 7, {"mean": np.array([0.1, 2 / 3], dtype=np.float32)})
    assert b'"mean":[0.1,0.6666667]' in encode_answer(answer)


def test_an_array_in_any_layout_is_written_in_order_of_rows() -> None:
    array = np.arange(6, dtype=np.int64).reshape(2, 3).T
    assert encoded(label=array)["outputs"]["label"] == [[0, 3], [1, 4], [2, 5]]


def test_the_answer_says_what_replays_it() -> None:
    document = encoded(mean=np.zeros(1))
    assert {**document, "outputs": None} == {
        "model": "toy",
        "version": "1",
        "digest": "sha256:00",
        "fingerprint": "0123456789abcdef",
        "n_samples": 64,
        "seed": 7,
        "notes": [],
        "outputs": None,
    }


def test_rows_that_stopped_at_a_tolerance_say_how_much_each_took() -> None:
    outputs = {"samples_taken": np.array([32, 48]), "converged": np.array([True, False])}
    document = json.loads(encode_answer(PredictionAnswer(facts(), 48, 7, outputs, tolerance=0.01)))
    assert document["outputs"] == {"samples_taken": [32, 48], "converged": [True, False]}
    replays = {name: document[name] for name in ("n_samples", "tolerance", "max_samples", "seed")}
    assert replays == {"n_samples": "auto", "tolerance": 0.01, "max_samples": 48, "seed": 7}


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_number_that_is_not_finite_is_an_error_and_never_null(value: float) -> None:
    array = np.array([[1.0, value], [value, 2.0]], dtype=np.float32)
    with pytest.raises(ModelFaultError, match="std is not finite in 2 of 4 numbers"):
        encode_answer(PredictionAnswer(facts(), 64, 7, {"std": array}))


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("size", [1, 10_000, 100_000])
def test_one_number_that_is_not_finite_is_found_in_arrays_of_any_size(size: int, dtype: type[Any]) -> None:
    array = np.zeros(size, dtype)
    array[-1] = np.nan
    outputs = {"std": np.zeros(2), "mean": array}
    with pytest.raises(ModelFaultError, match=f"mean is not finite in 1 of {size} numbers"):
        encode_answer(PredictionAnswer(facts(), 64, 7, outputs))


def test_a_text_may_say_null() -> None:
    answer = PredictionAnswer(facts(), 64, 7, {"mean": np.zeros(1)}, notes=("null",))
    assert json.loads(encode_answer(answer))["notes"] == ["null"]


@given(st.text())
def test_any_message_makes_an_error_body(message: str) -> None:
    assert set(json.loads(encode_error(message))) == {"error"}


def test_a_message_with_half_a_surrogate_still_makes_an_error_body() -> None:
    assert json.loads(encode_error("\udc80")) == {"error": "\\udc80"}


def test_a_document_is_plain_json() -> None:
    assert encode_document({"ready": True}) == b'{"ready":true}'


@pytest.mark.parametrize("shape", [(100_000,), (20_000, 3), (2, 50_000), (3, 2, 20_000)])
def test_a_long_array_is_written_in_pieces_as_in_one(shape: tuple[int, ...]) -> None:
    array = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    written = for_json(array)
    assert isinstance(written, orjson.Fragment)
    assert orjson.dumps(written) == orjson.dumps(array, option=orjson.OPT_SERIALIZE_NUMPY)
