"""Long arrays are read in pieces, and come to what they would come to in one."""

import json
import math
from typing import Any

import numpy as np
import orjson
import pytest
from mcdrop_service.errors import BadRequestError
from mcdrop_service.facts import InputFacts
from mcdrop_service.parsing.arrays import array_from_nested, array_from_values
from mcdrop_service.parsing.document import decode_object
from mcdrop_service.parsing.long_numbers import LONG, LongNumbers, NotRectangularError

BLANKS = " " * LONG
SHAPES = [(12_000,), (3_000, 8), (1, 30_000), (100, 1, 16, 16)]


def wanted(shape: tuple[int, ...], dtype: str = "float32") -> InputFacts:
    return InputFacts("x", dtype, shape[1:])


def numbers(shape: tuple[int, ...]) -> Any:
    return np.random.default_rng(0).standard_normal(shape).round(5).tolist()


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("separators", [(",", ":"), (", ", ": ")])
def test_an_array_that_is_read_in_pieces_is_the_same(
    shape: tuple[int, ...], separators: tuple[str, str]
) -> None:
    rows = numbers(shape)
    body = json.dumps({"seed": 7, "inputs": rows, "n_samples": 16}, separators=separators).encode()
    read = decode_object(body)
    assert isinstance(read["inputs"], LongNumbers)
    assert (read["seed"], read["n_samples"], list(read)) == (7, 16, ["seed", "inputs", "n_samples"])
    np.testing.assert_array_equal(
        array_from_nested(read["inputs"], wanted(shape)), array_from_nested(rows, wanted(shape))
    )
    for value in (read["inputs"], LongNumbers(json.dumps(np.ravel(rows).tolist()).encode())):
        np.testing.assert_array_equal(
            array_from_values(value, shape, wanted(shape)), array_from_nested(rows, wanted(shape))
        )


