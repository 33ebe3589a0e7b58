"""The inputs of one call: what the model takes, where each input has its rows, and how to take some."""

import inspect
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import chain
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils import _pytree as pytree
from torch.utils.data import Dataset

from mcdrop.errors import InputError, ShapeError

__all__ = ["BatchAxis", "Call", "arguments_of", "as_call", "device_of", "rows_lead"]

BatchAxis = int | None | Sequence[int | None] | Mapping[str, int | None]

_ONE: Final = pytree.tree_structure(((0,), {}))
"""One positional tensor: the usual case, known without a walk over the arguments."""
_ONE_NAME: Final = str(_ONE)
_MAPS: Final = 4
"""Axes from which on torch knows more than one order in memory, and joins what has another in that one."""


@dataclass(frozen=True)
class Call:
    """The arguments of one forward pass, flattened.

    Attributes:
        leaves: Tensors and whatever else the arguments hold.
        spec: How to put them together again as `(args, kwargs)`.
        axes: The row axis of each leaf; None where the leaf has no rows.
        rows: N; 1 if nothing is split.
    """

    leaves: tuple[Any, ...]
    spec: Any
    axes: tuple[int | None, ...]
    rows: int

    @property
    def whole(self) -> bool:
        """Whether no input is split into rows, as for a graph: then the call counts as one row."""
        return all(axis is None for axis in self.axes)

    def kept(self, rows: slice) -> int | None:
        """How many of the first rows of the outputs for a tile are the call's own; None for all of a whole.

        What a network returns for a whole input has an axis of rows of its own, such as the nodes of a graph.
        """
        return None if self.whole else rows.stop - rows.start

    @cached_property
    def signature(self) -> tuple[Any, ...]:
        """All but the rows: dtypes, further dimensions, and arguments that are not tensors."""
        return (
            _ONE_NAME if self.spec is _ONE else str(self.spec),
            *(_leaf_signature(*pair) for pair in zip(self.leaves, self.axes, strict=True)),
        )

    @property
    def kind(self) -> tuple[Any, ...]:
        """The signature without any length."""
        return (str(self.spec), *(_leaf_kind(leaf) for leaf in self.leaves), self.axes)

    def arguments(self) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """`args` and `kwargs` for the model."""
        if self.spec is _ONE:
            return self.leaves, {}
        args, kwargs = pytree.tree_unflatten(list(self.leaves), self.spec)
        return args, kwargs

    def take(self, rows: Tensor | slice) -> "Call":
        """The same call with some of the rows; a whole call stays as it is."""
        if self.whole or (isinstance(rows, slice) and rows == slice(0, self.rows)):
            return self
        taken = tuple(_take(leaf, axis, rows) for leaf, axis in zip(self.leaves, self.axes, strict=True))
        count = len(range(self.rows)[rows]) if isinstance(rows, slice) else len(rows)
        return Call(taken, self.spec, self.axes, count)

    def copied(self) -> "Call":
        """The same call with tensors of its own: it may be written to."""
        return replace(self, leaves=tuple(t.clone() if isinstance(t, Tensor) else t for t in self.leaves))

    def one_by_one(self) -> "list[Call]":
        """Each row as a call of its own; a whole call is one row."""
        if self.rows == 1:
            return [self]
        columns = (
            [leaf] * self.rows if axis is None else leaf.split(1, axis)
            for leaf, axis in zip(self.leaves, self.axes, strict=True)
        )
        return [Call(leaves, self.spec, self.axes, 1) for leaves in zip(*columns, strict=True)]

    def repeat(self, times: int) -> "Call":
        """The same call with all rows so many times, one copy of them behind the other."""
        pairs = zip(self.leaves, self.axes, strict=True)
        return replace(self, leaves=tuple(_repeat(*pair, times) for pair in pairs), rows=self.rows * times)

    def pad(self, rows: int) -> "Call":
        """The same call with rows of zeros behind its own, `rows` in all."""
        return Call.join([self], rows)

    def holding(self, arrays: Sequence[NDArray[Any]], rows: int) -> "Call":
        """The same call with other rows.

        Args:
            arrays: For each leaf one like that which it came from, with its rows on the same axis; writable,
                in native byte order and row-major. It is not copied where dtype and device are the leaf's.
            rows: N of each.
        """
        leaves = [
            torch.from_numpy(array).to(leaf.device, leaf.dtype)
            for array, leaf in zip(arrays, self.leaves, strict=True)
        ]
        return Call(tuple(leaves), self.spec, self.axes, rows)

    @staticmethod
    def join(calls: "Sequence[Call]", rows: int | None = None) -> "Call":
        """The rows of several calls of one signature, one after the other, and zeros behind them.

        Args:
            calls: At least one.
            rows: How many there are to be in all; by default no zeros.
        """
        first, own = calls[0], sum([call.rows for call in calls])
        zeros = None if rows is None else rows - own
        leaves = [
            leaf if axis is None else _joined([call.leaves[place] for call in calls], axis, zeros)
            for place, (leaf, axis) in enumerate(zip(first.leaves, first.axes, strict=True))
        ]
        return Call(tuple(leaves), first.spec, first.axes, own if rows is None else rows)


