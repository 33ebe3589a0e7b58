"""Where to put dropout: before or after the activation, before or after the norm.

    python -m docs.figures.placement     # writes placement.svg and placement.txt beside this file

The gap is between the likelihoods of the deterministic pass and of the mean of 64 sampled passes. The shift
is the variance that the last batch norm has stored over the variance that reaches it when dropout is off: the
norm has learned the variance that dropout adds.
"""

from math import isnan

import torch
from torch import Tensor, nn

import mcdrop
from docs.figures.training import (
    BLUE,
    ORANGE,
    SEEDS,
    Layers,
    digits,
    fit,
    new_figure,
    nll,
    perceptron,
    publish,
    seeded,
    spread,
)

P = 0.3

PLACES: dict[str, Layers] = {
    "ReLU": lambda _: [nn.ReLU()],
    "ReLU, dropout": lambda _: [nn.ReLU(), nn.Dropout(P)],
    "dropout, ReLU": lambda _: [nn.Dropout(P), nn.ReLU()],
    "tanh, dropout": lambda _: [nn.Tanh(), nn.Dropout(P)],
    "dropout, tanh": lambda _: [nn.Dropout(P), nn.Tanh()],
    "batch norm, ReLU, dropout": lambda width: [nn.BatchNorm1d(width), nn.ReLU(), nn.Dropout(P)],
    "dropout, batch norm, ReLU": lambda width: [nn.Dropout(P), nn.BatchNorm1d(width), nn.ReLU()],
    "layer norm, ReLU, dropout": lambda width: [nn.LayerNorm(width), nn.ReLU(), nn.Dropout(P)],
    "dropout, layer norm, ReLU": lambda width: [nn.Dropout(P), nn.LayerNorm(width), nn.ReLU()],
}


@torch.no_grad()
def shift(model: nn.Sequential, x: Tensor) -> float:
    """Mean over units of stored variance / variance in eval mode, at the last batch norm; NaN without one."""
    ratio = float("nan")
    for layer in model:
        if isinstance(layer, nn.BatchNorm1d) and layer.running_var is not None:
            ratio = float(layer.running_var.sum() / x.var(0).sum())
        x = layer(x)
    return ratio


def scores(after: Layers, seed: int) -> tuple[float, float, float]:
    """Test likelihoods of the deterministic pass and of the mean of 64 sampled ones; the variance shift."""
    data = digits(seed)
    model = seeded(lambda: perceptron(after), seed)
    fit(model, data.x, data.y, seed=seed)
    moved = shift(model, data.x)
    deterministic = nll(model, data.x_test, data.y_test)
    if not any(isinstance(layer, nn.Dropout) for layer in model):
        return deterministic, deterministic, moved
    mc = mcdrop.MCDropout(model, n_samples=64, task="classification")
    picked = mc.predict(data.x_test).mean.gather(1, data.y_test[:, None])
    return deterministic, -float(picked.log().mean()), moved


Results = dict[str, list[tuple[float, ...]]]


def table(results: Results) -> list[str]:
    """Rows of the table, the gap taken seed by seed."""
    lines = [
        "after each linear layer       deterministic     mean of 64        gap                variance shift"
    ]
    for name, rows in results.items():
        gaps = [(alone, sampled, alone - sampled, moved) for alone, sampled, moved in rows]
        alone, sampled, gap, moved = (spread(values) for values in zip(*gaps, strict=True))
        cells = ["{:.3f} ± {:.3f}".format(*cell) for cell in (alone, sampled)]
        last = "-" if isnan(moved[0]) else "{:.2f} ± {:.2f}".format(*moved)
        lines.append(
            f"{name:<29} {cells[0]}     {cells[1]}     " + "{:+.3f} ± {:.3f}".format(*gap) + f"     {last}"
        )
    return lines


def main() -> None:
    """Train, print, draw."""
    figure, (axes,) = new_figure(1)
    results: Results = {name: [scores(after, seed) for seed in SEEDS] for name, after in PLACES.items()}
    for offset, column, label, colour in (
        (-0.12, 0, "deterministic", ORANGE),
        (0.12, 1, "mean of 64 passes", BLUE),
    ):
        means, stds = zip(*(spread(row[column] for row in rows) for rows in results.values()), strict=True)
        places = [row + offset for row in range(len(results))]
        axes.errorbar(means, places, xerr=stds, fmt="o", color=colour, markersize=4, capsize=2, label=label)
    axes.set(yticks=range(len(results)), yticklabels=list(results), xlabel="test NLL (nats)")
    axes.invert_yaxis()
    axes.legend(frameon=False, ncols=2, loc="lower right", bbox_to_anchor=(1, 1))
    publish(figure, __file__, table(results))


if __name__ == "__main__":
    main()
