"""Dropout as an ensemble: the mean of N sub-networks, and how far it is from that of all of them.

    python -m docs.figures.ensemble     # writes ensemble.svg and ensemble.txt beside this file

"All of them" is 4096 sub-networks. The spread between sub-networks is estimated from N as well. Stratified
masks are what `MCDropout` draws; plain ones are drawn independently.
"""

from collections.abc import Sequence

import torch
from matplotlib.axes import Axes
from torch import Tensor, nn

import mcdrop
from docs.figures.training import (
    BLUE,
    GREY,
    ORANGE,
    SEEDS,
    Digits,
    digits,
    fit,
    new_figure,
    nll,
    perceptron,
    publish,
    seeded,
    spread,
)

SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256)
ALL = 4096
ROWS = 300


def network(seed: int, data: Digits) -> nn.Module:
    """Trained with dropout of .5."""
    model = seeded(lambda: perceptron(lambda _: [nn.ReLU(), nn.Dropout(0.5)]), seed)
    return fit(model, data.x, data.y, seed=seed)


def probabilities(model: nn.Module, x: Tensor, rng: str, count: int, seed: int) -> Tensor:
    """(S, N, C), of so many sub-networks."""
    samples: Tensor = mcdrop.MCDropout(model, rng=rng, seed=seed).sample(x, n_samples=count)
    return samples.softmax(-1)


def score(probs: Tensor, y: Tensor) -> float:
    """Mean negative log-likelihood of mean probabilities, in nats."""
    return -float(probs.mean(0).gather(1, y[:, None]).log().mean())


Curves = dict[str, list[list[float]]]


def add(curves: Curves, seed: int) -> None:
    """What one trained network has to say, for every N."""
    data = digits(seed)
    x, y = data.x_test[:ROWS], data.y_test[:ROWS]
    model = network(seed, data)
    limit = probabilities(model, x, "philox-1-plain", ALL, seed=1)
    mean, std = limit.mean(0), limit.std(0)
    for name, rng in (("plain", "philox-1-plain"), ("stratified", "philox-1")):
        some = probabilities(model, x, rng, SIZES[-1], seed=2)
        curves[name].append([_rms(some[:n].mean(0) - mean) for n in SIZES])
        if name == "plain":
            curves["std"].append([_rms(some[:n].std(0) - std) / _rms(std) for n in SIZES[1:]])
            curves["nll"].append([score(some[:n], y) for n in SIZES])
    curves["deterministic"].append([nll(model, x, y)])


def _rms(x: Tensor) -> float:
    return float(x.square().mean().sqrt())


def columns(rows: list[list[float]]) -> list[tuple[float, float]]:
    """Mean and spread over seeds, for every N."""
    return [spread(values) for values in zip(*rows, strict=True)]


def table(curves: Curves) -> list[str]:
    """What the text quotes."""
    lines = ["N     error, plain        error, stratified   error of the std   test NLL"]
    stds = ["-", *("{:.2f} ± {:.2f}".format(*cell) for cell in columns(curves["std"]))]
    cells = zip(
        columns(curves["plain"]), columns(curves["stratified"]), stds, columns(curves["nll"]), strict=True
    )
    for n, (plain, stratified, std, likelihood) in zip(SIZES, cells, strict=True):
        errors = "   ".join("{:.4f} ± {:.4f}".format(*cell) for cell in (plain, stratified))
        lines.append(f"{n:<5} {errors}   {std:<18} " + "{:.3f} ± {:.3f}".format(*likelihood))
    return [
        *lines,
        "one deterministic pass: test NLL {:.3f} ± {:.3f}".format(*columns(curves["deterministic"])[0]),
    ]


def draw(axes: Axes, sizes: Sequence[int], rows: list[list[float]], colour: str, label: str | None) -> None:
    """A curve over N, with the spread over seeds."""
    means, stds = zip(*columns(rows), strict=True)
    axes.errorbar(sizes, means, yerr=stds, fmt="o-", color=colour, markersize=4, capsize=2, label=label)


def main() -> None:
    """Train, print, draw."""
    figure, (left, middle, right) = new_figure(3)
    curves: Curves = {name: [] for name in ("plain", "stratified", "std", "nll", "deterministic")}
    for seed in SEEDS:
        add(curves, seed)
    draw(left, SIZES, curves["plain"], ORANGE, "plain")
    draw(left, SIZES, curves["stratified"], BLUE, "stratified")
    first = columns(curves["plain"])[0][0]
    left.plot(SIZES, [first / n**0.5 for n in SIZES], "--", color=GREY, label="1 / √N")
    draw(middle, SIZES[1:], curves["std"], ORANGE, None)
    draw(right, SIZES, curves["nll"], ORANGE, "mean of N")
    right.axhline(columns(curves["deterministic"])[0][0], color=GREY, ls="--", label="deterministic")
    left.set(yscale="log", ylabel="error of the mean probability")
    left.set_yticks([0.003, 0.01, 0.03], ["0.003", "0.01", "0.03"])
    middle.set(ylim=(0, None), ylabel="error of the std (relative)")
    right.set(ylim=(0.15, 0.55), ylabel="test NLL (nats)")
    for axes in (left, middle, right):
        axes.set(xscale="log", xlabel="sub-networks N")
        axes.set_xticks(SIZES[::2], [str(n) for n in SIZES[::2]])
        axes.minorticks_off()
    for axes in (left, right):
        axes.legend(frameon=False)
    figure.set_layout_engine("constrained", w_pad=0.12)
    publish(figure, __file__, table(curves))


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
