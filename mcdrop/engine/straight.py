"""A straight line: a transcript that can be run, call by call, without the Python that it came from.

Parameters and buffers are held by reference: what is written to them is seen. Where one of them has taken
another shape, dtype, layout or device since, the line does not hold any more.
"""

from collections.abc import Sequence
from types import FunctionType
from typing import Any

from torch import Tensor
from torch._ops import OpOverload

from mcdrop.engine.bindings import binding
from mcdrop.engine.transcript import Constant, Slot, Step, Transcript, slots

__all__ = ["StraightLine", "form"]


def form(tensor: Tensor) -> tuple[Any, ...]:
    """What Python may have asked of a tensor, beside its contents."""
    return tensor.shape, tensor.stride(), tensor.dtype, tensor.device


class StraightLine:
    """The calls of a transcript, ready to be made again; safe to share between threads.

    They stand one below the other in a function of Python, which is the least that there is around a call.

    Args:
        transcript: Of a pass with real numbers; made shorter or not.
        given: What it was given; the calls are made with it once.
    """

    def __init__(self, transcript: Transcript, given: Sequence[Tensor]) -> None:
        self.constants = tuple(transcript.constants)
        self._forms = [form(tensor) for tensor in self.constants]
        self._calls = len(transcript.steps)
        self._function = _function(transcript)
        _bind(self._function, given)

    def __len__(self) -> int:
        """How many calls it makes."""
        return self._calls

    def holds(self) -> bool:
        """Whether every tensor that it refers to still has the form that it had."""
        # as `form`, without a call for each
        return [(t.shape, t.stride(), t.dtype, t.device) for t in self.constants] == self._forms

    def run(self, given: Sequence[Tensor]) -> list[Tensor]:
        """What the function returns for other tensors.

        Args:
            given: As many, and of the same forms, as the transcript was given.
        """
        outputs: list[Tensor] = self._function(*given)
        return outputs


def _function(transcript: Transcript) -> FunctionType:
    """A function that makes the calls; its globals are all that it refers to."""
    text = _Text(transcript.constants)
    lines = [f"def line({', '.join(_name(Slot(number)) for number in range(transcript.given))}):"]
    for step, done in zip(transcript.steps, _ends(transcript), strict=True):
        lines += [text.call(step), *(f"del {_name(slot)}" for slot in done)]
    lines.append(f"return [{', '.join(map(_name, transcript.outputs))}]")
    exec("\n    ".join(lines), text.names)  # noqa: S102 - names of ours, and nothing else
    function: FunctionType = text.names["line"]
    return function


def _ends(transcript: Transcript) -> list[list[Slot]]:
    """For each step: what nobody needs any more after it."""
    last: dict[Slot, int] = {}
    for index, step in enumerate(transcript.steps):
        last |= dict.fromkeys(slots((step.taken, step.outs)), index)
    ends: list[list[Slot]] = [[] for _ in transcript.steps]
    for slot, index in last.items():
        if slot not in transcript.outputs:
            ends[index].append(slot)
    return ends


class _Text:
    """Calls as Python text.

    Args:
        constants: Of the transcript.

    Attributes:
        names: What is the same in every run, by its name in the text.
    """

    def __init__(self, constants: Sequence[Tensor]) -> None:
        self.names: dict[str, Any] = {}
        self._constants = constants

    def call(self, step: Step) -> str:
        """One call, with names for what it returns."""
        by_name = (f"{name}={self._value(value)}" for name, value in step.kwargs.items())
        call = f"{self._named(step.operator)}({', '.join([*map(self._value, step.args), *by_name])})"
        if all(out is None for out in step.outs):
            return call
        outs = ", ".join("_" if out is None else _name(out) for out in step.outs)
        return f"{outs} = {call}" if step.single else f"[{outs}] = {call}"

    def _value(self, value: Any) -> str:
        if isinstance(value, Slot):
            return _name(value)
        if any(True for _ in slots(value)):
            return f"[{', '.join(map(self._value, value))}]"
        return self._named(_bound(value, self._constants))

    def _named(self, value: Any) -> str:
        name = f"c{len(self.names)}"
        self.names[name] = value
        return name


def _name(slot: Slot) -> str:
    return f"t{slot.number}"


def _bound(value: Any, constants: Sequence[Tensor]) -> Any:
    """A value that is the same in every run."""
    if isinstance(value, Constant):
        return constants[value.number]
    return [_bound(each, constants) for each in value] if type(value) is tuple else value


def _bind(function: FunctionType, given: Sequence[Tensor]) -> None:
    """Put quicker functions in the place of the operators that a function calls, by one run of it."""
    names = function.__globals__
    tried = {name: _Tried(value) for name, value in names.items() if isinstance(value, OpOverload)}
    names |= tried
    function(*given)
    names |= {name: each.function for name, each in tried.items()}


class _Tried:
    """An operator that finds out, when it is called, by which function it is called sooner."""

    def __init__(self, operator: OpOverload[..., Any]) -> None:
        self._operator = operator
        self.function: Any = operator

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        self.function = binding(self._operator, args, kwargs)
        return self._operator(*args, **kwargs)
