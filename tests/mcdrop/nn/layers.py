"""Every layer of `mcdrop.nn`, as the contract tests meet it."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

import torch
from torch import Tensor, nn

import mcdrop.nn as dropout

__all__ = ["CASES", "Case", "tensors"]

ROWS: Final = 3


def noise(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(1))


@dataclass(frozen=True)
class Case:
    """A layer.

    Attributes:
        name: Of the case.
        make: Makes the layer, whose weights differ from call to call.
        x: An input.
        masks: Shape of each site's mask for two rows, and the axis of the rows.
        p: The rates of the sites; None for those that draw no mask.
        scale: What evaluation multiplies by, where that is all that it does.
        linear: Whether the output is linear in the masks, so that its mean is what evaluation gives.
        kept: What evaluation computes, for layers that wrap another.
        row_axis: Of the input.
        exports: Whether `torch.export` takes it in train mode.
    """

    name: str
    make: Callable[[], nn.Module]
    x: Tensor
    masks: list[tuple[tuple[int, ...], int | None]]
    p: list[float | None]
    scale: float = 1.0
    linear: bool = True
    kept: Callable[[nn.Module], Callable[[Tensor], Any]] | None = field(default=None)
    row_axis: int = 0
    exports: bool = True


def inner(name: str) -> Callable[[nn.Module], Callable[[Tensor], Any]]:
    """The layer inside another, in eval mode."""
    return lambda layer: layer.get_submodule(name).eval()


def reached(layer: dropout.ScheduledDropout, steps: int) -> dropout.ScheduledDropout:
    for _ in range(steps):
        layer.step()
    return layer


FLAT, SEQUENCES = noise(ROWS, 6), noise(ROWS, 5, 4)
MAPS: Final = {1: noise(ROWS, 2, 9), 2: noise(ROWS, 2, 6, 7), 3: noise(ROWS, 2, 4, 5, 3)}
WORDS = torch.tensor([[1, 2, 1, 0, 3], [4, 4, 2, 1, 0], [3, 2, 3, 3, 1]])
VARIATIONAL: Final[dict[str, Any]] = {"input_dropout": 0.2, "recurrent_dropout": 0.3, "output_dropout": 0.4}

CASES: Final = [
    Case("Dropout", lambda: dropout.Dropout(0.3), FLAT, [((2, 6), 0)], [0.3]),
    Case(
        "Dropout, 2014",
        lambda: dropout.Dropout(0.3, inverted=False),
        FLAT,
        [((2, 6), 0)],
        [0.3],
        scale=0.7,
    ),
    Case("GaussianDropout", lambda: dropout.GaussianDropout(0.3), FLAT, [((2, 6), 0)], [None]),
    Case(
        "ScheduledDropout",
        lambda: reached(dropout.ScheduledDropout(dropout.linear_schedule(0.0, 0.4, 10)), 5),
        FLAT,
        [((2, 6), 0)],
        [0.2],
    ),
    Case(
        "DropConnect of Linear",
        lambda: dropout.DropConnect(nn.Linear(6, 4), 0.3),
        FLAT,
        [((4, 6), None)],
        [0.3],
        kept=inner("layer"),
    ),
    Case(
        "DropConnect of Linear, 2014",
        lambda: dropout.DropConnect(nn.Linear(6, 4, bias=False), 0.3, inverted=False),
        FLAT,
        [((4, 6), None)],
        [0.3],
        scale=0.7,
        kept=inner("layer"),
    ),
    Case(
        "DropConnect of Conv2d",
        lambda: dropout.DropConnect(nn.Conv2d(2, 3, 3, padding=1, padding_mode="reflect"), 0.3),
        MAPS[2],
        [((3, 2, 3, 3), None)],
        [0.3],
        kept=inner("layer"),
    ),
    *[
        Case(
            f"WeightDrop of {kind.__name__}",
            lambda kind=kind: dropout.WeightDrop(kind(4, 3, 2, dropout=0.2, batch_first=True), 0.3),  # type: ignore[misc]
            SEQUENCES,
            [((gates * 3, 3), None), ((gates * 3, 3), None), ((5, 2, 3), 1)],
            [0.3, 0.3, 0.2],
            linear=False,
            kept=inner("rnn"),
        )
        for kind, gates in ((nn.LSTM, 4), (nn.GRU, 3), (nn.RNN, 1))
    ],
    Case(
        "DropBlock1d", lambda: dropout.DropBlock1d(0.3, 3), MAPS[1], [((2, 2, 7), 0)], [None]
    ),
    Case(
        "DropBlock2d", lambda: dropout.DropBlock2d(0.3, 3), MAPS[2], [((2, 2, 4, 5), 0)], [None]
    ),
    Case(
        "DropBlock2d, even and larger than the map",
        lambda: dropout.DropBlock2d(0.3, 6),
        MAPS[2],
        [((2, 2, 1, 2), 0)],
        [None],
    ),
    Case(
        "DropBlock3d", lambda: dropout.DropBlock3d(0.3, 2), MAPS[3], [((2, 2, 3, 4, 2), 0)], [None]
    ),
    Case(
        "VariationalDropout, batch first",
        lambda: dropout.VariationalDropout(0.3, batch_first=True),
        SEQUENCES,
        [((2, 4), 0)],
        [0.3],
    ),
    Case(
        "VariationalDropout",
        lambda: dropout.VariationalDropout(0.3),
        SEQUENCES.transpose(0, 1),
        [((2, 4), 0)],
        [0.3],
        row_axis=1,
    ),
    Case(
        "VariationalLSTM",
        lambda: dropout.VariationalLSTM(4, 3, 2, **VARIATIONAL, batch_first=True),
        SEQUENCES,
        [((2, 4), 0), ((2, 3), 0), ((2, 3), 0), ((2, 3), 0), ((2, 3), 0)],
        [0.2, 0.3, 0.4, 0.3, 0.4],
        linear=False,
        kept=inner("rnn"),
    ),
    Case(
        "VariationalGRU",
        lambda: dropout.VariationalGRU(4, 3, **VARIATIONAL, bias=False),
        SEQUENCES.transpose(0, 1),
        [((2, 4), 0), ((2, 3), 0), ((2, 3), 0)],
        [0.2, 0.3, 0.4],
        linear=False,
        kept=inner("rnn"),
        row_axis=1,
    ),
    Case(
        "ConcreteDropout of Linear",
        lambda: dropout.ConcreteDropout(nn.Linear(6, 4), 0.3),
        FLAT,
        [((2, 6), 0)],
        [None],
        kept=inner("layer"),
    ),
    Case(
        "ConcreteDropout of Conv2d",
        lambda: dropout.ConcreteDropout(nn.Conv2d(2, 3, 3), 0.3),
        MAPS[2],
        [((2, 2, 1, 1), 0)],
        [None],
        kept=inner("layer"),
    ),
    Case("StochasticDepth", lambda: dropout.StochasticDepth(0.3), MAPS[2], [((2, 1, 1, 1), 0)], [0.3]),
    Case(
        "EmbeddingDropout",
        lambda: dropout.EmbeddingDropout(nn.Embedding(5, 4), 0.3),
        WORDS,
        [((2, 5), 0)],
        [0.3],
        kept=inner("embedding"),
    ),
]  # fmt: skip


def tensors(output: Any) -> list[Tensor]:
    """The tensors in what a layer returns."""
    leaves, _ = torch.utils._pytree.tree_flatten(output)
    return leaves
