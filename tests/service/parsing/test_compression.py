"""Compressed bodies, and what is none."""

import zlib

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from mcdrop_service.errors import BadRequestError, TooLargeError
from mcdrop_service.parsing import inflated

from tests.service.parsing.memory import at_most


@example(b"x" * 1000, "gzip")
@given(st.binary(max_size=1000), st.sampled_from(["gzip", "deflate"]))
def test_what_was_compressed_comes_back(data: bytes, coding: str) -> None:
    assert inflated(_compressed(data, coding), coding, 1000) == data


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
def test_a_compressed_body_is_refused_when_it_is_large_damaged_cut_or_followed(coding: str) -> None:
    bomb = _compressed(b"\0" * 10_000_000, coding)
    with at_most(1_000_000), pytest.raises(TooLargeError, match="at most 1000 bytes long when unpacked"):
        inflated(bomb, coding, 1000)
    packed = _compressed(b"data", coding)
    for wrong in (b"", packed[:-1], packed + b"!", packed + packed, b"data", b"\0" * 20):
        with pytest.raises(BadRequestError, match=coding):
            inflated(wrong, coding, 1000)


def _compressed(data: bytes, coding: str) -> bytes:
    packer = zlib.compressobj(wbits=31 if coding == "gzip" else 15)
    return packer.compress(data) + packer.flush()
