"""For each kind of finding: a model that has it, and one that only nearly does."""

import warnings
from collections.abc import Callable
from typing import Any, Final, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import mcdrop
from mcdrop.inspection import Inspection
from tests.support.networks import features, fixed

__all__ = ["PATIENTS", "Patient"]


class Patient(NamedTuple):
    """Two inspections: of a model that has the finding, and of one that nearly does.

    Attributes:
        ill: Has it.
        well: Does not.
        module: Of the finding.
    """

    ill: Callable[[], Inspection]
    well: Callable[[], Inspection]
    module: str = ""


def seen(model: nn.Module, x: Any = None, *, as_it_is: bool = False, **options: Any) -> Inspection:
    """The inspection of a model with fixed weights, in eval mode."""
    x = features(24, 6) if x is None else x
    return mcdrop.inspect(model if as_it_is else fixed(model), x, **{"n_samples": 32, "seed": 3, **options})


def mlp(*drops: nn.Module, width: int = 16, last: int = 2) -> nn.Sequential:
    """(N, 6) to (N, last), with layers of dropout behind the activation."""
    return nn.Sequential(nn.Linear(6, width), nn.ReLU(), *drops, nn.Linear(width, last))


class Silenced(nn.Module):
    """Dropout whose result is not used, beside one that is if `used`."""

    def __init__(self, used: float = 0.0) -> None:
        super().__init__()
        self.linear, self.drop, self.other = nn.Linear(6, 2), nn.Dropout(0.3), nn.Dropout(used)

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.linear(x)
        return self.other(hidden) + 0 * self.drop(hidden)  # type: ignore[no-any-return]


class Counting(nn.Module):
    """Sorts the rows by chance, or multiplies them by it."""

    def __init__(self, *, permute: bool) -> None:
        super().__init__()
        self.linear, self.permute = nn.Linear(6, 2), permute

    def forward(self, x: Tensor) -> Tensor:
        h: Tensor = self.linear(x)
        if not self.training:
            return h
        return h[:, torch.randperm(2)] if self.permute else h * torch.rand_like(h)


class AlwaysOn(nn.Module):
    """Functional dropout, which is on unless it is told otherwise."""

    def __init__(self, *, told: bool) -> None:
        super().__init__()
        self.first, self.second, self.told = nn.Linear(6, 8), nn.Linear(8, 2), told

    def forward(self, x: Tensor) -> Tensor:
        h = F.dropout(self.first(x), 0.3, training=self.training if self.told else True)
        return self.second(h)  # type: ignore[no-any-return]


class Sequence(nn.Module):
    """An LSTM with dropout on its input: one mask for each step, or for all."""

    def __init__(self, *, per_step: bool) -> None:
        super().__init__()
        self.lstm, self.head, self.per_step = nn.LSTM(6, 5, batch_first=True), nn.Linear(5, 2), per_step

    def forward(self, x: Tensor) -> Tensor:
        mask = torch.ones_like(x if self.per_step else x[:, :1])
        out, _ = self.lstm(x * F.dropout(mask, 0.3, self.training))
        return self.head(out[:, -1])  # type: ignore[no-any-return]


def normed(*, after: bool) -> nn.Module:
    """A batch norm behind dropout, or before it."""
    norm, drop = nn.BatchNorm1d(16), nn.Dropout(0.5)
    layers = (norm, drop) if after else (drop, nn.Linear(16, 16), norm)
    return nn.Sequential(nn.Linear(6, 16), nn.ReLU(), *layers, nn.Linear(16, 2))


def convolutional(drop: nn.Module) -> nn.Module:
    head = (nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2))
    return nn.Sequential(nn.Conv2d(2, 4, 3), nn.ReLU(), drop, nn.Conv2d(4, 4, 3), nn.ReLU(), *head)


def images() -> Tensor:
    return features(24, 2, 8, 8)


def scripted() -> nn.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        part: nn.Module = torch.jit.script(nn.Sequential(nn.Linear(6, 8), nn.Dropout(0.3)))
    return nn.Sequential(nn.Linear(6, 6), part, nn.Linear(8, 2)).eval()


def compiled() -> nn.Module:
    part: nn.Module = torch.compile(nn.Sequential(nn.Linear(6, 8), nn.Dropout(0.3)), backend="eager")  # type: ignore[assignment]
    return nn.Sequential(nn.Linear(6, 6), part, nn.Linear(8, 2)).eval()


def wide(p: float) -> nn.Module:
    """A network whose last layer adds up many rectified units, so that noise before them shifts the mean."""
    model = fixed(
        nn.Sequential(nn.Linear(6, 64), nn.Dropout(p), nn.Linear(64, 256), nn.ReLU(), nn.Linear(256, 1))
    )
    nn.init.constant_(model[4].weight, 0.05)  # type: ignore[index]
    return model


