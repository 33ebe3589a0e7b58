"""Dictation: how the transcript of a function is taken, below `vmap` and all hooks and modes.

What cannot be followed is refused: a look at what is in a tensor, a shape that the data decide, a draw, a
write to a tensor that is older than the pass.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from typing import Any, Final

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from mcdrop.engine.operators import Watch, draws, storage_of, written_tensors
from mcdrop.engine.transcript import Constant, NoTranscriptError, Slot, Step, Transcript

__all__ = ["transcript", "transcript_of_shapes"]

_MOST_STEPS: Final = 20_000
_DATA: Final = (torch.Tag.data_dependent_output, torch.Tag.dynamic_output_shape)
_LOOKS: Final = frozenset(
    {
        Tensor.__array__,
        Tensor.__dlpack__,
        Tensor.__format__,
        Tensor.__reduce_ex__,
        Tensor.__repr__,
        Tensor._version.__get__,  # type: ignore[attr-defined]  # noqa: SLF001
        Tensor.data_ptr,
        Tensor.item,
        Tensor.numpy,
        Tensor.tolist,
        *(getattr(Tensor, name) for name in ("storage", "untyped_storage") if hasattr(Tensor, name)),
    }
)
"""What tells Python the contents of a tensor, or hands them on, without a call of an operator."""
_DETACH: Final = torch.ops.aten.detach_.default
"""Writes no numbers; `torch.tensor` calls it."""
_DEVICE: Final = torch.ops.prim.device.default
"""How a tensor without numbers is asked where it is."""


Function = Callable[[Sequence[Tensor]], Sequence[Tensor]]


def transcript(function: Function, given: Sequence[Tensor]) -> Transcript:
    """Of a pass with real numbers.

    Raises:
        NoTranscriptError: If something cannot be followed.
    """
    recorder = _Recorder(given)
    with _NoLooking(recorder), recorder:
        recorder.end(function(recorder.given))
    return recorder.found


def transcript_of_shapes(function: Function, given: Sequence[Tensor]) -> Transcript:
    """Of a pass without any numbers: what asks for one raises.

    Raises:
        Exception: Of any kind, if the function cannot run so.
    """
    from torch._subclasses.fake_tensor import FakeTensorMode  # noqa: PLC0415 - not public, and slow to import

    fake = FakeTensorMode(allow_non_fake_inputs=True)
    recorder = _Recorder([fake.from_tensor(tensor) for tensor in given], real=False)
    with ExitStack() as stack:
        for mode in (fake, _NoLooking(recorder), recorder):
            stack.enter_context(mode)
        recorder.end(function(recorder.given))
    return recorder.found


class _Recorder(Watch):
    """Notes what reaches the dispatcher in this thread.

    A tensor is known by a mark on its object, so that none is kept alive.
    """

    def __init__(self, given: Sequence[Tensor], *, real: bool = True) -> None:
        super().__init__()
        self.given = [tensor.detach() for tensor in given]  # objects of our own, to be marked
        self.found = Transcript(len(given), slots=len(given))
        self.busy = False
        self.refused = ""
        self._real = real
        self._me = object()
        self._before: dict[int, Constant | Slot] = {}
        self._older = set(map(storage_of, self.given)) if real else set()
        self._ours: set[int] = set()
        for number, tensor in enumerate(self.given):
            self._mark(tensor, Slot(number))

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func is _DEVICE:
            return func(*args, **kwargs)
        self.busy = True
        try:
            self._check(func, args, kwargs)
            places = self._placed(tuple(args)), {name: self._placed(value) for name, value in kwargs.items()}
            self._check_writes(func, args, kwargs)
            out = func(*args, **kwargs)
            self._note(func, places, args, out)
        finally:
            self.busy = False
        return out

    def end(self, outputs: Sequence[Tensor]) -> None:
        """What the function returned."""
        if self.refused:  # and the function went on
            raise NoTranscriptError(self.refused)
        slots = [self._slot(tensor) for tensor in outputs]
        if not all(isinstance(slot, Slot) for slot in slots) or (self._real and not _plain(outputs)):
            raise self.refusal("an output is no plain tensor, or was there before")
        self.found.outputs = tuple(slots)  # type: ignore[arg-type]

    def _check(self, func: Any, args: Any, kwargs: Any) -> None:
        if not isinstance(func, torch._ops.OpOverload):  # noqa: SLF001
            raise self.refusal(f"{func} is no plain operator")
        if draws(func, args, kwargs):
            raise self.refusal(f"{func} draws")
        if _looks(func, args):
            raise self.refusal(f"{func} looks at the data")
        if len(self.found.steps) >= _MOST_STEPS:
            raise self.refusal(f"there are more than {_MOST_STEPS} calls")

    def _check_writes(self, func: Any, args: Any, kwargs: Any) -> None:
        for tensor in () if func is _DETACH else written_tensors(func, args, kwargs):
            if isinstance(self._slot(tensor), Constant) or (
                self._real and tensor.numel() and storage_of(tensor) not in self._ours
            ):
                raise self.refusal(f"{func} writes to a tensor that is older than the pass")

    def _note(self, func: Any, places: tuple[Any, dict[str, Any]], args: Any, out: Any) -> None:
        single = isinstance(out, Tensor)
        outs = out if isinstance(out, tuple | list) else (out,)
        if not all(each is None or isinstance(each, Tensor) for each in outs):
            raise self.refusal(f"{func} returns no tensor")
        same = self._real and single and bool(args) and _is_same(func, args[0], out)
        slots = tuple(None if each is None else self._made(each) for each in outs)
        self.found.steps.append(Step(func, *places, slots, single, same))

    def _made(self, tensor: Tensor) -> Slot:
        """The slot of what a call returned, which may be what it was given."""
        known = self._known(tensor)
        if isinstance(known, Slot):
            return known
        slot = Slot(self.found.slots)
        self.found.slots += 1
        if known is None:
            self._mark(tensor, slot)
        else:
            self._before[id(tensor)] = slot
        if self._real and storage_of(tensor) not in self._older:
            self._ours.add(storage_of(tensor))
        return slot

    def _placed(self, value: Any) -> Any:
        """An argument, with slots and constants in the place of tensors."""
        if isinstance(value, Tensor):
            return self._slot(value)
        if isinstance(value, list | tuple):
            return tuple(map(self._placed, value))
        return value

    def _slot(self, tensor: Tensor) -> Slot | Constant:
        known = self._known(tensor)
        if known is not None:
            return known
        if type(tensor) not in (Tensor, nn.Parameter, nn.Buffer) or tensor.layout is not torch.strided:
            raise self.refusal("a tensor that was there before is no plain one")
        constant = Constant(len(self.found.constants))
        self._before[id(tensor)] = constant
        self.found.constants.append(tensor)
        self._older.add(storage_of(tensor))
        self._ours.discard(storage_of(tensor))
        return constant

    def _known(self, tensor: Tensor) -> Slot | Constant | None:
        whose, slot = getattr(tensor, "_mcdrop_slot", (None, None))
        return slot if whose is self._me else self._before.get(id(tensor))

    def refusal(self, reason: str) -> NoTranscriptError:
        """The error that says why, which is raised at the end if it is caught before."""
        self.refused = self.refused or reason
        return NoTranscriptError(reason)

    def _mark(self, tensor: Tensor, slot: Slot) -> None:
        tensor._mcdrop_slot = (self._me, slot)  # type: ignore[attr-defined]  # noqa: SLF001


class _NoLooking(TorchFunctionMode):
    """Refuses what tells the contents of a tensor without a call of an operator."""

    def __init__(self, recorder: _Recorder) -> None:
        super().__init__()
        self._recorder = recorder

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in _LOOKS and not self._recorder.busy:
            raise self._recorder.refusal(f"{getattr(func, '__name__', func)} looks at the data")
        return func(*args, **(kwargs or {}))


def _looks(func: Any, args: Any) -> bool:
    """Whether what is in a tensor is handed on, or decides a shape: that of what a condition picks."""
    if func is torch.ops.aten.index.Tensor:
        return any(index is not None and index.dtype in (torch.bool, torch.uint8) for index in args[1])
    return not set(_DATA).isdisjoint(func.tags)


def _plain(tensors: Sequence[Tensor]) -> bool:
    return all(type(tensor) is Tensor and tensor.layout is torch.strided for tensor in tensors)


def _is_same(func: Any, first: Any, out: Tensor) -> bool:
    """Whether a call that may return its first argument has done so."""
    alias = func._schema.returns[0].alias_info  # noqa: SLF001
    return (
        alias is not None
        and not alias.is_write
        and isinstance(first, Tensor)
        and all(a == b for a, b in zip(_form(first), _form(out), strict=True))
    )


def _form(tensor: Tensor) -> Iterator[Any]:
    yield from (
        tensor.dtype,
        tensor.shape,
        tensor.stride(),
        tensor.data_ptr(),
        tensor.is_neg(),
        tensor.is_conj(),
    )
