"""From what the user has to the bytes that the model takes."""

import numpy as np
import pytest
from mcdrop_service.client.description import InputDescription
from mcdrop_service.client.question import Question, _array

from mcdrop.errors import InputError, OptionError


@pytest.mark.parametrize(
    ("numbers", "dtype"), [([0, 255], "uint8"), ([-(2**31), 2**31 - 1], "int32"), ([0, 65535], "uint16")]
)
def test_whole_numbers_become_those_that_the_model_takes_if_they_fit(numbers: list[int], dtype: str) -> None:
    wanted = InputDescription("x", dtype, (-1, 2))
    found = _array([numbers], wanted)
    assert (found.dtype, found.tolist()) == (np.dtype(dtype), [numbers])
    for beyond in (numbers[0] - 1, numbers[1] + 1):
        with pytest.raises(InputError, match=f"x holds a number that does not fit {dtype}"):
            _array([[beyond, 0]], wanted)


def test_a_misspelt_option_is_not_passed_over() -> None:
    with pytest.raises(OptionError, match="unknown option 'nsamples'; known are version, n_samples, "):
        Question.of([[1.0]], {"nsamples": 3})  # type: ignore[typeddict-unknown-key]
