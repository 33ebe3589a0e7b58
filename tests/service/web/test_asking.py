"""What leaves the event loop free: work that is large, or may become large."""

import asyncio
import threading
import zlib

import pytest
from mcdrop_service.errors import TooLargeError
from mcdrop_service.web.asking import _check_fits, unpacked
from mcdrop_service.web.inference_form import InferenceForm
from mcdrop_service.web.memory import MemoryBudget

MEBIBYTE = 2**20


class Noting(InferenceForm):
    """Notes which threads unpack."""

    def unpack(self, body: bytes, max_bytes: int) -> bytes:
        THREADS.append(threading.current_thread())
        return super().unpack(body, max_bytes)


THREADS: list[threading.Thread] = []


@pytest.mark.parametrize(("coding", "here"), [("identity", True), ("deflate", False)])
def test_a_small_body_that_may_become_large_is_unpacked_in_a_thread(coding: str, here: bool) -> None:
    plain = b" " * MEBIBYTE
    body = zlib.compress(plain, 9)
    came = asyncio.run(unpacked(Noting(coding, None), body, MEBIBYTE))
    assert came == (body if here else plain)
    assert (THREADS.pop() is threading.current_thread()) is here


def test_no_body_becomes_longer_than_is_reckoned_with() -> None:
    bomb = zlib.compress(b"\0" * 16 * MEBIBYTE, 9)
    assert 0.9 < 16 * MEBIBYTE / InferenceForm("deflate", None).most_bytes(len(bomb)) <= 1


def test_an_answer_that_would_never_fit_is_too_large_whoever_else_waits() -> None:
    with MemoryBudget(10).account() as account:
        _check_fits(account, 10, 10)
        account.take(10)
        with pytest.raises(TooLargeError, match="about 11 bytes long to a body of 10, and"):
            _check_fits(account, 10, 11)
    with MemoryBudget(10).account() as account:
        account.take(4)
        with pytest.raises(TooLargeError, match="about 7 bytes long to a body of 4, and all bodies together"):
            _check_fits(account, 10, 7)