def linear(p: float) -> nn.Module:
    """A network whose mean does not shift however high the rate."""
    return nn.Sequential(nn.Linear(6, 64), nn.Dropout(p), nn.Linear(64, 1))


def trained(p: float) -> Inspection:
    """A network trained on a simple rule, with outcomes for its rows."""
    x = features(256, 6)
    y = (x[:, 0] + x[:, 1] > 0).long()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Dropout(p), nn.Linear(16, 2))
        optimiser = torch.optim.Adam(model.parameters(), 0.03)
        for _ in range(60):
            optimiser.zero_grad()
            F.cross_entropy(model(x), y).backward()
            optimiser.step()
    return seen(model.eval(), x, as_it_is=True, task="classification", y=y)


def in_train_mode(*, left: bool) -> Inspection:
    return seen(fixed(normed(after=True)).train(left), as_it_is=True)


def injected(*, tuned: bool) -> Inspection:
    model = mcdrop.inject(fixed(mlp()), p=0.1)
    if tuned:
        model.tuned_rates = {"*": 0.1}  # type: ignore[assignment]
    return seen(model, as_it_is=True)


def everywhere(second: float) -> nn.Module:
    first = (nn.Conv2d(2, 4, 3), nn.ReLU(), nn.Dropout2d(0.2), nn.Conv2d(4, 4, 3), nn.Dropout2d(0.2))
    return nn.Sequential(*first, nn.Flatten(), nn.Linear(64, 8), nn.Dropout(second), nn.Linear(8, 2))


PATIENTS: Final[dict[str, Patient]] = {
    "MC001": Patient(lambda: seen(mlp()), lambda: seen(mlp(nn.Dropout(0.3)))),
    "MC002": Patient(
        lambda: seen(mlp(nn.Dropout(0.0), nn.Dropout(0.3))),
        lambda: seen(mlp(nn.Dropout(0.01), nn.Dropout(0.3))),
        "2",
    ),
    "MC003": Patient(lambda: seen(Counting(permute=True)), lambda: seen(Counting(permute=False))),
    "MC004": Patient(lambda: seen(scripted(), as_it_is=True), lambda: seen(compiled(), as_it_is=True), "1"),
    "MC005": Patient(lambda: seen(Silenced()), lambda: seen(Silenced(0.2))),
    "MC006": Patient(lambda: seen(normed(after=False)), lambda: seen(normed(after=True)), "2"),
    "MC007": Patient(lambda: seen(mlp(nn.Dropout(0.7))), lambda: seen(mlp(nn.Dropout(0.5))), "2"),
    "MC008": Patient(lambda: seen(everywhere(0.2), images()), lambda: seen(everywhere(0.3), images()), "2"),
    "MC009": Patient(
        lambda: seen(nn.Sequential(nn.Linear(6, 3), nn.Dropout(0.3))),
        lambda: seen(nn.Sequential(nn.Dropout(0.3), nn.Linear(6, 3))),
        "1",
    ),
    "MC010": Patient(lambda: seen(wide(0.9), as_it_is=True), lambda: seen(linear(0.9)), "1"),
    "MC011": Patient(lambda: seen(wide(0.9), as_it_is=True), lambda: seen(wide(0.02), as_it_is=True)),
    "MC012": Patient(
        lambda: seen(mlp(nn.Dropout(0.3)), precision=0.1), lambda: seen(mlp(nn.Dropout(0.3)), precision=0.3)
    ),
    "MC013": Patient(
        lambda: seen(convolutional(nn.Dropout(0.2)), images()),
        lambda: seen(convolutional(nn.Dropout2d(0.2)), images()),
        "2",
    ),
    "MC014": Patient(
        lambda: seen(Sequence(per_step=True), features(24, 5, 6)),
        lambda: seen(Sequence(per_step=False), features(24, 5, 6)),
    ),
    "MC015": Patient(lambda: in_train_mode(left=True), lambda: in_train_mode(left=False)),
    "MC016": Patient(lambda: trained(0.97), lambda: trained(0.5), "2"),
    "MC017": Patient(lambda: injected(tuned=False), lambda: injected(tuned=True), "0.injected_before"),
    "MC018": Patient(lambda: seen(AlwaysOn(told=False)), lambda: seen(AlwaysOn(told=True))),
    "MC019": Patient(lambda: seen(Silenced(0.2)), lambda: seen(mlp(nn.Dropout(0.2))), "drop"),
}
