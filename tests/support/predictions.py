"""Predictions to test statistics with: random laws for hypothesis, and stand-ins for predictives."""

from dataclasses import dataclass, field

import torch
from hypothesis import strategies as st
from torch import Tensor

from mcdrop.mixture import mixture_quantiles


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=generator(seed))


def uniform(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(*shape, dtype=torch.float64, generator=generator(seed))


def permutation(length: int, *, seed: int = 0) -> Tensor:
    return torch.randperm(length, generator=generator(seed))


@st.composite
def class_samples(draw: st.DrawFn, *, most_classes: int = 6) -> Tensor:
    """(S, N, C) laws, from nearly uniform to nearly certain."""
    shape = draw(st.tuples(st.integers(1, 5), st.integers(1, 4), st.integers(1, most_classes)))
    sharpness = draw(st.sampled_from([0.1, 1.0, 10.0, 1000.0]))
    seed = draw(st.integers(0, 2**31))
    return (normal(*shape, seed=seed) * sharpness).softmax(-1)


@st.composite
def labelled_confidences(draw: st.DrawFn, *, least: int = 1) -> tuple[Tensor, Tensor]:
    """Confidences with ties, zeros, ones and values on bin edges, and events."""
    values = st.sampled_from([0.0, 0.2, 0.25, 1 / 3, 0.5, 0.6, 0.9, 1.0]) | st.floats(0, 1)
    pairs = draw(st.lists(st.tuples(values, st.booleans()), min_size=least, max_size=40))
    confidence, event = zip(*pairs, strict=True)
    return torch.tensor(confidence, dtype=torch.float64), torch.tensor(event, dtype=torch.float64)


def calibrated(rows: int, *, seed: int = 0, power: float = 1.0) -> tuple[Tensor, Tensor]:
    """Confidences uniform on [0, 1] and events of probability confidence^power."""
    confidence = uniform(rows, seed=seed)
    event = (uniform(rows, seed=seed + 1_000_003) < confidence**power).to(torch.float64)
    return confidence, event


@dataclass(frozen=True)
class FakeClassPrediction:
    """Class probabilities as a predictive has them."""

    mean: Tensor
    deterministic: Tensor | None = None
    task: str = "classification"
    n_samples: int = 64
    seed: int = 7
    class_axis: int = 1
    notes: tuple[str, ...] = field(default=())


@dataclass(frozen=True)
class FakeRegression:
    """A regression as a predictive has it; `samples` (S, N, D)."""

    samples: Tensor
    tau: float | None = None
    deterministic: Tensor | None = None
    task: str = "regression"
    seed: int = 7

    @property
    def n_samples(self) -> int:
        return len(self.samples)

    @property
    def mean(self) -> Tensor:
        return self.samples.mean(0)

    def interval(self, level: float) -> tuple[Tensor, Tensor]:
        noise = 0.0 if self.tau is None else self.tau**-0.5
        lower, upper = mixture_quantiles(self.samples, noise, ((1 - level) / 2, (1 + level) / 2))
        return lower, upper
