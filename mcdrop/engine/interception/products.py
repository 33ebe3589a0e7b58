"""The product of a linear layer, by the faster of the two libraries that torch brings for a processor.

`F.linear` asks MKL, which on a processor of AMD leaves AVX-512 idle, and it copies the bias in a pass of its
own. oneDNN does neither: a large product takes 5 to 20 % less, a small one more. Which is asked follows from
the processor, the settings and the shapes, never from timing, so that equal calls give equal bits.

Alphabet: (..., K) inputs, (M, K) all of their rows, (N, K) weights, (N,) bias.
"""

from functools import cache
from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mcdrop.engine.functorch import is_wrapped
from mcdrop.engine.precision import matmul_precision
from mcdrop.engine.processor import has_features

__all__ = ["large_product", "product"]

_SOME_WEIGHTS, _SOME_ROWS = 2**16, 512
_MANY_WEIGHTS, _MANY_ROWS = 2**17, 32
"""From how many weights on, and then how many rows, oneDNN takes no longer (measured on Zen 4).

With so few rows, blocks of exact mode of all sizes mostly ask the same library, and have the same bits: in
oneDNN those of a row do not depend on how many others there are.
"""
_PLAIN: Final = (Tensor, nn.Parameter, nn.Buffer)

# A large product pushes all else out of the caches, so each name that is looked up before the next one costs.
_FLOAT32, _STRIDED = torch.float32, torch.strided
_is_inference, _is_autocast = torch.is_inference_mode_enabled, torch.is_autocast_enabled
_is_onednn_enabled = torch._C._get_mkldnn_enabled  # noqa: SLF001


def product(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """(..., N): what `F.linear` gives, to rounding.

    Args:
        x: (..., K).
        weight: (N, K).
        bias: (N,), or None.
    """
    out = large_product(x, weight, bias)
    return F.linear(x, weight, bias) if out is None else out


def large_product(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor | None:
    """The same by oneDNN; None where `F.linear` is as fast, or where oneDNN could not do as it does."""
    if not (_is_large(x, weight) and _is_faster_here() and _is_asked_for()):
        return None
    plain = _is_plain(x) and _is_plain(weight) and (bias is None or _is_plain(bias))
    if not (plain and _fit(x, weight, bias)):
        return None
    out: Tensor = torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")  # noqa: SLF001
    return out


def _is_large(x: Tensor, weight: Tensor) -> bool:
    weights = weight.numel()
    if weights < _SOME_WEIGHTS:
        return False
    return x.numel() >= weight.shape[-1] * (_MANY_ROWS if weights >= _MANY_WEIGHTS else _SOME_ROWS)


@cache
def _is_faster_here() -> bool:
    """Whether this is a processor of AMD (no other has SSE4a) with AVX-512, and torch has both libraries."""
    return (
        has_features("sse4a", "avx512_f")
        and torch.backends.mkl.is_available()
        and torch.backends.mkldnn.is_available()
        and hasattr(torch.ops.mkldnn, "_linear_pointwise")
    )


def _is_asked_for() -> bool:
    """In inference mode, since it has no gradient, and with the settings that torch begins with."""
    return (
        _is_inference()
        and not _is_autocast("cpu")
        and matmul_precision() == "highest"
        and _is_onednn_enabled()
    )


def _is_plain(tensor: Tensor) -> bool:
    return (
        # of the subclasses only those that stand for a tensor without its numbers
        (type(tensor) in _PLAIN or hasattr(tensor, "fake_mode"))
        and tensor.dtype is _FLOAT32
        and tensor.is_cpu
        and tensor.layout is _STRIDED
        and not is_wrapped(tensor)
        and not tensor.is_nested
        and tensor.is_contiguous()
    )


def _fit(x: Tensor, weight: Tensor, bias: Tensor | None) -> bool:
    """Where they do not, torch says so in its own words."""
    of_bias = bias is None or bias.shape == weight.shape[:1]
    return weight.dim() == 2 and x.shape[-1] == weight.shape[1] and of_bias
