"""The rate of dropout against the loss on the rows that were trained on and on others.

python -m docs.figures.rates     # writes rates.svg and rates.txt beside this file
"""

from torch import nn

from docs.figures.training import (
    BLUE,
    ORANGE,
    SEEDS,
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

RATES = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95)


def scores(p: float, seed: int) -> tuple[float, float, float]:
    """Train and test likelihood, and test accuracy."""
    data = digits(seed)
    model = seeded(lambda: perceptron(lambda _: [nn.ReLU(), nn.Dropout(p)]), seed)
    fit(model, data.x, data.y, seed=seed)
    test = data.x_test, data.y_test
    return nll(model, data.x, data.y), nll(model, *test), accuracy(model, *test)


def main() -> None:
    """Train, print, draw."""
    figure, (left, right) = new_figure(2)
    columns = {
        p: [spread(values) for values in zip(*(scores(p, seed) for seed in SEEDS), strict=True)]
        for p in RATES
    }
    lines = ["rate   train NLL        test NLL         test accuracy"]
    for p, cells in columns.items():
        lines.append(f"{p:<6} " + "    ".join("{:.3f} ± {:.3f}".format(*cell) for cell in cells))
    for axes, column, label, colour in (
        (left, 0, "train", ORANGE),
        (left, 1, "test", BLUE),
        (right, 2, "test", BLUE),
    ):
        means, stds = zip(*(cells[column] for cells in columns.values()), strict=True)
        axes.errorbar(RATES, means, yerr=stds, fmt="o-", color=colour, markersize=4, capsize=2, label=label)
    left.set(xlabel="rate", ylabel="NLL (nats)", ylim=(0, None))
    left.legend(frameon=False)
    right.set(xlabel="rate", ylabel="test accuracy")
    publish(figure, __file__, lines)


if __name__ == "__main__":
    main()
