"""A straight line: a transcript that can be run, call by call, without the Python that it came from.

Parameters and buffers are held by reference: what is written to them is seen. Where one of them has taken
another shape, dtype, layout or device since, the line does not hold any more.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from types import FunctionType
from typing import Any

from torch import Tensor
from torch._ops import OpOverload

from mcdrop.engine.bindings import binding
from mcdrop.engine.transcript import Constant, Slot, Step, Transcript

__all__ = ["StraightLine", "form"]


def form(tensor: Tensor) -> tuple[Any, ...]:
    """What Python may have asked of a tensor, beside its contents."""
    return tensor.shape, tensor.stride(), tensor.dtype, tensor.device


class StraightLine:
    """The calls of a transcript, ready to be made again; safe to share between threads.

    They stand one below the other in a function of Python, which is the least that there is around a call.

    Args:
        transcript: Of a pass with real numbers.
        given: What it was given; the calls are made with it once.
    """

    def __init__(self, transcript: Transcript, given: Sequence[Tensor]) -> None:
        self.constants = tuple(transcript.constants)
        self._forms = [form(tensor) for tensor in self.constants]
        steps, outputs = _shortened(transcript)
        self._calls = len(steps)
        self._function = _function(transcript.given, steps, outputs, self.constants)
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


def _shortened(transcript: Transcript) -> tuple[list[Step], list[Slot]]:
    """The steps without those that only give a tensor another object, or a view that nobody uses."""
    written = {slot for step in transcript.steps if _writes(step) for slot in _all_slots(step)}
    known: dict[Slot, Slot] = {}
    steps = []
    for step in transcript.steps:
        moved = replace(
            step,
            args=tuple(_renamed(value, known) for value in step.args),
            kwargs={name: _renamed(value, known) for name, value in step.kwargs.items()},
        )
        # a write can give one of two objects another shape: they are not the same then
        if moved.same and isinstance(moved.args[0], Slot) and written.isdisjoint(_all_slots(step)):
            known |= {out: moved.args[0] for out in moved.outs if out is not None and out != moved.args[0]}
        else:
            steps.append(moved)
    outputs = [known.get(slot, slot) for slot in transcript.outputs]
    return _needed(steps, outputs), outputs


def _renamed(value: Any, known: dict[Slot, Slot]) -> Any:
    if type(value) is tuple:
        return tuple(_renamed(each, known) for each in value)
    return known.get(value, value) if isinstance(value, Slot) else value


def _needed(steps: Sequence[Step], outputs: Sequence[Slot]) -> list[Step]:
    needed, kept = set(outputs), []
    for step in reversed(steps):
        if not _is_view(step) or not needed.isdisjoint(out for out in step.outs if out is not None):
            needed.update(_slots((step.args, tuple(step.kwargs.values()))))
            kept.append(step)
    return kept[::-1]


def _is_view(step: Step) -> bool:
    returns = step.operator._schema.returns  # noqa: SLF001 - the only place where torch says it
    views = [value.alias_info is not None for value in returns]
    return not _writes(step) and bool(views) and all(views)  # what returns nothing is there to complain


def _writes(step: Step) -> bool:
    writes: bool = step.operator._schema.is_mutable  # noqa: SLF001
    return writes


def _all_slots(step: Step) -> Iterator[Slot]:
    yield from _slots((step.args, tuple(step.kwargs.values()), step.outs))


def _slots(value: Any) -> Iterator[Slot]:
    if isinstance(value, Slot):
        yield value
    elif type(value) is tuple:
        for each in value:
            yield from _slots(each)


def _function(
    given: int, steps: Sequence[Step], outputs: Sequence[Slot], constants: Sequence[Tensor]
) -> FunctionType:
    """A function of so many tensors that makes the calls; its globals are all that it refers to."""
    text = _Text(constants)
    lines = [f"def line({', '.join(_name(Slot(number)) for number in range(given))}):"]
    for step, done in zip(steps, _ends(steps, outputs), strict=True):
        lines += [text.call(step), *(f"del {_name(slot)}" for slot in done)]
    lines.append(f"return [{', '.join(map(_name, outputs))}]")
    exec("\n    ".join(lines), text.names)  # noqa: S102 - names of ours, and nothing else
    function: FunctionType = text.names["line"]
    return function


def _ends(steps: Sequence[Step], outputs: Sequence[Slot]) -> list[list[Slot]]:
    """For each step: what nobody needs any more after it."""
    last: dict[Slot, int] = {}
    for index, step in enumerate(steps):
        last |= dict.fromkeys(_all_slots(step), index)
    ends: list[list[Slot]] = [[] for _ in steps]
    for slot, index in last.items():
        if slot not in outputs:
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
        if any(True for _ in _slots(value)):
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