def test_no_call_of_the_parser_sees_more_than_a_piece(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    loads = orjson.loads

    def noting_loads(text: bytes) -> Any:
        seen.append(len(text))
        return loads(text)

    body = json.dumps({"inputs": numbers((20_000, 8))}).encode()
    monkeypatch.setattr(orjson, "loads", noting_loads)
    array_from_nested(decode_object(body)["inputs"], wanted((20_000, 8)))
    assert sum(seen) > 0.99 * len(body)
    assert max(seen) < LONG + 100


@pytest.mark.parametrize(
    ("text", "shape"),
    [
        ("[[1,2],[3,4]]", (2, 2)),
        ("[1]", (1,)),
        ("[ [ [1, 2] ],\n[[3,4]], [[5,6]] ]", (3, 1, 2)),
        ("[[[[1]]]]", (1, 1, 1, 1)),
    ],
)
def test_the_brackets_tell_the_shape(text: str, shape: tuple[int, ...]) -> None:
    assert LongNumbers(text.encode()).shape(len(shape)) == shape
    with pytest.raises(NotRectangularError, match="nested over"):
        LongNumbers(text.encode()).shape(len(shape) - 1)


@pytest.mark.parametrize(
    "text",
    [
        "[[1,2],[3]]",
        "[[1,2],3]",
        "[1,[2]]",
        "[[1],[2],]",
        "[",
        "]",
        "[1]]",
        "[1,2][3]",
        "[[1],2],[3]",
        "[" * 99,
    ],
)
def test_brackets_that_are_no_rectangle_have_none(text: str) -> None:
    with pytest.raises(NotRectangularError, match="lists"):
        LongNumbers(text.encode()).shape(16)


@pytest.mark.parametrize(
    ("old", "new", "match"),
    [
        ("0.5,", "0.5,,", "not JSON after the first|ragged|lists of different lengths"),
        ("0.5,", "0.5 0.5,", "not JSON"),
        ("0.5,", "00.5,", "not JSON"),
        ("0.5,", "+0.5,", "not JSON"),
        ("0.5,", "1e400,", "not JSON|does not fit"),
        ("0.5,", "[],", "lists of different lengths|empty list|got"),
        ("0.5,", "1e39,", "does not fit float32"),
        ("],[", "],[0.5,", "lists of different lengths"),
        ("],[", "],[0.5],[", "lists of different lengths"),
    ],
)
def test_what_is_wrong_in_the_middle_of_a_long_array_is_found(old: str, new: str, match: str) -> None:
    text = json.dumps({"inputs": [[0.5] * 8] * 5_000}, separators=(",", ":"))
    place = text.index(old, len(text) // 2)
    body = (text[:place] + text[place:].replace(old, new, 1)).encode()
    with pytest.raises(BadRequestError, match=match):
        array_from_nested(decode_object(body)["inputs"], wanted((1, 8)))


@pytest.mark.parametrize(
    ("text", "came"),
    [
        ("[[1],[2],3]", r"x must be \(N, 1\), got lists of different lengths"),
        ("[[1],[ ],[2]]", "the numbers of x are not JSON after the first 0, or beside an empty list"),
        (f"[[1{BLANKS}],[{BLANKS}],[2]]", r"x must be \(N, 1\), got an empty list beside others"),
    ],
    ids=["ragged", "empty", "empty piece"],
)
def test_a_refusal_tells_what_was_wanted(text: str, came: str) -> None:
    numbers = LongNumbers(text.encode())
    with pytest.raises(BadRequestError, match=came):
        array_from_nested(numbers, wanted((3, 1)))
    with pytest.raises(BadRequestError, match=came):
        array_from_values(numbers, (3, 1), wanted((3, 1)))


@pytest.mark.parametrize("text", ["[ ]", "[[ ]]", "[[],[\n]]", "[[[ ],[ ]]]"])
@pytest.mark.parametrize("shape", [(1,), (1, 1), (1, 1, 1)])
def test_a_long_array_of_blanks_is_told_what_a_short_one_is(text: str, shape: tuple[int, ...]) -> None:
    with pytest.raises(BadRequestError) as short:
        array_from_nested(json.loads(text), wanted(shape))
    with pytest.raises(BadRequestError) as blanks:
        array_from_nested(LongNumbers(text.encode()), wanted(shape))
    assert blanks.value.message == short.value.message


def test_an_array_that_blanks_make_long_has_no_rows() -> None:
    read = decode_object(b'{"inputs": [' + BLANKS.encode() + b"]}")
    assert isinstance(read["inputs"], LongNumbers)
    with pytest.raises(BadRequestError, match="x must hold at least one row, got none"):
        array_from_nested(read["inputs"], wanted((1, 8)))


def test_whole_numbers_are_asked_for_as_ever() -> None:
    rows = [[1] * 8] * 20_000
    rows[15_000] = [1, 1.5, *[1] * 6]  # type: ignore[list-item]
    read = decode_object(json.dumps({"inputs": rows}).encode())
    with pytest.raises(BadRequestError, match=r"whole numbers only, got the number 1\.5 in row 15000"):
        array_from_nested(read["inputs"], wanted((1, 8), "int64"))


def test_what_only_looks_like_an_array_is_text() -> None:
    long = "[" + "1," * LONG + "1]"
    assert decode_object(json.dumps({"id": long}).encode()) == {"id": long}
    both = decode_object(json.dumps({"id": f"a:{long}", "inputs": [1] * LONG}).encode())
    assert both["id"] == f"a:{long}"


def test_a_long_array_where_none_is_wanted_is_not_repeated_in_a_message() -> None:
    read = decode_object(json.dumps({"seed": [1] * LONG}).encode())
    assert repr(read["seed"]) == "[...]"


def test_a_key_that_comes_twice_is_found_beside_a_long_array() -> None:
    body = b'{"inputs":[' + b"1," * LONG + b'1],"seed":1,"seed":2}'
    with pytest.raises(BadRequestError, match="comes twice"):
        decode_object(body)


@pytest.mark.parametrize("text", ["[" + "1," * LONG + "1]", "[" * LONG * 2, "1" * LONG * 2, "," * LONG * 2])
def test_a_body_that_is_no_object_is_refused(text: str) -> None:
    with pytest.raises(BadRequestError, match="the body"):
        decode_object(text.encode())


def test_numbers_that_stand_for_arrays_are_none_that_came() -> None:
    body = json.dumps({"seed": 10**17, "inputs": [0.5] * LONG}).encode()
    read = decode_object(body)
    assert read["seed"] == 10**17
    assert isinstance(read["inputs"], LongNumbers)
    assert math.prod(read["inputs"].shape(16)) == LONG
