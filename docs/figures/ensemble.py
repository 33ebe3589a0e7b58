"""Dropout as an ensemble: the mean of N sub-networks, and how far it is from that of all of them.

    python -m docs.figures.ensemble     # writes ensemble.svg and ensemble.txt beside this file

"All of them" is 4096 sub-networks. The spread between sub-networks is estimated from N as well. Stratified
masks are what `MCDropout` draws; plain ones are drawn independently.
"""

import torch
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


def main() -> None:
    """Train, print, draw."""
    figure, (left, right) = new_figure(2)
    curves: Curves = {name: [] for name in ("plain", "stratified", "std", "nll", "deterministic")}
    for seed in SEEDS:
        add(curves, seed)
    for name, colour in (("plain", ORANGE), ("stratified", BLUE)):
        means, stds = zip(*columns(curves[name]), strict=True)
        left.errorbar(SIZES, means, yerr=stds, fmt="o-", color=colour, markersize=4, capsize=2, label=name)
    first = columns(curves["plain"])[0][0]
    left.plot(SIZES, [first / n**0.5 for n in SIZES], "--", color=GREY, label="1 / √N")
    left.set(xscale="log", yscale="log", xlabel="sub-networks N", ylabel="error of the mean probability")
    means, stds = zip(*columns(curves["nll"]), strict=True)
    right.errorbar(
        SIZES, means, yerr=stds, fmt="o-", color=ORANGE, markersize=4, capsize=2, label="mean of N"
    )
    right.axhline(columns(curves["deterministic"])[0][0], color=GREY, ls="--", label="one deterministic pass")
    right.set(xscale="log", xlabel="sub-networks N", ylabel="test NLL (nats)")
    for axes in (left, right):
        axes.legend(frameon=False)
    publish(figure, __file__, table(curves))


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
