"""What the operators of a pass come to: it shows other roundings where the outputs have the same bits.

A layer of a few numbers, or one that saturates, hides most of what is rounded otherwise ahead of it, so a
probe that looks at outputs only takes many rows to find it.
"""

from collections import defaultdict
from typing import Any, Final

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from mcdrop.engine.operators import Watch, is_view

__all__ = ["Roundings"]

_MOST_NUMBERS: Final = 2**12
"""Of one result: with more of them, what is rounded otherwise reaches the outputs."""
_BITS: Final = {2: torch.int16, 4: torch.int32, 8: torch.int64}
_PADS: Final = (torch.ops.aten.pad.default, torch.ops.aten.constant_pad_nd.default)


class Roundings(Watch):
    """While it is entered, it keeps the floating numbers that operators return in this thread.

    Attributes:
        kept: The bits of the results, by operator.
    """

    def __init__(self) -> None:
        super().__init__()
        self.kept: dict[Any, list[Tensor]] = defaultdict(list)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        if func not in _PADS and not is_view(func):
            self.kept[func] += [_bits(each) for each in pytree.tree_leaves(out) if _is_kept(each)]
        return out

    def among(self, others: "Roundings") -> bool:
        """Whether the numbers of each operator are among those of others, if they have called it at all.

        So it does not matter in which parts and in which order the rows came, or what stood beside them.
        """
        return all(_are_among(kept, others.kept.get(func, [])) for func, kept in self.kept.items())


def _is_kept(value: Any) -> bool:
    return (
        isinstance(value, Tensor)
        and value.is_floating_point()
        and value.element_size() in _BITS
        and value.layout is torch.strided
        and value.numel() <= _MOST_NUMBERS
    )


def _bits(numbers: Tensor) -> Tensor:
    with_one_zero = (numbers + 0.0).flatten()
    return with_one_zero.view(_BITS[numbers.element_size()])


def _are_among(some: list[Tensor], others: list[Tensor]) -> bool:
    kinds = {each.dtype for each in some} & {each.dtype for each in others}
    return all(bool(torch.isin(_of(kind, some), _of(kind, others)).all()) for kind in kinds)


def _of(kind: torch.dtype, kept: list[Tensor]) -> Tensor:
    return torch.cat([each for each in kept if each.dtype is kind])
