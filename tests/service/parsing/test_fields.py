"""How many samples: a number, or `auto` with its tolerance, as the library has it."""

import math
import re
from typing import Any

import pytest
from mcdrop_service.errors import BadRequestError
from mcdrop_service.parsing.fields import LEAST_AUTO, MOST_AUTO, RequestLimits, SampleCount, sample_count_of

from mcdrop.settings import LEAST_SAMPLES, MOST_SAMPLES
from tests.service.models import facts

AUTO = {"n_samples": "auto", "tolerance": 0.01}
LIMITS = RequestLimits(max_n_samples=2000)


def test_the_bounds_of_auto_are_the_librarys() -> None:
    assert (LEAST_AUTO, MOST_AUTO) == (LEAST_SAMPLES, MOST_SAMPLES)
    assert RequestLimits().max_n_samples == MOST_SAMPLES


def test_a_row_takes_at_most_what_the_library_has_it_take_or_the_service_allows() -> None:
    assert sample_count_of(AUTO, facts(), LIMITS) == SampleCount(1024, 0.01)
    assert sample_count_of(AUTO, facts(), RequestLimits(max_n_samples=500)) == SampleCount(500, 0.01)
    assert sample_count_of({**AUTO, "max_samples": 2000}, facts(), LIMITS) == SampleCount(2000, 0.01)


@pytest.mark.parametrize(
    ("said", "came"),
    [
        ({"n_samples": "auto"}, "needs tolerance, the standard error of the mean at which a row stops"),
        ({"tolerance": 0.01}, "tolerance belongs to n_samples='auto', got no n_samples"),
        ({"n_samples": 64, "tolerance": 0.01}, "tolerance belongs to n_samples='auto', got 64"),
        ({"n_samples": 64, "max_samples": 128}, "max_samples belongs to n_samples='auto', got 64"),
        (
            {"n_samples": "automatic", "tolerance": 1},
            "n_samples='auto', got 'automatic'",
        ),
        ({"n_samples": "AUTO"}, "from 2 to 2000 or 'auto', got 'AUTO'"),
        *(
            (
                {**AUTO, "tolerance": value},
                f"tolerance must be a positive number, in units of the mean, got {re.escape(repr(value))}$",
            )
            for value in (0, -0.1, math.inf, math.nan, "0.01", True, None, [0.01])
        ),
        *(
            ({**AUTO, "max_samples": value}, "max_samples must be a whole number from 32 to 2000, got")
            for value in (31, 2001, 64.0, "64", True, None)
        ),
    ],
)
def test_what_is_no_number_of_samples_is_refused_in_words(said: dict[str, Any], came: str) -> None:
    with pytest.raises(BadRequestError, match=came):
        sample_count_of(said, facts(), LIMITS)


def test_a_service_that_allows_fewer_than_auto_takes_says_so() -> None:
    assert sample_count_of(AUTO, facts(), RequestLimits(max_n_samples=32)) == SampleCount(32, 0.01)
    with pytest.raises(BadRequestError, match="takes at least 32 samples, and this service at most 16"):
        sample_count_of(AUTO, facts(), RequestLimits(max_n_samples=16))
