"""The native oracle: what a model computes with its own draws, and what it computes when given them.

The model runs natively under a dispatch mode that keeps the output of every operator tagged as random. The
same draws are then given to the intercepted model in their order. Equal outputs, with every native draw
used, prove that the interception is right (the same formula) and complete (nothing random was missed).
Comparing strategies with each other cannot show that: they share the interception.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, Final

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from mcdrop.engine.generators import generators_restored
from mcdrop.engine.inputs import Call
from mcdrop.engine.network import Network
from mcdrop.engine.operators import Watch, draws
from mcdrop.engine.sites import Law

__all__ = ["OracleResult", "largest_difference", "native_oracle"]


_RECURRENT: Final = ("lstm", "gru", "rnn")
_FLIPPED: Final = 0.01
"""Share of whole numbers that may differ."""


@dataclass(frozen=True)
class OracleResult:
    """What the oracle saw.

    Attributes:
        native_draws: Names of the random operators that the model ran natively.
        explained: How many of them our sites used.
        difference: Largest difference between the outputs, in units of max(1, largest value); None if a site
            draws in another layout than the native operator, so that only the count can be compared.
    """

    native_draws: tuple[str, ...]
    explained: int
    difference: float | None


def native_oracle(network: Network, call: Call) -> OracleResult:
    """Run `call` natively and again with the same draws.

    Args:
        network: Whose interception is checked.
        call: A few rows.
    """
    with generators_restored(), _open_kernels(network), torch.no_grad():
        # inference mode would hide what composite operators draw
        with _Watch() as watch:
            native = network.native_outputs(call)
        source = _Recorded(watch.draws)
        replayed = network.outputs_for(call, source)
    difference = None if source.incomparable else largest_difference(native, replayed)
    return OracleResult(tuple(name for name, _ in watch.draws), source.used, difference)


@contextmanager
def _open_kernels(network: Network) -> Iterator[None]:
    """On a CUDA device, kernels whose draws are operators of their own.

    cuDNN draws inside its recurrent kernels, and so does fused attention, where no mask can be seen. What is
    switched holds for other threads as well, whose bits may follow it: no more is than the sites need.
    """
    kinds = {site.kind for site in network.sites.values()} if network.device.type == "cuda" else set[str]()
    with ExitStack() as stack:
        if "attention" in kinds:
            stack.enter_context(sdpa_kernel(SDPBackend.MATH))
        if any(kind.startswith(_RECURRENT) for kind in kinds):
            stack.enter_context(_without_cudnn())
        yield


@contextmanager
def _without_cudnn() -> Iterator[None]:
    """`torch.backends.cudnn.flags` would set its precisions too, and fails where they were set one by one."""
    before = torch.backends.cudnn.enabled
    torch.backends.cudnn.enabled = False
    try:
        yield
    finally:
        torch.backends.cudnn.enabled = before


def largest_difference(wanted: list[Tensor], got: list[Tensor]) -> float:
    """The largest difference of any entry, in units of max(1, largest wanted value).

    It is infinite where only one of the two is finite. Of whole numbers (an argmax, a comparison) it is the
    share of entries that differ, or 0 if so few do that rounding in front of a threshold explains them.
    """
    return max((_difference(a, b) for a, b in zip(wanted, got, strict=True)), default=0.0)


def _difference(wanted: Tensor, got: Tensor) -> float:
    if wanted.shape != got.shape:
        return float("inf")
    if wanted.is_complex():
        wanted, got = torch.view_as_real(wanted), torch.view_as_real(got.to(wanted.dtype))
    if wanted.is_floating_point():
        return _gap(wanted.to(torch.float64), got.to(torch.float64))
    changed = float((wanted != got).to(torch.float64).mean()) if wanted.numel() else 0.0
    return changed if changed > _FLIPPED else 0.0


def _gap(wanted: Tensor, got: Tensor) -> float:
    same = (wanted == got) | (wanted.isnan() & got.isnan())
    gap = torch.where(same, 0.0, (wanted - got).abs()).nan_to_num(nan=float("inf"))
    finite = wanted[wanted.isfinite()].abs()
    scale = float(finite.amax().clamp(min=1)) if finite.numel() else 1.0
    return float(gap.amax()) / scale if gap.numel() else 0.0


_Inputs = tuple[Any, ...]


class _Watch(Watch):
    """Keeps what every random operator drew, in standard form."""

    def __init__(self) -> None:
        super().__init__()
        self.draws: list[tuple[str, Tensor]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if not draws(func, args, kwargs or {}):
            return func(*args, **(kwargs or {}))
        if func._can_decompose():  # noqa: SLF001 - a model's own inference mode shows composite operators whole
            with self:
                return func.decompose(*args, **(kwargs or {}))
        inputs = tuple(t.clone() if isinstance(t, Tensor) else t for t in args)  # it may write to them
        out = func(*args, **(kwargs or {}))
        name = func.overloadpacket.__name__
        drawn = _STANDARD[name](out, inputs) if name in _STANDARD else _first(out)
        self.draws.append((name, drawn.detach().clone()))
        return out


def _first(out: Tensor | tuple[Tensor, ...]) -> Tensor:
    return out if isinstance(out, Tensor) else out[0]


def _mask_of_fused_dropout(out: tuple[Tensor, Tensor], _inputs: _Inputs) -> Tensor:
    return out[1]


def _uniform(out: Tensor, inputs: _Inputs) -> Tensor:
    low, high = _with_defaults(inputs[1:], 0.0, 1.0)
    unit: Tensor = (out - low) / (high - low)
    return unit


def _normal(out: Tensor, inputs: _Inputs) -> Tensor:
    return _normal_of_tensors(out, inputs[1:])


def _normal_of_tensors(out: Tensor, inputs: _Inputs) -> Tensor:
    mean, std = _with_defaults(inputs, 0.0, 1.0)
    standard: Tensor = (out - mean) / std
    return standard


def _exponential(out: Tensor, inputs: _Inputs) -> Tensor:
    (rate,) = _with_defaults(inputs[1:], 1.0)
    return -torch.expm1(-out.to(torch.float64) * rate)


def _rrelu(out: Tensor, inputs: _Inputs) -> Tensor:
    x, _, lower, upper = (*inputs[:2], *_with_defaults(inputs[2:4], 1 / 8, 1 / 3))
    return torch.where(x < 0, (out / x - lower) / (upper - lower), 0.5)


def _with_defaults(given: tuple[Any, ...], *defaults: float) -> tuple[Any, ...]:
    """An operator whose arguments equal the defaults is called without them."""
    return (*given, *defaults[len(given) :])[: len(defaults)]


_STANDARD: Final[dict[str, Callable[[Any, _Inputs], Tensor]]] = {
    "native_dropout": _mask_of_fused_dropout,
    "uniform_": _uniform,
    "normal_": _normal,
    "normal": _normal_of_tensors,
    "exponential_": _exponential,
    "rrelu_with_noise": _rrelu,
    "rrelu_with_noise_": _rrelu,
}


@dataclass
class _Recorded:
    """A source that hands out native draws in their order."""

    draws: list[tuple[str, Tensor]]
    used: int = 0
    incomparable: bool = False

    def draw(self, kind: str, p: float | None, law: Law, shape: tuple[int, ...]) -> Tensor:  # noqa: ARG002
        """The next native draw, in the form that the law has."""
        if law.name in ("keep", "noise") and law.p == 1:  # natively a product with zeros, without a draw
            return torch.zeros(shape, dtype=law.dtype, device="cpu")
        native = self.draws[self.used][1] if self.used < len(self.draws) else None
        self.used += 1
        if native is None or _without_ones(native.shape) != _without_ones(shape):
            self.incomparable = True
            return torch.ones(shape, dtype=law.dtype, device="cpu")
        return _in_law(native.reshape(shape), law, kind)


def _without_ones(shape: Sequence[int]) -> list[int]:
    return [size for size in shape if size != 1]


def _in_law(native: Tensor, law: Law, kind: str) -> Tensor:
    if law.name == "uniform" and kind == "bernoulli":
        # below any probability where a one was drawn, not below it elsewhere
        return 1.0 - native.to(law.dtype)
    drawn = native.to(law.dtype)
    return drawn.div(1 - law.p) if law.name == "noise" else drawn
