"""A transcript: the calls of torch's operators that a function of some tensors makes, in order."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from torch import Tensor

from mcdrop.errors import UnsupportedModelError

__all__ = ["Constant", "NoTranscriptError", "Slot", "Step", "Transcript", "slots"]


class NoTranscriptError(UnsupportedModelError):
    """What a function does is not the same calls whatever its tensors hold, or that is not known."""


class Slot(NamedTuple):
    """Stands for a tensor that was given, or made by a call."""

    number: int


class Constant(NamedTuple):
    """Stands for a tensor that was there before."""

    number: int


@dataclass(frozen=True)
class Step:
    """One call.

    Attributes:
        operator: An overload.
        args: Its arguments; slots and constants in the place of tensors.
        kwargs: By name.
        outs: The slots of what it returns; None for what is no tensor.
        single: Whether it returns one tensor, and no sequence.
        same: Whether that is the tensor that its first argument is, by another object.
    """

    operator: Any
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    outs: tuple[Slot | None, ...]
    single: bool
    same: bool = False

    @property
    def taken(self) -> tuple[Any, ...]:
        """All arguments."""
        return (*self.args, *self.kwargs.values())

    def __str__(self) -> str:
        """What must agree between two transcripts; numbers by their text, which tells 1 from True."""
        return repr((str(self.operator), self.args, sorted(self.kwargs.items()), self.outs, self.single))


@dataclass
class Transcript:
    """All calls.

    Attributes:
        given: How many tensors were given; they have the first slots.
        steps: The calls.
        constants: The tensors that were there before.
        outputs: The slots of what the function returned.
        slots: How many there are.
    """

    given: int
    steps: list[Step] = field(default_factory=list)
    constants: list[Tensor] = field(default_factory=list)
    outputs: tuple[Slot, ...] = ()
    slots: int = 0

    def check_equal(self, other: "Transcript") -> None:
        """Both are of the same calls, on the same constants.

        A constant that is not the same object was made on the way, of numbers of Python: it holds the same.

        Raises:
            NoTranscriptError: If not.
        """
        if [*map(str, self.steps), self.outputs] != [*map(str, other.steps), other.outputs]:
            raise NoTranscriptError("two passes make different calls")
        for one, another in zip(self.constants, other.constants, strict=True):
            if one is not another and not _same_numbers(one, another):
                raise NoTranscriptError("two passes find different tensors that no call has made")


def slots(value: Any) -> Iterator[Slot]:
    """Those in arguments, or in what a call returns."""
    if isinstance(value, Slot):
        yield value
    elif type(value) is tuple:
        for each in value:
            yield from slots(each)


def _same_numbers(one: Tensor, another: Tensor) -> bool:
    return one.dtype == another.dtype and one.stride() == another.stride() and torch.equal(one, another)