def as_call(
    model: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any], batch_axis: BatchAxis = 0
) -> Call:
    """The call that a user's arguments mean.

    Args:
        model: Takes them; arrays are cast to the dtype of its parameters and everything moves to its device,
            but for integers (N,) on the CPU beside a tensor that is there already: lengths, which torch wants
            there.
        args: Positional inputs. A single mapping is unpacked if `forward` names its keys.
        kwargs: Inputs by name.
        batch_axis: The row axis: one for all inputs, a sequence for the positional ones, or a mapping by
            name. None: the input is not split.

    Raises:
        InputError: If an input is a bare list, there is none, or `forward` names a part of a mapping, or not
            an input that came by name.
        ShapeError: If the inputs have no rows and none is said to be whole, or not the same number of rows.
    """
    args, kwargs = _unpacked(model, args, dict(kwargs))
    given, spec = _flattened(args, kwargs)
    device = device_of(model, given)
    arrays = any(isinstance(leaf, np.ndarray) for leaf in given)
    dtype = _dtype_of(model) if arrays else torch.get_default_dtype()
    placed = any(isinstance(leaf, Tensor) and leaf.device == device for leaf in given)
    leaves = [_as_tensor(leaf, device, dtype, placed=placed) for leaf in given]
    declared = _declared(args, kwargs, batch_axis)
    axes = tuple(_row_axis(leaf, axis) for value, axis in declared for leaf in _leaves(value))
    if all(axis is None for axis in axes) and all(axis is not None for _, axis in declared):
        raise _no_rows(leaves, batch_axis)
    return Call(tuple(leaves), spec, axes, _row_count(leaves, axes))


