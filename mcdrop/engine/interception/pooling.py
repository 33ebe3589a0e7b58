"""Max pooling, by kernels of torch that do not guess.

The one for maps in the usual order looks at one number after the other and guesses which is the largest, and
is mostly wrong on new rows. Windows that tile the maps are pooled along the lines, and then across them, in
down to a fourteenth of the time. All else goes to the kernel for maps whose channels lie side by side, which
takes down to a twelfth, with the copies there and back. All of them take the first of equals and the last of
what is no number, so the bits are the same.

Alphabet: (N, C, H, W) maps.
"""

import math
from typing import Any, Final

import torch
import torch.nn.functional as F
from torch import Tensor

from mcdrop.engine.functorch import is_wrapped, lifted, lowered
from mcdrop.engine.interception.mode import Handler, Interception

__all__ = ["HANDLERS"]

_SOME_CHANNELS, _SOME_NUMBERS = 8, 2**12
"""From how many on the copies are paid for (measured on Zen 4)."""


def _max_pool2d(
    _mode: Interception,
    input: Tensor,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    x = lifted(input, input.dim())
    if return_indices:
        return F.max_pool2d_with_indices(input, kernel_size, stride, padding, dilation, ceil_mode)
    if not _is_slow(x):
        return F.max_pool2d(input, kernel_size, stride, padding, dilation, ceil_mode)
    size = _pair(kernel_size)
    # a view as numbers of another dtype has no gradient, and in inference mode there is none
    if torch.is_inference_mode_enabled() and _tile(x, size, stride, padding, dilation):
        return lowered(_pooled_tiles(x, *size), input.dim())
    if x.shape[-3] < _SOME_CHANNELS:
        return F.max_pool2d(input, kernel_size, stride, padding, dilation, ceil_mode)
    maps = x.reshape(-1, *x.shape[-3:]).contiguous(memory_format=torch.channels_last)
    out = F.max_pool2d(maps, kernel_size, stride, padding, dilation, ceil_mode)
    # maps of a single pixel count as contiguous in both orders, and the next layer chooses its kernel by it
    out = out.clone(memory_format=torch.contiguous_format)
    return lowered(out.view(*x.shape[:-2], *out.shape[-2:]), input.dim())


def _is_slow(x: Tensor) -> bool:
    return (
        x.dim() > 3
        and x.numel() >= _SOME_NUMBERS
        and x.device.type == "cpu"
        and x.dtype is torch.float32
        and not is_wrapped(x)
        and x.is_contiguous()
    )


def _pair(value: Any) -> tuple[int, int]:
    """Of the lines and along them, as torch takes them: one number for both, or two."""
    numbers = value if isinstance(value, tuple | list) else (value,)
    return int(numbers[0]), int(numbers[-1])


def _tile(x: Tensor, size: tuple[int, int], stride: Any, padding: Any, dilation: Any) -> bool:
    """Whether each number is in one window."""
    return (
        (stride in (None, [], ()) or _pair(stride) == size)
        and (_pair(padding), _pair(dilation)) == ((0, 0), (1, 1))
        and x.shape[-2] % size[0] == 0
        and x.shape[-1] % size[1] == 0
    )


def _pooled_tiles(x: Tensor, high: int, wide: int) -> Tensor:
    """(..., H / high, W / wide) of maps in the usual order: all that there is of a row is one long line."""
    *outer, height, width = x.shape
    width //= wide
    along = torch.max_pool1d(x.view(-1, math.prod(x.shape[-3:])), wide)
    across = torch.max_pool1d(along, high, stride=1, dilation=width)  # of any so many lines
    if width % 2:
        pooled = across.unfold(-1, width, high * width).contiguous()
    else:  # copied two by two
        pairs = across.view(torch.int64).unfold(-1, width // 2, high * width // 2)
        pooled = pairs.contiguous().view(x.dtype)
    return pooled.view(*outer, height // high, width)


HANDLERS: Final[dict[Any, Handler]] = {F.max_pool2d: _max_pool2d, torch.max_pool2d: _max_pool2d}
