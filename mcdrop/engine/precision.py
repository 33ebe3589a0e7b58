"""In which precision products of float32 numbers are computed, as the settings of torch say.

torch has two interfaces for that. The older one has a word for all matrix products. The newer one has a word
for each kind of product of each library, and where these differ the older one raises when it is asked.
"""

from typing import Any, Final

import torch

from mcdrop.engine.processor import has_features

__all__ = ["convolution_words", "cudnn_tf32", "matmul_precision", "rounded_to"]

_KINDS: Final = ("conv", "rnn")
_OLDER: Final = {"highest": "ieee", "high": "tf32", "medium": "bf16"}


def matmul_precision() -> str:
    """`highest`, `high` or `medium`; where no such word tells it, that of each library: `cuda tf32, ...`."""
    try:
        return torch.get_float32_matmul_precision()
    except RuntimeError:
        return f"cuda {_matmul_word(torch.backends.cuda)}, mkldnn {_matmul_word(torch.backends.mkldnn)}"


def cudnn_tf32() -> bool | str:
    """Whether convolutions and recurrent layers of cuDNN may use TF32; their words where they differ."""
    try:
        return bool(torch.backends.cudnn.allow_tf32)
    except RuntimeError:
        return convolution_words(torch.backends.cudnn)


def convolution_words(library: Any) -> str:
    """Of convolutions and recurrent layers, such as `conv bf16, rnn none`.

    Args:
        library: `torch.backends.cudnn` or `torch.backends.mkldnn`.
    """
    return ", ".join(f"{kind} {_word(getattr(library, kind, None))}" for kind in _KINDS)


def rounded_to(device: torch.device, *, convolutions: bool) -> set[str]:
    """To what float32 numbers may be rounded before they are multiplied: `tf32`, `bf16`; mostly to nothing.

    Args:
        device: Where.
        convolutions: Whether there are convolutions or recurrent layers among the products.
    """
    cuda = device.type == "cuda"
    matmul = _matmul_word(torch.backends.cuda if cuda else torch.backends.mkldnn)
    words = {_OLDER.get(matmul_precision(), "ieee") if matmul == "none" else matmul}
    if convolutions and cuda and cudnn_tf32() is True:
        words.add("tf32")
    elif convolutions:
        library = torch.backends.cudnn if cuda else torch.backends.mkldnn
        words |= {_word(getattr(library, kind, None)) for kind in _KINDS}
    return words & ({"tf32", "bf16"} if cuda or _has_tf32() else {"bf16"})


def _has_tf32() -> bool:
    """Whether oneDNN does as it is told on this processor: without AMX for float16 no number is rounded."""
    return has_features("amx_fp16")


def _matmul_word(library: Any) -> str:
    return _word(getattr(library, "matmul", None))


def _word(kind: Any) -> str:
    """Of one kind of product; `none` where nothing was said, or the version of torch has no such word."""
    return str(getattr(kind, "fp32_precision", "none"))
