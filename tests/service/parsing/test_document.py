"""Strict JSON objects from bytes."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mcdrop_service.errors import BadRequestError, TooLargeError
from mcdrop_service.parsing.document import MOST_TEXT, decode_object
from mcdrop_service.parsing.long_numbers import LONG, LongNumbers

from tests.service.parsing.memory import at_most

KEYS = st.text(max_size=8)
NUMBERS = st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False)
VALUES = st.recursive(
    NUMBERS | KEYS | st.booleans(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
)


@given(st.dictionaries(KEYS, VALUES, max_size=5))
def test_any_json_object_is_read_as_the_standard_library_reads_it(document: dict[str, object]) -> None:
    body = json.dumps(document).encode()
    assert decode_object(body) == json.loads(body)


@given(st.dictionaries(KEYS, VALUES, min_size=1, max_size=3), st.data())
def test_a_key_that_comes_twice_is_refused(document: dict[str, object], data: st.DataObject) -> None:
    key = data.draw(st.sampled_from(sorted(document)))
    body = json.dumps(document)[:-1] + f", {json.dumps(key)}: 1}}"
    with pytest.raises(BadRequestError, match="comes twice"):
        decode_object(body.encode())


def test_a_key_that_comes_twice_inside_is_refused() -> None:
    with pytest.raises(BadRequestError, match="'a' comes twice"):
        decode_object(b'{"inputs": {"a": [1], "a": [2]}}')


def test_a_colon_inside_a_string_is_no_second_key() -> None:
    assert decode_object(b'{"a:b": "c:d"}') == {"a:b": "c:d"}


def test_the_slower_parser_is_not_asked_where_there_are_as_many_colons_as_keys(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    document = {"inputs": [{"name": "x", "parameters": {"binary_data_size": 4}}, {"name": "y"}], "id": "a"}
    body = json.dumps(document).encode()
    monkeypatch.delattr(json, "loads")
    assert decode_object(body) == document


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"{} x",
        b"{'a': 1}",
        b'{"a": NaN}',
        b'{"a": Infinity}',
        b'{"a": 1e400}',
        b'{"a": 01}',
        b'{"a": [1,]}',
        b'{"a": "\xff"}',
        b'{"a": "\\ud800"}',
        b"\xef\xbb\xbf{}",
        b"\x00",
        b"\x80\x04\x95pickle",
    ],
)
def test_what_is_not_json_is_refused(body: bytes) -> None:
    with pytest.raises(BadRequestError, match="must be one JSON object"):
        decode_object(body)


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"[]", "an array"),
        (b'"a"', "a string"),
        (b"1", "a number"),
        (b"null", "null"),
        (b"true", "true or false"),
    ],
)
def test_json_that_is_no_object_is_refused_by_kind(body: bytes, kind: str) -> None:
    with pytest.raises(BadRequestError, match=f"must be a JSON object, got {kind}"):
        decode_object(body)


def nested(depth: int) -> bytes:
    # the colons in a string send it through the second, slower parser too
    return b'{"a":"::","b":' + b"[" * depth + b"{}" + b"]" * depth + b"}"


def test_nesting_within_reason_is_read() -> None:
    assert decode_object(nested(100))["a"] == "::"


@pytest.mark.parametrize("depth", [1020, 1023, 1024, 2000, 100_000])
def test_deep_nesting_is_refused_without_a_crash(depth: int) -> None:
    with pytest.raises(BadRequestError, match=r"deep|depth"):
        decode_object(nested(depth))


HALF = MOST_TEXT // 2


@pytest.mark.parametrize(
    "value",
    [
        b"[" + b"{}," * HALF + b"{}]",
        b"[" + b',"a",'.join([b"[]," * 20_000 + b"[]"] * 40) + b"]",
        b'"' + b":" * 2 * HALF + b'"',
        b"[1]" + b" " * 2 * HALF,
    ],
    ids=["objects", "lists", "text", "blanks"],
)
def test_what_would_take_many_times_its_length_in_memory_or_long_to_read_is_too_large(value: bytes) -> None:
    body = b'{"inputs": ' + value + b"}"
    with (
        at_most(4 * len(body)),
        pytest.raises(TooLargeError, match="1048576 characters of JSON beside its long arrays"),
    ):
        decode_object(body)


def test_what_is_no_long_array_may_reach_the_limit_and_no_more() -> None:
    body = b'{"inputs":"%b"}'
    room = MOST_TEXT - len(body % b"")
    assert decode_object(body % (b"a" * room)) == {"inputs": "a" * room}
    with pytest.raises(TooLargeError):
        decode_object(body % (b"a" * (room + 1)))


LATER = LongNumbers(json.dumps([0.5] * LONG).encode())


@pytest.mark.parametrize("inputs", [{"a": LATER, "b": LATER}, [{"data": LATER}, {"data": LATER}]])
def test_long_arrays_are_left_for_later_wherever_inputs_stand(inputs: object) -> None:
    body = json.dumps({"inputs": inputs}, default=lambda _: "here").replace('"here"', LATER.text.decode())
    assert decode_object(body.encode()) == {"inputs": inputs}


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (
            b'{"inputs": [' + b"[1,2]," * HALF + b"[null,2]," + b"[1,2]," * HALF + b"[1,2]]}",
            "null, NaN and text",
        ),
        (b'{"inputs": [1], "id": "a[' + b"1," * MOST_TEXT + b'1]"}', "where none is wanted"),
    ],
    ids=["null", "stray"],
)
def test_a_stranger_in_a_long_array_is_named_without_reading_all_of_it(body: bytes, said: str) -> None:
    with pytest.raises(BadRequestError, match=said):
        decode_object(body)


def test_a_stranger_in_an_array_that_is_not_so_long_is_kept_for_a_better_message() -> None:
    rows = b"[1,2]," * LONG
    document = decode_object(b'{"inputs": [' + rows + b"[null,2]," + rows + b"[1,2]]}")
    inputs = document["inputs"]
    assert isinstance(inputs, list)
    assert inputs[LONG] == [None, 2]
