"""Operators of PyTorch: which tensors one writes to and whether it draws, by its schema. Watching them."""

from collections.abc import Iterator
from typing import Any, Final

import torch
from torch import Tensor
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import TorchDispatchMode

__all__ = ["Watch", "draws", "is_view", "storage_of", "written_tensors"]

_SWITCHES: Final = ("dropout_p", "dropout", "train", "training")
"""Arguments that are 0 or False where an operator which might draw does not: fused attention, RReLU, RNNs."""


def draws(operator: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    """Whether a call of an operator is random."""
    if not isinstance(operator, torch._ops.OpOverload):  # noqa: SLF001 - flex attention and the like: no draws
        return False
    if torch.Tag.nondeterministic_seeded not in operator.tags:
        return False
    return all(value for name, value in _arguments(operator, args, kwargs) if name in _SWITCHES)


def is_view(operator: Any) -> bool:
    """Whether all that an operator returns, if it returns anything, are other forms of what it was given."""
    if not isinstance(operator, torch._ops.OpOverload):  # noqa: SLF001
        return False
    schema = operator._schema  # noqa: SLF001 - the only place where torch says it
    aliases = [value.alias_info is not None for value in schema.returns]
    return not schema.is_mutable and bool(aliases) and all(aliases)


def written_tensors(operator: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Iterator[Tensor]:
    """The tensors that a call of an operator writes to."""
    written = {argument.name for argument in _schema(operator) if argument.is_write}
    for name, value in _arguments(operator, args, kwargs) if written else ():
        if name in written:
            yield from (leaf for leaf in pytree.tree_leaves(value) if isinstance(leaf, Tensor))


def _arguments(operator: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """Names and values of a call; arguments equal to their defaults are left out by the dispatcher."""
    for position, argument in enumerate(_schema(operator)):
        given = args[position] if position < len(args) else kwargs.get(argument.name, argument.default_value)
        yield argument.name, given


def _schema(operator: Any) -> Any:
    if not isinstance(operator, torch._ops.OpOverload):  # noqa: SLF001
        return ()
    return operator._schema.arguments  # noqa: SLF001 - the only place where torch says it


def storage_of(tensor: Tensor) -> int:
    """Where the numbers of a tensor begin in memory: the same for all its views."""
    return tensor.untyped_storage().data_ptr()


class Watch(TorchDispatchMode):
    """What every mode of ours that looks at operators has in common.

    torch wraps the method of a mode so that its compiler leaves it alone, and imports that compiler for it,
    which takes a second at the first prediction. Nothing is compiled in here: what was, runs as written.
    """

    supports_higher_order_operators = True

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False
