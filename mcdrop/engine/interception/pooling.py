"""Max pooling, by the kernel that torch has for maps whose channels lie side by side in memory.

The one for maps in the usual order looks at one number after the other and guesses which is the largest, and
is mostly wrong on new rows: it takes 2 to 12 times as long as the other, with the copies there and back. Both
take the first of equals and the last of what is no number, so the bits are the same.

Alphabet: (N, C, H, W) maps.
"""

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
    maps = x.reshape(-1, *x.shape[-3:]).contiguous(memory_format=torch.channels_last)
    out = F.max_pool2d(maps, kernel_size, stride, padding, dilation, ceil_mode)
    # maps of a single pixel count as contiguous in both orders, and the next layer chooses its kernel by it
    out = out.clone(memory_format=torch.contiguous_format)
    return lowered(out.view(*x.shape[:-2], *out.shape[-2:]), input.dim())


def _is_slow(x: Tensor) -> bool:
    return (
        x.dim() > 3
        and x.shape[-3] >= _SOME_CHANNELS
        and x.numel() >= _SOME_NUMBERS
        and x.device.type == "cpu"
        and x.dtype is torch.float32
        and not is_wrapped(x)
        and x.is_contiguous()
    )


HANDLERS: Final[dict[Any, Handler]] = {F.max_pool2d: _max_pool2d, torch.max_pool2d: _max_pool2d}
