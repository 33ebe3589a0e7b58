"""In which precision products of float32 are computed: both interfaces of torch, and what depends on them."""

from collections.abc import Iterator
from contextlib import contextmanager
from operator import attrgetter

import pytest
import torch

from mcdrop import MCDropout
from mcdrop.engine.fingerprint import environment
from mcdrop.engine.interception.products import product
from mcdrop.engine.precision import cudnn_tf32, matmul_precision, rounded_to
from mcdrop.engine.surroundings import surroundings
from tests.support.networks import classifier, features

CPU, CUDA = torch.device("cpu"), torch.device("cuda")


@pytest.fixture(autouse=True)
def _nothing_said() -> None:
    """The words of the older interface, which other tests may have used, stay behind in the newer one."""
    for of in ("backends.cuda.matmul", "backends.mkldnn.matmul"):
        attrgetter(of)(torch).fp32_precision = "none"


@contextmanager
def said(of: str, word: str) -> Iterator[None]:
    """With the word said by the newer interface of torch."""
    setting = attrgetter(of)(torch)
    before = setting.fp32_precision
    setting.fp32_precision = word
    try:
        yield
    finally:
        setting.fp32_precision = before


words = pytest.mark.parametrize(
    ("of", "word", "fact", "told"),
    [
        ("backends.cuda.matmul", "tf32", "float32_matmul_precision", "cuda tf32, mkldnn none"),
        ("backends.mkldnn.matmul", "bf16", "float32_matmul_precision", "cuda none, mkldnn bf16"),
        ("backends.cudnn.conv", "ieee", "cudnn_tf32", "conv ieee, rnn tf32"),
        ("backends.mkldnn.conv", "bf16", "onednn", "conv bf16, rnn none"),
    ],
)


@words
def test_what_the_newer_interface_says_is_in_the_fingerprint(
    of: str, word: str, fact: str, told: str
) -> None:
    before = environment(CPU)
    with said(of, word):
        assert environment(CPU)[fact] == told
    assert environment(CPU) == before


@words
def test_answers_come_whatever_it_says(of: str, word: str, fact: str, told: str) -> None:  # noqa: ARG001
    weight = torch.ones(512, 512)
    expected = MCDropout(classifier(), task="classification").predict(features(3), exact=True)
    known = surroundings()
    with said(of, word):
        found = MCDropout(classifier(), task="classification").predict(features(3), exact=True)
        assert (surroundings() == known) == (fact != "float32_matmul_precision")
        with torch.inference_mode():
            assert product(torch.ones(512, 512), weight, None)[0, 0] == 512
    torch.testing.assert_close(found.mean, expected.mean, rtol=0.05, atol=0.05)


def test_what_the_older_interface_says_is_told_in_its_own_words() -> None:
    assert (matmul_precision(), cudnn_tf32()) == ("highest", True)
    torch.set_float32_matmul_precision("medium")
    try:
        assert matmul_precision() == "medium"
        assert rounded_to(CPU, convolutions=False) == {"bf16"}
        assert rounded_to(CUDA, convolutions=False) == {"tf32"}
    finally:
        torch.set_float32_matmul_precision("highest")


@pytest.mark.parametrize("has_tf32", [False, True])
def test_a_processor_rounds_to_what_it_has(has_tf32: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"amx_fp16": has_tf32})
    with said("backends.mkldnn.matmul", "tf32"):
        assert rounded_to(CPU, convolutions=False) == ({"tf32"} if has_tf32 else set())


def test_convolutions_of_cuda_are_rounded_from_the_first_and_nothing_else_is() -> None:
    assert rounded_to(CUDA, convolutions=True) == {"tf32"}
    assert rounded_to(CUDA, convolutions=False) == rounded_to(CPU, convolutions=True) == set()
    with said("backends.cudnn.conv", "ieee"), said("backends.cudnn.rnn", "ieee"):
        assert rounded_to(CUDA, convolutions=True) == set()
    with said("backends.mkldnn.conv", "bf16"):
        assert rounded_to(CPU, convolutions=True) == {"bf16"}
        assert rounded_to(CPU, convolutions=False) == set()
