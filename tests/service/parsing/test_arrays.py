"""Arrays from nested lists."""

from typing import Any

import numpy as np
import numpy.typing as npt
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from mcdrop_service.errors import BadRequestError
from mcdrop_service.facts import InputFacts
from mcdrop_service.parsing.arrays import array_from_nested

from tests.service.models import PIXELS, TABLE

SHAPES = hnp.array_shapes(min_dims=1, max_dims=4, max_side=4)
FINITE = {"allow_nan": False, "allow_infinity": False}


@given(hnp.arrays(np.float32, SHAPES, elements=FINITE))
def test_a_float32_array_survives_json_to_the_last_bit(array: npt.NDArray[np.float32]) -> None:
    nested = orjson.loads(orjson.dumps(array, option=orjson.OPT_SERIALIZE_NUMPY))
    read = array_from_nested(nested, InputFacts("x", "float32", array.shape[1:]))
    assert read.dtype == np.float32
    assert read.tobytes() == array.tobytes()


@given(hnp.arrays(np.int64, SHAPES))
def test_a_whole_number_array_survives_json_exactly(array: npt.NDArray[np.int64]) -> None:
    read = array_from_nested(array.tolist(), InputFacts("x", "int64", array.shape[1:]))
    assert read.dtype == np.int64
    assert read.tobytes() == array.tobytes()


@given(hnp.arrays(np.bool_, SHAPES))
def test_a_boolean_array_survives_json_exactly(array: npt.NDArray[np.bool_]) -> None:
    read = array_from_nested(array.tolist(), InputFacts("x", "bool", array.shape[1:]))
    assert read.dtype == np.bool_
    assert (read == array).all()


def test_whole_numbers_will_do_where_floats_are_wanted() -> None:
    assert array_from_nested([[1, 2, 3]], TABLE).tolist() == [[1.0, 2.0, 3.0]]


def test_whole_numbers_beyond_2_to_53_keep_every_digit() -> None:
    value = [[2**64 - 1], [1]]
    assert array_from_nested(value, InputFacts("x", "uint64", (1,))).tolist() == value


@pytest.mark.parametrize(("shape", "layout"), [((), r"\(N,\)"), ((-1, 2), r"\(N, any, 2\)")])
def test_a_refusal_tells_the_shape_that_was_wanted(shape: tuple[int, ...], layout: str) -> None:
    with pytest.raises(BadRequestError, match=f"x must be {layout}, got shape"):
        array_from_nested([[1]], InputFacts("x", "float32", shape))


def test_any_length_will_do_where_the_model_says_so() -> None:
    tokens = InputFacts("tokens", "int64", (-1,))
    assert array_from_nested([[1, 2], [3, 4]], tokens).shape == (2, 2)
    assert array_from_nested([[1]], tokens).shape == (1, 1)


@pytest.mark.parametrize(
    ("value", "came"),
    [
        ([[1, 2]], r"must be \(N, 3\), got shape \(1, 2\)"),
        ([1, 2, 3], r"must be \(N, 3\), got shape \(3,\)"),
        ([[[1, 2, 3]]], r"must be \(N, 3\), got shape \(1, 1, 3\)"),
        (1.5, r"must be \(N, 3\), got no list"),
        ("abc", r"must be \(N, 3\), got no list"),
        (None, r"must be \(N, 3\), got no list"),
        ({"x": [[1, 2, 3]]}, r"must be \(N, 3\), got no list"),
        ([], "at least one row, got none"),
        ([[]], r"must be \(N, 3\), got shape \(1, 0\)"),
        ([{"a": 1, "b": 2, "c": 3}], r"must be \(N, 3\), got objects: give the numbers of a row in a list"),
        ([[1, 2, 3], [1, 2]], "ragged: .* lengths 2 to 3 at depth 1"),
        ([[1, 2, 3], 4], "ragged: .* at depth 1"),
        ([4, [1, 2, 3]], r"must be \(N, 3\), got shape \(2,\)"),
        ([[1, 2, "3"]], "numbers only, got a string in row 0$"),
        ([[1, 2, 3], [1, 2, True]], "numbers only, got true or false in row 1$"),
        ([[1, 2, None]], "numbers only, got null in row 0"),
        ([[1, 2, {}]], "numbers only, got an object in row 0"),
        ([[1, 2, [3]]], "numbers only, got a list in row 0"),
        ([[1, 2, 1e39]], "does not fit float32"),
    ],
)
def test_what_is_not_rows_of_three_numbers_is_refused(value: Any, came: str) -> None:
    with pytest.raises(BadRequestError, match=came):
        array_from_nested(value, TABLE)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@given(st.integers(-3, 3), st.booleans())
