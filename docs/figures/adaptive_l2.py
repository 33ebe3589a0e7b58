"""Dropout of the inputs of a logistic regression as an adaptive L2 penalty.

    python -m docs.figures.adaptive_l2     # writes adaptive_l2.svg and adaptive_l2.txt beside this file

Whether the diabetes of a patient progresses by more than 140 within a year. Four regressions are fitted:
with the mean loss over 1000 dropout masks of each row, with the penalty that approximates it, and with two
plain L2 penalties whose strength makes their weights as long as those of dropout: of the weights of
standardised features, and of those of features in their own units (years, mmHg, ...). Seeds are random halves
of the rows.

Source: Wager, Wang and Liang 2013, "Dropout training as adaptive regularization", arXiv:1307.1493, eq. 12.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from sklearn.datasets import load_diabetes
from torch import Tensor

from docs.figures.training import BLUE, GREY, ORANGE, SEEDS, new_figure, publish, spread

RATES = (0.1, 0.3, 0.5)
COLOURS = {"adaptive L2": BLUE, "L2, standardised": ORANGE, "L2, own units": GREY}
MASKS = 1000


def data(seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """Half of the rows: (N, D) standardised features, labels 0 or 1, and the features' own scales."""
    raw, target = load_diabetes(return_X_y=True, scaled=False)
    half = torch.randperm(len(raw), generator=torch.Generator().manual_seed(seed))[: len(raw) // 2]
    x = torch.tensor(raw, dtype=torch.float32)[half]
    y = torch.tensor(target > 140, dtype=torch.float32)[half]
    return (x - x.mean(0)) / x.std(0), y, x.std(0)


def fitted(loss: Callable[[Tensor], Tensor], size: int) -> Tensor:
    """The weights that make a loss smallest, by L-BFGS."""
    weights = torch.zeros(size, requires_grad=True)
    optimiser = torch.optim.LBFGS([weights], max_iter=100, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimiser.zero_grad()
        value = loss(weights)
        value.backward()
        return value

    optimiser.step(closure)
    return weights.detach()


def adaptive_penalty(x: Tensor, weights: Tensor, p: float) -> Tensor:
    """The sum over features of w^2 times the mean of x^2 q (1 - q), times p / (1 - p) / 2.

    Here q is the probability that the model gives a row: features count where it is unsure.
    """
    q = (x @ weights).sigmoid()
    information = (x.square() * (q * (1 - q))[:, None]).mean(0)
    return p / (1 - p) / 2 * (weights.square() * information).sum()


def with_dropout(x: Tensor, y: Tensor, p: float, seed: int) -> Tensor:
    """Weights fitted to the mean loss over many masks, the same at every step."""
    generator = torch.Generator().manual_seed(seed)
    kept = torch.rand(MASKS, *x.shape, generator=generator) >= p
    noisy = (x * kept / (1 - p)).flatten(0, 1)
    labels = y.repeat(MASKS)
    return fitted(lambda w: F.binary_cross_entropy_with_logits(noisy @ w, labels), x.shape[1])


def with_penalty(x: Tensor, y: Tensor, penalty: Callable[[Tensor], Tensor]) -> Tensor:
    """Weights fitted to the loss without noise, and a penalty."""
    return fitted(lambda w: F.binary_cross_entropy_with_logits(x @ w, y) + penalty(w), x.shape[1])


def plain_as_long_as(x: Tensor, y: Tensor, length: float, units: Tensor) -> Tensor:
    """Weights of the L2 penalty of w / units whose strength gives them a length; found by bisection."""
    low, high = 1e-6, 1e4
    for _ in range(30):
        strength = (low * high) ** 0.5
        weights = with_penalty(x, y, lambda w, s=strength: s * (w / units).square().sum())  # type: ignore[misc]
        low, high = (strength, high) if float(weights.norm()) > length else (low, strength)
    return weights


def regressions(p: float, seed: int) -> dict[str, Tensor]:
    """Weights of standardised features, by what they were fitted with."""
    x, y, units = data(seed)
    dropout = with_dropout(x, y, p, seed)
    length = float(dropout.norm())
    return {
        "dropout": dropout,
        "adaptive L2": with_penalty(x, y, lambda w: adaptive_penalty(x, w, p)),
        "L2, standardised": plain_as_long_as(x, y, length, torch.ones(())),
        "L2, own units": plain_as_long_as(x, y, length, units),
    }


def distances(p: float) -> dict[str, tuple[float, float]]:
    """From the weights of dropout, in lengths of those: mean and spread over seeds, by penalty."""
    fits = [regressions(p, seed) for seed in SEEDS]
    return {
        name: spread(float((fit[name] - fit["dropout"]).norm() / fit["dropout"].norm()) for fit in fits)
        for name in COLOURS
    }


def main() -> None:
    """Fit, print, draw."""
    figure, (left, right) = new_figure(2)
    results = {p: distances(p) for p in RATES}
    lines = ["rate   " + "".join(f"{name:<19}" for name in COLOURS)]
    for p, cells in results.items():
        lines.append(
            f"{p:<6} " + "".join("{:.3f} ± {:.3f}".format(*cell) + " " * 6 for cell in cells.values())
        )
    shown = regressions(0.5, 0)
    right.axline((0, 0), slope=1, color=GREY, lw=0.8)
    for name, colour in COLOURS.items():
        means, stds = zip(*(cells[name] for cells in results.values()), strict=True)
        left.errorbar(RATES, means, stds, fmt="o-", color=colour, markersize=4, capsize=2, label=name)
        right.plot(shown["dropout"], shown[name], "o", color=colour, markersize=4)
    left.set(xlabel="rate", ylabel="distance from dropout's weights", ylim=(0, None))
    left.legend(frameon=False)
    right.set(xlabel="weights with dropout of .5", ylabel="weights with a penalty")
    publish(figure, __file__, lines)


if __name__ == "__main__":
    main()
