"""Raw draws: `torch.rand`, `bernoulli_`, `randn_like` and the like, with which layers write their own noise.

All are computed from draws of ours. Those whose values cannot be addressed element by element are refused
by name.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any, Final

import torch
import torch.nn.functional as F
from torch import Tensor

from mcdrop.engine.interception.descent import descending
from mcdrop.engine.interception.mode import Handler, Interception
from mcdrop.engine.sites import Law
from mcdrop.errors import UnsupportedModelError

__all__ = ["HANDLERS"]


def _uniform(dtype: torch.dtype) -> Law:
    return Law("uniform", 0.0, _real(dtype))


def _standard_normal(dtype: torch.dtype) -> Law:
    return Law("normal", 0.0, _real(dtype))


def _real(dtype: torch.dtype) -> torch.dtype:
    if dtype.is_complex:  # torch spreads the variance over two parts: a real draw would be another law
        raise UnsupportedModelError(
            f"a draw of complex numbers ({dtype}) cannot be replayed; draw the two parts and join them by "
            "torch.complex"
        )
    return dtype


def _keep(p: float, dtype: torch.dtype) -> Law:
    """One with probability p, as `bernoulli` counts."""
    return Law("keep", 1 - p, dtype if dtype.is_floating_point else torch.float32)


# --- Bernoulli -------------------------------------------------------------------------------------


def _bernoulli(
    mode: Interception, input: Tensor, p: float | None = None, *, out: Tensor | None = None, **_: Any
) -> Tensor:
    if p is not None:
        drawn = mode.fresh("bernoulli", _keep(p, input.dtype), input.shape, like=input, p=1 - p)
    else:
        drawn = mode.draw("bernoulli", _uniform(torch.float32), input.shape, like=input) < input
    return _delivered(drawn.to(input.dtype), out)


def _bernoulli_into(mode: Interception, x: Tensor, p: float | Tensor = 0.5, **_: Any) -> Tensor:
    if isinstance(p, Tensor):
        return x.copy_(mode.draw("bernoulli", _uniform(torch.float32), x.shape, like=x) < p)
    return x.copy_(mode.draw("bernoulli", _keep(p, x.dtype), x.shape, like=x, p=1 - p))


# --- uniform and normal ----------------------------------------------------------------------------


def _of_size(kind: str, law: Callable[[torch.dtype], Law]) -> Handler:
    """Handler of `torch.rand` or `torch.randn`."""

    def handle(
        mode: Interception, *size: Any, dtype: Any = None, device: Any = None, out: Any = None, **options: Any
    ) -> Tensor:
        shape = _shape(size or (options["size"],))
        drawn = mode.fresh(kind, law(dtype or torch.get_default_dtype()), shape)
        return _delivered(drawn.to(device or torch.get_default_device()), out)

    return handle


def _like(kind: str, law: Callable[[torch.dtype], Law]) -> Handler:
    """Handler of `torch.rand_like` or `torch.randn_like`."""

    def handle(
        mode: Interception, input: Tensor, *, dtype: Any = None, device: Any = None, **_: Any
    ) -> Tensor:
        return mode.fresh(kind, law(dtype or input.dtype), input.shape, like=input).to(device or input.device)

    return handle


def _uniform_into(mode: Interception, x: Tensor, low: float = 0.0, high: float = 1.0, **ends: Any) -> Tensor:
    low, high = ends.get("from", low), ends.get("to", high)
    return x.copy_(mode.draw("uniform", _uniform(x.dtype), x.shape, like=x) * (high - low) + low)


def _normal_into(mode: Interception, x: Tensor, mean: float = 0.0, std: float = 1.0, **_: Any) -> Tensor:
    return x.copy_(mode.draw("normal", _standard_normal(x.dtype), x.shape, like=x) * std + mean)


def _normal(
    mode: Interception,
    mean: float | Tensor = 0.0,
    std: float | Tensor = 1.0,
    size: Sequence[int] | None = None,
    *,
    out: Tensor | None = None,
    dtype: torch.dtype | None = None,
    device: Any = None,
    **_: Any,
) -> Tensor:
    if size is None:
        like = torch.broadcast_tensors(*[t for t in (mean, std) if isinstance(t, Tensor)])[0]
        shape, dtype, device = like.shape, like.dtype, like.device
    else:
        shape, dtype = torch.Size(size), dtype or torch.get_default_dtype()
    drawn = mode.draw("normal", _standard_normal(dtype), shape).to(device or torch.get_default_device())
    return _delivered((drawn * std + mean).expand(shape), out)


# --- laws made of uniforms -------------------------------------------------------------------------


def _exponential_into(mode: Interception, x: Tensor, lambd: float = 1.0, **_: Any) -> Tensor:
    # float64: in float32 the few uniforms near 1 leave the tail rough
    uniform = mode.draw("exponential", _uniform(torch.float64), x.shape, like=x)
    return x.copy_(torch.log1p(-uniform) / -lambd)


def _rrelu(
    mode: Interception,
    input: Tensor,
    lower: float = 1 / 8,
    upper: float = 1 / 3,
    training: bool = False,
    inplace: bool = False,
) -> Tensor:
    if not training:
        return F.rrelu(input, lower, upper, training, inplace)
    slope = lower + (upper - lower) * mode.draw("rrelu", _uniform(input.dtype), input.shape, like=input)
    leaky = torch.where(input < 0, input * slope, input)
    return input.copy_(leaky) if inplace else leaky


def _rrelu_of_torch(*, inplace: bool) -> Handler:
    """Handler of `torch.rrelu` or `torch.rrelu_`, which take a generator where `F.rrelu` takes `inplace`."""

    def handle(
        mode: Interception,
        input: Tensor,
        lower: float = 1 / 8,
        upper: float = 1 / 3,
        training: bool = False,
        generator: Any = None,  # noqa: ARG001 - draws are ours
    ) -> Tensor:
        return _rrelu(mode, input, lower, upper, training, inplace)

    return handle


# --- shapes, results, refusals ---------------------------------------------------------------------


def _shape(size: tuple[Any, ...]) -> tuple[int, ...]:
    return tuple(size[0]) if len(size) == 1 and isinstance(size[0], Sequence) else tuple(size)


def _delivered(drawn: Tensor, out: Tensor | None) -> Tensor:
    if out is None:
        return drawn
    if math.prod(out.shape) == 0:
        out.resize_(drawn.shape)  # as torch does with an empty `out`
    return out.copy_(drawn)


def _refused(name: str) -> Handler:
    def handle(mode: Interception, *_: Any, **__: Any) -> Any:
        raise UnsupportedModelError(
            f"{mode.place() or 'the model'} calls {name}, whose draws mcdrop cannot address element by "
            f"element; {_INSTEAD.get(name, 'write the layer with torch.rand, randn or bernoulli_')}, or draw "
            "outside the model and pass the result as an input"
        )

    return handle


_CHOICE: Final = "take the largest of logits + Gumbel noise, as F.gumbel_softmax(logits, hard=True) does"
_GAMMA: Final = "build the law from torch.rand, randn or exponential_"
_INSTEAD: Final[dict[str, str]] = {
    "torch.multinomial": _CHOICE,
    "Tensor.multinomial": _CHOICE,
    "torch.randint": "write (torch.rand(size) * high).long()",
    "torch.randint_like": "write (torch.rand(x.shape) * high).to(x.dtype)",
    "Tensor.random_": "write x.uniform_(0, high).floor_()",
    "torch.randperm": "write torch.rand(rows, n).argsort(-1), an order for each row",
    "torch._standard_gamma": _GAMMA,
    "torch._sample_dirichlet": _GAMMA,
}
"""What to write in place of a call that is refused."""

_REFUSED: Final[dict[str, Callable[..., Any]]] = {
    "torch.multinomial": torch.multinomial,
    "torch.randint": torch.randint,
    "torch.randint_like": torch.randint_like,
    "torch.randperm": torch.randperm,
    "torch.poisson": torch.poisson,
    "torch._standard_gamma": torch._standard_gamma,  # noqa: SLF001 - distributions call it
    "torch._sample_dirichlet": torch._sample_dirichlet,  # noqa: SLF001
    "torch.binomial": torch.binomial,
    "Tensor.random_": Tensor.random_,
    "Tensor.cauchy_": Tensor.cauchy_,
    "Tensor.geometric_": Tensor.geometric_,
    "Tensor.log_normal_": Tensor.log_normal_,
    "Tensor.multinomial": Tensor.multinomial,
}

HANDLERS: Final[dict[Any, Handler]] = {
    torch.bernoulli: _bernoulli,
    Tensor.bernoulli: _bernoulli,
    Tensor.bernoulli_: _bernoulli_into,
    torch.rand: _of_size("rand", _uniform),
    torch.rand_like: _like("rand", _uniform),
    Tensor.uniform_: _uniform_into,
    torch.randn: _of_size("randn", _standard_normal),
    torch.randn_like: _like("randn", _standard_normal),
    Tensor.normal_: _normal_into,
    torch.normal: _normal,
    Tensor.exponential_: _exponential_into,
    F.rrelu: _rrelu,
    torch.rrelu: _rrelu_of_torch(inplace=False),
    torch.rrelu_: _rrelu_of_torch(inplace=True),
    F.gumbel_softmax: descending(F.gumbel_softmax),
    F.fractional_max_pool2d: descending(vars(F)["_fractional_max_pool2d"]),  # what it runs without indices
    F.fractional_max_pool3d: descending(vars(F)["_fractional_max_pool3d"]),
    F.fractional_max_pool2d_with_indices: descending(F.fractional_max_pool2d_with_indices),
    F.fractional_max_pool3d_with_indices: descending(F.fractional_max_pool3d_with_indices),
    **{function: _refused(name) for name, function in _REFUSED.items()},
}
