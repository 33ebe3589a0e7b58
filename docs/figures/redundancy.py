"""Redundancy: the accuracy of a network as hidden units are taken away, trained with dropout and without.

    python -m docs.figures.redundancy     # writes redundancy.svg and redundancy.txt beside this file

Units are taken from both hidden layers at random, ten times for each network; what is left is not trained on,
and not scaled.
"""

import torch
from torch import Tensor, nn

from docs.figures.training import (
    BLUE,
    GREY,
    ORANGE,
    SEEDS,
    WIDTH,
    digits,
    fit,
    new_figure,
    perceptron,
    publish,
    seeded,
    spread,
)

SHARES = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
RATES = {0.0: GREY, 0.2: ORANGE, 0.5: BLUE}
ORDERS = 10


@torch.no_grad()
def without(model: nn.Sequential, x: Tensor, share: float, order: int) -> Tensor:
    """Logits of the network with a random share of the units of each hidden layer at zero."""
    generator = torch.Generator().manual_seed(order)
    removed = round(share * WIDTH)
    for layer in model:
        x = layer(x)
        if isinstance(layer, nn.ReLU):
            x = x.index_fill(1, torch.randperm(WIDTH, generator=generator)[:removed], 0.0)
    return x


def accuracies(p: float, seed: int) -> list[float]:
    """Mean over the orders, for every share."""
    data = digits(seed)
    model = seeded(lambda: perceptron(lambda _: [nn.ReLU(), nn.Dropout(p)]), seed)
    fit(model, data.x, data.y, seed=seed)
    return [
        spread(
            float((without(model, data.x_test, share, order).argmax(1) == data.y_test).double().mean())
            for order in range(ORDERS)
        )[0]
        for share in SHARES
    ]


def main() -> None:
    """Train, print, draw."""
    figure, (axes,) = new_figure(1)
    curves = {p: [spread(v) for v in zip(*(accuracies(p, s) for s in SEEDS), strict=True)] for p in RATES}
    lines = ["units removed   " + "   ".join(f"rate {p:<8}" for p in RATES)]
    for i, share in enumerate(SHARES):
        cells = "   ".join("{:.3f} ± {:.3f}".format(*curve[i]) for curve in curves.values())
        lines.append(f"{share:<15.0%} {cells}")
    for p, curve in curves.items():
        means, stds = zip(*curve, strict=True)
        axes.errorbar(
            SHARES, means, stds, fmt="o-", color=RATES[p], markersize=4, capsize=2, label=f"rate {p}"
        )
    axes.set(xlabel="share of the hidden units that is removed", ylabel="test accuracy", ylim=(0, 1))
    axes.legend(frameon=False, title="trained with dropout of")
    publish(figure, __file__, lines)


if __name__ == "__main__":
    main()
