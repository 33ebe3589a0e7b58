"""Dropout against no regularization and against its alternatives, on few digits.

    python -m docs.figures.regularizers     # writes regularizers.svg and regularizers.txt beside this file

What has a strength is tried at three of them; the one with the best mean likelihood of the validation rows is
tested.
"""

import copy
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from matplotlib.axes import Axes
from torch import Tensor, nn

from docs.figures.training import (
    BLUE,
    SEEDS,
    Digits,
    accuracy,
    digits,
    fit,
    new_figure,
    nll,
    perceptron,
    publish,
    seeded,
    spread,
)


def plain(_strength: float) -> nn.Sequential:
    """No regularization."""
    return perceptron(lambda _: [nn.ReLU()])


def with_dropout(p: float) -> nn.Sequential:
    """Dropout after each activation, and of a fifth of the pixels."""
    return perceptron(lambda _: [nn.ReLU(), nn.Dropout(p)], first=[nn.Dropout(0.2)])


def with_batch_norm(_strength: float) -> nn.Sequential:
    """A batch norm before each activation."""
    return perceptron(lambda width: [nn.BatchNorm1d(width), nn.ReLU()])


def l2(strength: float, model: nn.Module) -> Tensor:
    """Strength times the sum of squared weights."""
    return strength * torch.stack([w.square().sum() for w in model.parameters() if w.dim() > 1]).sum()


def l1(strength: float, model: nn.Module) -> Tensor:
    """Strength times the sum of absolute weights."""
    return strength * torch.stack([w.abs().sum() for w in model.parameters() if w.dim() > 1]).sum()


def shifted(x: Tensor) -> Tensor:
    """Each digit moved by up to one pixel in both directions."""
    images = nn.functional.pad(x.view(-1, 8, 8), (1, 1, 1, 1))
    rows, columns = torch.randint(0, 3, (2, len(x), 1))
    places = torch.arange(8)
    moved = images[
        torch.arange(len(x))[:, None, None], (rows + places)[:, :, None], (columns + places)[:, None]
    ]
    return moved.flatten(1)


@dataclass
class BestSoFar:
    """Keeps the weights that did best on the validation rows: early stopping with hindsight."""

    data: Digits
    loss: float = float("inf")
    weights: dict[str, Any] = field(default_factory=dict)

    def __call__(self, model: nn.Module) -> None:
        """Look at the model after a step."""
        loss = nll(model, self.data.x_validation, self.data.y_validation)
        if loss < self.loss:
            self.loss, self.weights = loss, copy.deepcopy(model.state_dict())


@dataclass(frozen=True)
class Way:
    """A way to regularize, at the strengths that are tried."""

    name: str
    make: Callable[[float], nn.Sequential] = plain
    strengths: tuple[float, ...] = (0.0,)
    penalty: Callable[[float, nn.Module], Tensor] | None = None
    augment: Callable[[Tensor], Tensor] | None = None
    stops_early: bool = False


WAYS = [
    Way("none"),
    Way("dropout", with_dropout, (0.2, 0.5, 0.7)),
    Way("L2", strengths=(3e-4, 1e-3, 3e-3), penalty=l2),
    Way("L1", strengths=(1e-5, 1e-4, 1e-3), penalty=l1),
    Way("early stopping", stops_early=True),
    Way("batch norm", with_batch_norm),
    Way("augmentation", augment=shifted),
    Way("dropout + augmentation", with_dropout, (0.2, 0.5, 0.7), augment=shifted),
]


def trained(way: Way, strength: float, seed: int, data: Digits) -> nn.Module:
    """One network."""
    best = BestSoFar(data) if way.stops_early else None
    penalty = partial(way.penalty, strength) if way.penalty else None
    model = seeded(partial(way.make, strength), seed)
    fit(model, data.x, data.y, seed=seed, penalty=penalty, augment=way.augment, after_step=best)
    if best:
        model.load_state_dict(best.weights)
    return model


Scores = dict[str, list[float]]


def scores(way: Way, strength: float) -> Scores:
    """By seed: the likelihoods, and the accuracy on the test rows."""
    table: Scores = {"validation": [], "train": [], "test": [], "accuracy": []}
    for seed in SEEDS:
        data = digits(seed)
        model = trained(way, strength, seed, data)
        table["validation"].append(nll(model, data.x_validation, data.y_validation))
        table["train"].append(nll(model, data.x, data.y))
        table["test"].append(nll(model, data.x_test, data.y_test))
        table["accuracy"].append(accuracy(model, data.x_test, data.y_test))
    return table


def best(way: Way) -> tuple[float, Scores]:
    """The strength that the validation rows like best."""
    tried = {strength: scores(way, strength) for strength in way.strengths}
    chosen = min(tried, key=lambda strength: spread(tried[strength]["validation"])[0])
    return chosen, tried[chosen]


def draw(axes: Axes, names: list[str], values: list[tuple[float, float]], label: str) -> None:
    """A point and a bar of one standard deviation for each way."""
    means, stds = zip(*values, strict=True)
    axes.errorbar(means, range(len(names)), xerr=stds, fmt="o", color=BLUE, markersize=4, capsize=2)
    axes.set(yticks=range(len(names)), yticklabels=names, xlabel=label)
    axes.invert_yaxis()


def main() -> None:
    """Train, print, draw."""
    figure, (left, right) = new_figure(2)
    results = {way.name: best(way) for way in WAYS}
    lines = ["way                      strength   train NLL        test NLL         test accuracy"]
    for name, (strength, table) in results.items():
        cells = ["{:.3f} ± {:.3f}".format(*spread(table[key])) for key in ("train", "test", "accuracy")]
        lines.append(f"{name:<24} {strength or '-':<10} {'    '.join(cells)}")
    publish_panels = ((left, "test", "test NLL (nats)"), (right, "accuracy", "test accuracy"))
    for axes, key, label in publish_panels:
        draw(axes, list(results), [spread(table[key]) for _, table in results.values()], label)
    right.set_yticklabels([])
    publish(figure, __file__, lines)


if __name__ == "__main__":
    main()
