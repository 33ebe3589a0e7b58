"""What a model returns: a structure of tensors and other things, and the row axis of each tensor.

A network whose input is not split (a graph) has rows of its own on axis 0 of what it returns, such as nodes;
a single number is one row.
"""

from dataclasses import dataclass
from typing import Any, Final

from torch import Tensor
from torch.utils import _pytree as pytree

from mcdrop.errors import UnsupportedModelError

__all__ = ["OTHER_ROWS", "Outputs", "output_layout", "output_structure"]

OTHER_ROWS: Final = (
    "say where the rows are: batch_axis=1 if they are the second axis, as in (T, N, E), batch_axis=None if "
    "the input is one whole, such as a graph"
)
"""What to do if rows seem to be coupled because they lie elsewhere."""


@dataclass(frozen=True)
class Outputs:
    """The layout of what a model returns.

    Attributes:
        spec: Its structure.
        axes: The row axis of each leaf; None for a leaf that is not a tensor.
        ranks: How many axes each leaf has; 0 for a leaf that is not a tensor.
        constants: The leaves that are not tensors, with None in place of tensors.
        row_bytes: Size of the tensors, for each row; of all, if the input is not split.
    """

    spec: Any
    axes: tuple[int | None, ...]
    ranks: tuple[int, ...]
    constants: tuple[Any, ...]
    row_bytes: int

    def rows_first(self, output: Any) -> list[Tensor]:
        """The tensors in what the model returned, each with its rows on axis 0.

        Raises:
            UnsupportedModelError: If the model returned another structure than when it was traced.
        """
        leaves = [output] if isinstance(output, Tensor) else pytree.tree_leaves(output)
        if len(leaves) != len(self.axes):
            raise UnsupportedModelError(
                f"the model returned {len(leaves)} values, and {len(self.axes)} when it was traced"
            )
        traced = zip(leaves, self.axes, self.ranks, strict=True)
        return [_rows_first(leaf, axis, rank) for leaf, axis, rank in traced if axis is not None]

    def rebuild(self, tensors: list[Any]) -> Any:
        """The structure that the model returns, with others in place of its tensors."""
        if self.spec.is_leaf() and tensors:
            return tensors[0]
        pending = iter(tensors)
        leaves = [
            constant if axis is None else next(pending)
            for axis, constant in zip(self.axes, self.constants, strict=True)
        ]
        return pytree.tree_unflatten(leaves, self.spec)


def output_layout(two: Any, three: Any, *, whole: bool = False) -> Outputs:
    """The layout, from what the model returns for two rows and for three.

    Args:
        two: For two rows.
        three: For three.
        whole: Whether the input is not split: both are then of all of it.

    Raises:
        UnsupportedModelError: If a tensor has no axis that runs over the rows, or there is no tensor.
    """
    small, spec = pytree.tree_flatten(two)
    large = pytree.tree_leaves(three)
    tensors = [leaf for leaf in small if isinstance(leaf, Tensor)]
    if not tensors and len(small) == len(large):
        kinds = ", ".join(sorted({type(leaf).__name__ for leaf in small})) or "nothing"
        raise UnsupportedModelError(
            f"the model returned {kinds}, in which no tensor is found; return a tensor, or a tuple, a dict "
            "or a NamedTuple of them (torch.export.register_dataclass makes a dataclass known)"
        )
    if len(small) != len(large):
        raise UnsupportedModelError(
            f"the model returned {len(small)} values for two rows and {len(large)} for three; "
            "it must return the same structure, with a tensor in it, however many rows there are"
        )
    row_axis = _first_axis if whole else _row_axis
    axes = tuple(row_axis(*pair) for pair in zip(small, large, strict=True))
    ranks = tuple(leaf.dim() if isinstance(leaf, Tensor) else 0 for leaf in small)
    constants = tuple(None if isinstance(leaf, Tensor) else leaf for leaf in small)
    size = sum(leaf.nbytes for leaf in tensors)
    return Outputs(spec, axes, ranks, constants, size if whole else size // 2)


def _rows_first(leaf: Tensor, axis: int, rank: int) -> Tensor:
    if leaf.dim() != rank:
        raise UnsupportedModelError(
            f"the model returned a tensor of shape {tuple(leaf.shape)}, and one of {rank} axes when it was "
            "traced; how many there are must not depend on the number of rows (squeeze() without an axis is "
            "a usual cause)"
        )
    own = leaf.detach()
    if not rank:
        return own.unsqueeze(0)
    return own.movedim(axis, 0) if axis else own


def output_structure(output: Any) -> tuple[str, list[Any]]:
    """Structure and shapes, to compare."""
    leaves, spec = pytree.tree_flatten(output)
    return str(spec), [leaf.shape if isinstance(leaf, Tensor) else type(leaf) for leaf in leaves]


def _row_axis(two: Any, three: Any) -> int | None:
    if not isinstance(two, Tensor):
        return None
    if not two.dim() and isinstance(three, Tensor) and not three.dim():
        raise UnsupportedModelError(
            "the model returns a single number for all rows, such as the loss that models of transformers "
            "give beside the logits where they are given labels: leave the labels out (take= chooses from "
            "batches), or say batch_axis=None if the input is one whole, such as a graph"
        )
    sizes = list(zip(two.shape, three.shape, strict=False))
    moved = [axis for axis, (a, b) in enumerate(sizes) if a != b]
    if two.dim() != three.dim() or len(moved) != 1 or sizes[moved[0]] != (2, 3):
        raise UnsupportedModelError(
            f"the model returns a tensor of shape {tuple(two.shape)} for two rows and {tuple(three.shape)} "
            "for three, so no single axis of it runs over the rows (a loss, a mean over the batch, a "
            f"comparison of rows with each other); return one result for each row, or {OTHER_ROWS}"
        )
    return moved[0]


def _first_axis(leaf: Any, _again: Any) -> int | None:
    return 0 if isinstance(leaf, Tensor) else None