def test_a_number_fits_a_dtype_if_it_is_rounded_to_a_finite_one(
    dtype: str, steps: int, negative: bool
) -> None:
    limits = np.finfo(dtype)
    half_step = (float(limits.max) - float(np.nextafter(limits.max, limits.dtype.type(0)))) / 2
    number = np.float64(float(limits.max) + half_step)  # where those end that are rounded down
    for _ in range(abs(steps)):
        number = np.nextafter(number, np.float64(steps * np.inf))
    number = -number if negative else number
    with np.errstate(over="ignore"):
        rounded = number.astype(dtype)
    wanted = InputFacts("x", dtype, (2,))
    if np.isfinite(rounded):
        assert array_from_nested([[0.0, float(number)]], wanted).tolist() == [[0.0, float(rounded)]]
    else:
        with pytest.raises(BadRequestError, match=f"does not fit {dtype}"):
            array_from_nested([[0.0, float(number)]], wanted)


@pytest.mark.parametrize(("dtype", "bits"), [("int8", 7), ("int32", 31), ("uint8", 8), ("uint32", 32)])
def test_the_ends_of_a_whole_dtype_fit_and_what_is_beyond_does_not(dtype: str, bits: int) -> None:
    wanted = InputFacts("x", dtype, (1,))
    low, high = (0 if dtype[0] == "u" else -(2**bits)), 2**bits - 1
    assert array_from_nested([[low], [high]], wanted).tolist() == [[low], [high]]
    for beyond in (low - 1, high + 1):
        with pytest.raises(BadRequestError, match=f"does not fit {dtype}"):
            array_from_nested([[beyond], [0]], wanted)


@pytest.mark.parametrize(
    ("value", "came"),
    [
        ([[1.0]], "whole numbers only, got the number 1.0"),
        ([[2**63]], "does not fit int8"),
        ([[300]], "does not fit int8"),
    ],
)
def test_what_is_not_a_small_whole_number_is_refused(value: Any, came: str) -> None:
    with pytest.raises(BadRequestError, match=came):
        array_from_nested(value, InputFacts("x", "int8", (1,)))


@pytest.mark.parametrize("depth", [5, 16, 17, 100])
def test_lists_nested_too_deeply_are_refused(depth: int) -> None:
    value: Any = 1.0
    for _ in range(depth):
        value = [value]
    with pytest.raises(BadRequestError, match=r"image must be \(N, 1, 2, 2\)"):
        array_from_nested(value, PIXELS)


NESTED = st.recursive(
    st.integers() | st.floats() | st.booleans() | st.none() | st.text(max_size=2),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner, max_size=2),
    max_leaves=12,
)


@given(NESTED, st.sampled_from(["float16", "float32", "float64", "int8", "int64", "uint8", "bool"]))
def test_anything_at_all_gives_a_right_array_or_a_refusal(value: Any, dtype: str) -> None:
    try:
        array = array_from_nested(value, InputFacts("x", dtype, (-1,)))
    except BadRequestError:
        return
    assert array.ndim == 2
    assert array.dtype == dtype
    assert np.isfinite(array).all()
    assert array.shape == (len(value), len(value[0]))
