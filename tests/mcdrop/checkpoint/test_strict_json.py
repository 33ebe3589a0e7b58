"""JSON is read as the standard has it, and without what makes two readers disagree."""

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcdrop.checkpoint.strict_json import parse_strict_json

NUMBERS = st.integers() | st.floats(allow_nan=False, allow_infinity=False)
TEXTS = st.text(st.characters(codec="utf-8"))
DOCUMENTS = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXTS,
    lambda inner: st.lists(inner) | st.dictionaries(TEXTS, inner),
)


@given(DOCUMENTS)
def test_what_python_writes_is_read_back(document: object) -> None:
    assert parse_strict_json(json.dumps(document).encode()) == document


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (b'{"a": 1, "b": 2, "a": 1}', "the key 'a' appears twice"),
        (b'[{"a": {"b": 1, "b": 1}}]', "the key 'b' appears twice"),
        (b"NaN", "NaN is not"),
        (b"[-Infinity]", "-Infinity is not"),
        (b"1e999", "1e999 is too large"),
        (b'"\\ud800"', "surrogates not allowed"),
        (b"\xff", "can't decode"),
        (b"[" * 100_000, "nested too deeply"),
        (b"9" * 5_000, "digits"),
        (b"", "Expecting value"),
        (b"{} {}", "Extra data"),
    ],
)
def test_loose_ends_are_refused(text: bytes, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        parse_strict_json(text)


def test_the_largest_finite_number_is_read() -> None:
    assert parse_strict_json(b"1.7976931348623157e308") == math.nextafter(math.inf, 0)
