"""A straight line: a transcript that can be run, call by call, without the Python that it came from.

Parameters and buffers are held by reference: what is written to them is seen. Where one of them has taken
another shape, dtype, layout or device since, the line does not hold any more.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from torch import Tensor

from mcdrop.engine.transcript import Constant, Slot, Step, Transcript

__all__ = ["StraightLine", "form"]


def form(tensor: Tensor) -> tuple[Any, ...]:
    """What Python may have asked of a tensor, beside its contents."""
    return tensor.shape, tensor.stride(), tensor.dtype, tensor.device


class StraightLine:
    """The calls of a transcript, ready to be made again; safe to share between threads.

    Args:
        transcript: Of a pass with real numbers.
    """

    def __init__(self, transcript: Transcript) -> None:
        self.constants = tuple(transcript.constants)
        self._forms = [form(tensor) for tensor in self.constants]
        steps, outputs = _shortened(transcript)
        self._outputs = [slot.number for slot in outputs]
        self._calls = list(_calls(steps, outputs, self.constants))
        self._room: list[Any] = [None] * (transcript.slots - transcript.given)

    def __len__(self) -> int:
        """How many calls it makes."""
        return len(self._calls)

    def holds(self) -> bool:
        """Whether every tensor that it refers to still has the form that it had."""
        return [form(tensor) for tensor in self.constants] == self._forms

    def run(self, given: Sequence[Tensor]) -> list[Tensor]:
        """What the function returns for other tensors.

        Args:
            given: As many, and of the same forms, as the transcript was given.
        """
        values = [*given, *self._room]
        for operator, fixed, places, lists, names, outs, done in self._calls:
            args = fixed.copy()
            for place, slot in places:
                args[place] = values[slot]
            for place, slots in lists:
                args[place] = [values[each] if type(each) is int else each for each in slots]
            made = operator(*args) if not names else _call_by_name(operator, args, names)
            if isinstance(outs, int):
                values[outs] = made
            else:
                for out, each in zip(outs, made or (), strict=True):
                    values[out] = each
            for slot in done:
                values[slot] = None
        return [values[slot] for slot in self._outputs]


class _Call(NamedTuple):
    """One call.

    Attributes:
        operator: An overload.
        args: With nothing in the place of what is made on the way.
        places: Where in `args` a tensor goes, and which.
        lists: Where in `args` a list goes, and what is in it: numbers of tensors, or something else.
        names: Of the last of `args`.
        outs: The number of the tensor that it returns, or those of several.
        done: The numbers of those that nobody needs any more.
    """

    operator: Any
    args: list[Any]
    places: list[tuple[int, int]]
    lists: list[tuple[int, list[Any]]]
    names: tuple[str, ...]
    outs: int | tuple[int, ...]
    done: tuple[int, ...]


def _call_by_name(operator: Any, args: list[Any], names: tuple[str, ...]) -> Any:
    by_position = len(args) - len(names)
    return operator(*args[:by_position], **dict(zip(names, args[by_position:], strict=True)))


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


def _calls(steps: Sequence[Step], outputs: Sequence[Slot], constants: Sequence[Tensor]) -> Iterator[_Call]:
    last: dict[Slot, int] = {}
    for index, step in enumerate(steps):
        last |= dict.fromkeys(_all_slots(step), index)
    ends: list[list[int]] = [[] for _ in steps]
    for slot, index in last.items():
        if slot not in outputs:
            ends[index].append(slot.number)
    for step, done in zip(steps, ends, strict=True):
        yield _call(step, constants, tuple(done))


def _call(step: Step, constants: Sequence[Tensor], done: tuple[int, ...]) -> _Call:
    given = (*step.args, *step.kwargs.values())
    numbers = tuple(out.number for out in step.outs if out is not None)
    return _Call(
        step.operator,
        [_bound(value, constants) for value in given],
        [(place, value.number) for place, value in enumerate(given) if isinstance(value, Slot)],
        [(place, list(_entries(value, constants))) for place, value in enumerate(given) if _moves(value)],
        tuple(step.kwargs),
        numbers[0] if step.single else numbers,
        done,
    )


def _moves(value: Any) -> bool:
    return type(value) is tuple and any(isinstance(each, Slot) for each in value)


def _entries(values: Iterable[Any], constants: Sequence[Tensor]) -> Iterator[Any]:
    for value in values:
        yield value.number if isinstance(value, Slot) else _bound(value, constants)


def _bound(value: Any, constants: Sequence[Tensor]) -> Any:
    """A value that is the same in every run."""
    if isinstance(value, Constant):
        return constants[value.number]
    if type(value) is tuple:
        return [_bound(each, constants) for each in value]
    return None if isinstance(value, Slot) else value
