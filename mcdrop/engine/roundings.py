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
_ATEN: Final = torch.ops.aten
_UNROUNDED: Final = frozenset(
    {
        *(_ATEN.pad.default, _ATEN.constant_pad_nd.default, _ATEN.where.self),
        *(_ATEN.empty.memory_format, _ATEN.empty_like.default, _ATEN.empty_strided.default),
        *(_ATEN.new_empty.default, _ATEN.new_empty_strided.default),
    }
)
"""What computes nothing, and returns zeros beside its input or what happens to be in memory."""


class Roundings(Watch):
    """While it is entered, it keeps the floating numbers that operators return in this thread.

    Args:
        of_one_row: Seen of the same calls with one row: what has no more numbers with several is not kept,
            such as a loss that a model computes on the side, or what it makes of its weights.

    Attributes:
        kept: The bits of the results, by operator.
        sizes: How many numbers each result has, kept or not, by operator.
    """

    def __init__(self, of_one_row: "Roundings | None" = None) -> None:
        super().__init__()
        self.kept: dict[Any, list[Tensor]] = defaultdict(list)
        self.sizes: dict[Any, list[int]] = defaultdict(list)
        self._of_one_row = {} if of_one_row is None else of_one_row.sizes

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        if func not in _UNROUNDED and not is_view(func):
            for each in pytree.tree_leaves(out):
                if _is_seen(each):
                    self._note(func, each)
        return out

    def _note(self, func: Any, numbers: Tensor) -> None:
        sizes, of_one_row = self.sizes[func], self._of_one_row.get(func, [])
        grows = len(sizes) >= len(of_one_row) or of_one_row[len(sizes)] != numbers.numel()
        sizes.append(numbers.numel())
        if grows and numbers.numel() <= _MOST_NUMBERS:
            self.kept[func].append(_bits(numbers))

    def among(self, *others: "Roundings") -> bool:
        """Whether the numbers of each operator are among those of others, if one has called it at all.

        So it does not matter in which parts and in which order the rows came, or what stood beside them.
        """
        return all(
            _are_among(kept, [each for other in others for each in other.kept.get(func, [])])
            for func, kept in self.kept.items()
        )


def _is_seen(value: Any) -> bool:
    return (
        isinstance(value, Tensor)
        and value.is_floating_point()
        and value.element_size() in _BITS
        and value.layout is torch.strided
    )


def _bits(numbers: Tensor) -> Tensor:
    with_one_zero = (numbers + 0.0).flatten()
    return with_one_zero.view(_BITS[numbers.element_size()])


def _are_among(some: list[Tensor], others: list[Tensor]) -> bool:
    kinds = {each.dtype for each in some} & {each.dtype for each in others}
    return all(bool(torch.isin(_of(kind, some), _of(kind, others)).all()) for kind in kinds)


def _of(kind: torch.dtype, kept: list[Tensor]) -> Tensor:
    return torch.cat([each for each in kept if each.dtype is kind])