def arguments_of(inputs: Mapping[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Inputs of a checkpoint, by name: one alone goes by position, since `forward` may name it otherwise."""
    return (tuple(inputs.values()), {}) if len(inputs) == 1 else ((), dict(inputs))


def rows_lead(batch_axis: BatchAxis) -> bool:
    """Whether every input has its rows on axis 0."""
    if isinstance(batch_axis, Mapping):
        return set(batch_axis.values()) <= {0}
    return batch_axis == 0 if batch_axis is None or isinstance(batch_axis, int) else set(batch_axis) <= {0}


def _flattened(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[list[Any], Any]:
    if len(args) == 1 and not kwargs and isinstance(args[0], Tensor | np.ndarray):
        return [args[0]], _ONE
    return pytree.tree_flatten((args, kwargs))


def _leaves(value: Any) -> list[Any]:
    return [value] if isinstance(value, Tensor) else pytree.tree_leaves(value)


def _unpacked(
    model: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    if not args and not kwargs:
        raise InputError("wanted at least one input for the model, got none")
    for value in (*args, *kwargs.values()):
        if isinstance(value, list):
            raise InputError(
                "an input is a list, which could be one input, several, or a batch of rows; "
                "pass a tensor or an array, several inputs as several arguments, or a DataLoader"
            )
    _check_names(model, kwargs)
    if len(args) == 1 and isinstance(args[0], Mapping) and _names(model, args[0]):
        return (), {**args[0], **kwargs}
    return args, kwargs


def _check_names(model: nn.Module, kwargs: Mapping[str, Any]) -> None:
    """Refuse names that are no inputs, as misspelt options are."""
    if not kwargs or _is_preceded(model):
        return
    named, takes_any = _parameters(model)
    for name in kwargs:
        if not takes_any and name not in named:
            raise InputError(
                f"{name!r} is no option here, and no input of forward, which takes {', '.join(named)}"
            )


def _is_preceded(model: nn.Module) -> bool:
    """Whether what runs before `forward` may take other names, or `forward` does not tell which it takes."""
    return (
        bool(model._forward_pre_hooks_with_kwargs)  # noqa: SLF001
        or type(model).__call__ is not nn.Module.__call__
        or hasattr(model.forward, "__wrapped__")
        or isinstance(model, torch.jit.ScriptModule)  # which is refused with its reason
    )


def _parameters(model: nn.Module) -> tuple[list[str], bool]:
    """What `forward` names, and whether it takes other names too."""
    found = inspect.signature(model.forward).parameters.values()
    return [p.name for p in found], any(p.kind is p.VAR_KEYWORD for p in found)


def _names(model: nn.Module, keys: Mapping[str, Any]) -> bool:
    named, takes_any = _parameters(model)
    left = [key for key in keys if key not in named]
    if left and not takes_any and len(left) < len(keys):
        raise InputError(
            f"forward takes {', '.join(key for key in keys if key in named)} of the mapping and not "
            f"{', '.join(map(str, left))}; leave that out (take= does so for a loader), or give the whole "
            "mapping by the name of the argument that takes it"
        )
    return takes_any or not left


def device_of(model: nn.Module, leaves: Iterable[Any]) -> torch.device:
    """Where a model is; one without parameters and buffers is where its inputs are."""
    tensors = (leaf for leaf in leaves if isinstance(leaf, Tensor))
    return next((t.device for t in chain(model.parameters(), model.buffers(), tensors)), torch.device("cpu"))


def _dtype_of(model: nn.Module) -> torch.dtype:
    """To which arrays of floating numbers are cast."""
    return next((p.dtype for p in model.parameters() if p.is_floating_point()), torch.get_default_dtype())


def _as_tensor(leaf: Any, device: torch.device, dtype: torch.dtype, *, placed: bool) -> Any:
    if isinstance(leaf, np.ndarray):
        if leaf.dtype.kind not in "fiub":
            raise InputError(f"an array input must hold numbers, got dtype {leaf.dtype}")
        tensor = _own_copy(leaf)
        return tensor.to(device, dtype if tensor.is_floating_point() else None)
    if not isinstance(leaf, Tensor):
        return leaf
    stays = placed and leaf.device.type == "cpu" and leaf.dtype == torch.int64 and leaf.dim() == 1
    return leaf.detach() if stays else leaf.detach().to(device)


def _own_copy(array: NDArray[Any]) -> Tensor:
    # in native byte order: torch takes no other, and warns of read-only memory
    return torch.from_numpy(np.array(array, dtype=array.dtype.newbyteorder("="), order="C"))


def _declared(
    args: tuple[Any, ...], kwargs: dict[str, Any], batch_axis: BatchAxis
) -> list[tuple[Any, int | None]]:
    """Each input, and the row axis that it is said to have."""
    named = [*((None, value) for value in args), *kwargs.items()]
    return [(value, _axis_of(batch_axis, i, name)) for i, (name, value) in enumerate(named)]


def _axis_of(batch_axis: BatchAxis, position: int, name: str | None) -> int | None:
    if isinstance(batch_axis, Mapping):
        return batch_axis.get(name or "", 0)
    if batch_axis is None or isinstance(batch_axis, int):
        return batch_axis
    return batch_axis[position] if position < len(batch_axis) else 0


def _row_axis(leaf: Any, axis: int | None) -> int | None:
    if axis is None or not isinstance(leaf, Tensor | np.ndarray) or leaf.ndim == 0:
        return None
    if not isinstance(axis, int):
        raise InputError(f"batch_axis= takes a number or None, or one of them for each input, got {axis!r}")
    if not -leaf.ndim <= axis < leaf.ndim:
        raise ShapeError(
            f"batch_axis={axis} is no axis of an input of shape {tuple(leaf.shape)}; batch_axis= names the "
            "row axis of each input, None for one that is not split"
        )
    return axis % leaf.ndim


def _no_rows(leaves: Sequence[Any], batch_axis: BatchAxis) -> ShapeError:
    given = ", ".join(sorted({type(leaf).__name__ for leaf in leaves}))
    return ShapeError(
        f"wanted a tensor or an array with rows on axis {batch_axis} among the inputs, got {given} without "
        f"any; {_remedy(leaves)}"
    )


def _remedy(leaves: Sequence[Any]) -> str:
    if any(hasattr(leaf, "to_numpy") for leaf in leaves):
        return "frame.to_numpy() makes an array of a frame"
    if any(isinstance(leaf, Dataset) for leaf in leaves):
        return "DataLoader(dataset, batch_size=64) makes batches of a dataset, and take= says what of them"
    return "batch_axis=None says that the inputs are one whole that is not split, such as a graph"


def _row_count(leaves: Sequence[Any], axes: Sequence[int | None]) -> int:
    counts: set[int] = {leaf.shape[axis] for leaf, axis in zip(leaves, axes, strict=True) if axis is not None}
    if len(counts) == 1 and 0 not in counts:
        return counts.pop()
    shapes = [(tuple(leaf.shape), axis) for leaf, axis in zip(leaves, axes, strict=True) if axis is not None]
    if len(counts) > 1:
        listed = ", ".join(str(shape) for shape, _ in shapes)
        raise ShapeError(
            f"all inputs must have the same number of rows, got shapes {listed}; "
            "batch_axis= names the row axis of each input, None for an input that is not split"
        )
    if counts:
        raise ShapeError(f"wanted at least one row, got an input of shape {shapes[0][0]}")
    return 1


def _leaf_signature(leaf: Any, axis: int | None) -> Any:
    if not isinstance(leaf, Tensor):
        return repr(leaf)
    shape = tuple(size for i, size in enumerate(leaf.shape) if i != axis)
    return (str(leaf.dtype), shape, axis)


def _leaf_kind(leaf: Any) -> Any:
    return (str(leaf.dtype), leaf.dim()) if isinstance(leaf, Tensor) else repr(leaf)


def _take(leaf: Any, axis: int | None, rows: Tensor | slice) -> Any:
    if axis is None:
        return leaf
    if isinstance(rows, slice):
        start, stop, _ = rows.indices(leaf.shape[axis])
        return leaf.narrow(axis, start, stop - start)
    return leaf.index_select(axis, rows.to(leaf.device))


def _repeat(leaf: Any, axis: int | None, times: int) -> Any:
    if axis is None:
        return leaf
    copies = leaf.unsqueeze(axis).expand(*leaf.shape[:axis], times, *leaf.shape[axis:])
    return copies.flatten(axis, axis + 1).contiguous()  # quicker than repeat


def _joined(parts: list[Tensor], axis: int, zeros: int | None) -> Tensor:
    first = parts[0]
    if zeros is None or (zeros == 0 and first.dim() < _MAPS):
        return torch.cat(parts, axis)
    # also where there are none: what is joined with them has one order in memory, whatever it had before
    shape = (*first.shape[:axis], zeros, *first.shape[axis + 1 :])
    return torch.cat((*parts, first.new_zeros(shape)), axis)
