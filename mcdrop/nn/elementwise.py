"""Dropout of single elements beyond `torch.nn.Dropout`: other scaling, other noise, a rate that moves.

Each element has its own draw. `torch.nn.Dropout` is right wherever none of these is needed.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mcdrop.errors import DomainError, InputError
from mcdrop.nn.rate import checked_rate

__all__ = ["Dropout", "GaussianDropout", "ScheduledDropout", "linear_schedule"]


class Dropout(nn.Module):
    """Dropout with the choice of when to scale: while training, or, as in 2014, while testing.

    `inverted=True` computes what `torch.nn.Dropout` does, x m / (1 - p) in training and x in evaluation.
    `inverted=False` is the original form, x m in training and (1 - p) x in evaluation, for weights that were
    trained that way. Both agree with their own evaluation in expectation, since E[m] = 1 - p.

    Args:
        p: Probability of a zero, in [0, 1).
        inverted: Whether to scale in training.

    Raises:
        DomainError: If p lies outside its range.

    Source:
        Srivastava et al. 2014, "Dropout: a simple way to prevent neural networks from overfitting", JMLR 15,
        section 4; section 10 for the inverted form.
    """

    def __init__(self, p: float = 0.5, *, inverted: bool = True) -> None:
        super().__init__()
        self.p = checked_rate(p)
        self.inverted = inverted

    def forward(self, x: Tensor) -> Tensor:
        """The shape of x, any."""
        dropped = F.dropout(x, self.p, self.training)
        return dropped if self.inverted else dropped * (1 - self.p)

    def extra_repr(self) -> str:
        """The arguments."""
        return f"p={self.p}, inverted={self.inverted}"


class GaussianDropout(nn.Module):
    """Multiplies by Gaussian noise of mean 1 and variance p / (1 - p), which is that of a dropout mask.

    Args:
        p: The rate of the dropout of the same variance, in [0, 1).

    Raises:
        DomainError: If p lies outside its range.

    Source:
        Srivastava et al. 2014, section 10; Wang and Manning 2013, "Fast dropout training".
    """

    def __init__(self, p: float = 0.5) -> None:
        super().__init__()
        self.p = checked_rate(p)

    def forward(self, x: Tensor) -> Tensor:
        """The shape of x, any."""
        if not self.training or self.p == 0:
            return x
        return x * (1 + math.sqrt(self.p / (1 - self.p)) * torch.randn_like(x))

    def extra_repr(self) -> str:
        """The arguments."""
        return f"p={self.p}"


class ScheduledDropout(nn.Module):
    """Dropout whose rate is a function of the training step.

    Call `step()` after each step of the optimiser, as for a learning rate. The number of steps is in the
    state dict, so that what was saved goes on, and is sampled, at the rate it had reached.

    Args:
        schedule: From the number of steps done to a rate in [0, 1).

    Attributes:
        p: The rate now.
        steps: (), how many steps were done.

    Raises:
        DomainError: If the schedule leaves the range of rates.
        InputError: If `schedule` is not a function.

    Source:
        Rising rates: Morerio et al. 2017, "Curriculum dropout", arXiv:1703.06229. Falling to 0: Liu et al.
        2023, "Dropout reduces underfitting", arXiv:2303.01500.
    """

    steps: Tensor

    def __init__(self, schedule: Callable[[int], float]) -> None:
        super().__init__()
        if not callable(schedule):
            raise InputError(f"schedule must be a function of the step, got {type(schedule).__name__}")
        self.schedule = schedule
        self.register_buffer("steps", torch.zeros((), dtype=torch.long))
        self.p = checked_rate(schedule(0))
        self.register_load_state_dict_post_hook(_take_up)  # type: ignore[no-untyped-call]

    def step(self) -> None:
        """Count one more step of training, and take the rate that the schedule has for it."""
        self.steps += 1
        self.p = self._scheduled()

    def _scheduled(self) -> float:
        return checked_rate(self.schedule(int(self.steps)))

    def forward(self, x: Tensor) -> Tensor:
        """The shape of x, any."""
        return F.dropout(x, self.p, self.training)

    def extra_repr(self) -> str:
        """The rate now."""
        return f"p={self.p}, steps={int(self.steps)}"


def _take_up(module: nn.Module, _keys: object) -> None:
    if isinstance(module, ScheduledDropout):
        module.p = checked_rate(module.schedule(int(module.steps)))


def linear_schedule(first: float, last: float, steps: int) -> Callable[[int], float]:
    """A rate that goes from `first` to `last` in a straight line over `steps` steps, and stays there.

    Raises:
        DomainError: If a rate lies outside [0, 1), or `steps` is below 1.
    """
    if steps < 1:
        raise DomainError(f"steps must be at least 1, got {steps}")
    return _Linear(checked_rate(first, "first"), checked_rate(last, "last"), steps)


@dataclass(frozen=True)
class _Linear:
    """A function that can be pickled with the layer."""

    first: float
    last: float
    steps: int

    def __call__(self, step: int) -> float:
        return self.first + (self.last - self.first) * min(step / self.steps, 1.0)
