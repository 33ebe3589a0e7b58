"""Calls that draw nothing, but that vmap would take apart: made once, for all samples.

vmap adds the bias of a linear layer in a pass over memory of its own; the native function does it on the way.

A product of very few rows takes another way through its library than one of more, and rounds otherwise.
Before copies of themselves they have the bits that they have among others.
"""

from typing import Any, Final

import torch
import torch.nn.functional as F
from torch import Tensor

from mcdrop.engine.functorch import has_sample_axis, lifted, lowered
from mcdrop.engine.interception.mode import Handler, Interception
from mcdrop.engine.interception.products import large_product

__all__ = ["HANDLERS", "among_copies"]


def _linear(_mode: Interception, input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    rank = input.dim()
    differ = has_sample_axis(weight) or (bias is not None and has_sample_axis(bias))
    x = input if rank < 2 or differ else lifted(input, rank)
    out = large_product(x, weight, bias)
    if out is None and x is input:
        return F.linear(input, weight, bias)
    if out is None:
        out = F.linear(x.flatten(0, -2), weight, bias).view(*x.shape[:-1], *weight.shape[:-1])
    return lowered(out, rank + weight.dim() - 2)


def among_copies(rows: int) -> Handler:
    """Handler of `F.linear` for products that all samples share: copies of them stand behind a few rows.

    Args:
        rows: That a product has at least.
    """

    def handle(mode: Interception, input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        differ = any(has_sample_axis(each) for each in (input, weight, bias) if each is not None)
        own = 0 if input.dim() < 2 else input.shape[:-1].numel()
        if differ or not 0 < own < rows:
            return _linear(mode, input, weight, bias)
        filled = torch.cat([input.flatten(0, -2)] * -(-rows // own))  # half the time of rows of zeros
        return F.linear(filled, weight, bias).narrow(0, 0, own).view(*input.shape[:-1], *weight.shape[:-1])

    return handle


HANDLERS: Final[dict[Any, Handler]] = {F.linear: _linear}
