"""Transcripts with fewer calls that come to the same."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

import torch
from torch import Tensor

from mcdrop.engine.operators import is_view
from mcdrop.engine.transcript import Constant, Slot, Step, Transcript, slots

__all__ = ["shortened", "with_linear_layers"]

_LINEAR: Final = torch.ops.aten.linear.default
_PRODUCT: Final = torch.ops.aten.addmm.default
_TRANSPOSED: Final = torch.ops.aten.t.default
_FLAT: Final = torch.ops.aten.flatten.using_ints
_VIEW: Final = torch.ops.aten.view.default


def shortened(transcript: Transcript) -> Transcript:
    """Without the calls that only give a tensor another object, or a view that nobody uses."""
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
    outputs = tuple(known.get(slot, slot) for slot in transcript.outputs)
    return replace(transcript, steps=_needed(steps, outputs), outputs=outputs)


def with_linear_layers(transcript: Transcript) -> Transcript:
    """With one call for each linear layer, which vmap takes apart.

    It makes `addmm(bias, x, t(weight))` of it, with `flatten` before and `view` behind if x is no matrix.
    So does torch, in C++, where x lies in memory in the usual order.

    Args:
        transcript: That was shortened.
    """
    made = {out: step for step in transcript.steps for out in slots(step.outs)}
    uses = Counter([*(slot for step in transcript.steps for slot in slots(step.taken)), *transcript.outputs])
    users = {slot: step for step in transcript.steps for slot in slots(step.taken)}
    steps, joined = [], set()
    for step in transcript.steps:
        layer = _layer(step, made, transcript.constants)
        (out, *_) = step.outs or (None,)
        view = users.get(out) if out is not None and uses[out] == 1 else None
        if layer is not None and view is not None and _is_cube(layer.args[0], view, made):
            x = made[layer.args[0]].args[0]
            layer = replace(layer, args=(x, *layer.args[1:]), outs=view.outs)
            joined.add(id(view))
        steps.append(layer or step)
    steps = [step for step in steps if id(step) not in joined]
    return replace(transcript, steps=_needed(steps, transcript.outputs))


def _layer(step: Step, made: Mapping[Slot, Step], constants: Sequence[Tensor]) -> Step | None:
    """The linear layer that a product is."""
    if step.operator is not _PRODUCT or step.kwargs:
        return None
    bias, x, turned = step.args
    maker = made.get(turned) if isinstance(turned, Slot) else None
    if maker is None or maker.operator is not _TRANSPOSED or not isinstance(maker.args[0], Constant):
        return None
    if not isinstance(bias, Constant) or constants[bias.number].dim() != 1:
        return None
    return Step(_LINEAR, (x, maker.args[0], bias), {}, step.outs, single=True)


def _is_cube(x: Any, view: Step, made: Mapping[Slot, Step]) -> bool:
    """Whether the rows of a layer were laid flat out of two axes, and are put back into them."""
    maker = made.get(x) if isinstance(x, Slot) else None
    is_flat = maker is not None and maker.operator is _FLAT and maker.args[1:] == (0, -2)
    return is_flat and view.operator is _VIEW and len(view.args[1]) == 3


def _renamed(value: Any, known: dict[Slot, Slot]) -> Any:
    if type(value) is tuple:
        return tuple(_renamed(each, known) for each in value)
    return known.get(value, value) if isinstance(value, Slot) else value


def _needed(steps: Sequence[Step], outputs: Sequence[Slot]) -> list[Step]:
    needed, kept = set(outputs), []
    for step in reversed(steps):
        if not is_view(step.operator) or not needed.isdisjoint(out for out in step.outs if out is not None):
            needed.update(slots(step.taken))
            kept.append(step)
    return kept[::-1]


def _writes(step: Step) -> bool:
    writes: bool = step.operator._schema.is_mutable  # noqa: SLF001
    return writes


def _all_slots(step: Step) -> Iterator[Slot]:
    yield from slots((step.taken, step.outs))
