"""Places: the layers of a model at which dropout can be put, and why it cannot be put at others."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from torch import nn

from mcdrop.errors import OptionError
from mcdrop.patterns import Target, check_target, described, matching

__all__ = ["ACTIVATIONS", "After", "Attention", "Before", "Place", "layers_at"]

ACTIVATIONS: Final[tuple[type[nn.Module], ...]] = (
    nn.CELU,
    nn.ELU,
    nn.GELU,
    nn.GLU,
    nn.Hardsigmoid,
    nn.Hardswish,
    nn.Hardtanh,
    nn.LeakyReLU,
    nn.Mish,
    nn.PReLU,
    nn.ReLU,
    nn.SELU,
    nn.Sigmoid,
    nn.SiLU,
    nn.Softplus,
    nn.Softsign,
    nn.Tanh,
)
"""The activations that are modules, for `After(ACTIVATIONS)`; `F.relu` in a forward is no module."""


@dataclass(frozen=True)
class Place:
    """Which layers get dropout; `Before`, `After` and `Attention` say on what of theirs it acts.

    Attributes:
        target: A glob over module paths, a type or types, or a predicate of (path, module).
        within: A glob that the path must match as well.
        last: Of the layers found, so many from the end of the model; None for all.

    Raises:
        OptionError: If the target is nothing that could mean layers, `within` no glob, or `last` below 1.
    """

    target: Target
    within: str = "*"
    last: int | None = None

    def __post_init__(self) -> None:
        check_target(self.target)
        _check_limits(self.within, self.last)


def _check_limits(within: object, last: object) -> None:
    if not isinstance(within, str):
        raise OptionError(f"within must be a glob over paths, such as 'head.*', got {within!r}")
    if last is not None and (not isinstance(last, int) or last < 1):
        raise OptionError(f"last must be an integer of at least 1, or None for all, got {last}")


@dataclass(frozen=True)
class Before(Place):
    """On the input of the layers: `Before(nn.Linear, last=2)`."""


@dataclass(frozen=True)
class After(Place):
    """On the output of the layers: `After(ACTIVATIONS)`."""


@dataclass(frozen=True)
class Attention(Place):
    """On the attention probabilities: of `nn.MultiheadAttention`, or of `F.scaled_dot_product_attention`.

    A module of another type must be named; every such call in its forward gets the rate.
    """

    target: Target = nn.MultiheadAttention


_OF_OTHERS: Final = (
    "; attention of other types is named by the modules that call F.scaled_dot_product_attention: "
    "Attention('*.attn')"
)


# --- which layers ----------------------------------------------------------------------------------


def layers_at(view: nn.Module, place: Place) -> list[str]:
    """Paths of the layers that a place means; what a wildcard matches by the way is left out if it must be.

    Args:
        view: Of the model.
        place: Which of its layers.

    Raises:
        OptionError: If there are none, with the reason if there is one.
    """
    kind = type(place)
    refused: list[str] = []
    found: dict[str, None] = {}
    within = {id(module) for _, module in matching(view, place.within)} if place.within != "*" else None
    for path, module in matching(view, place.target, _OF_OTHERS if place == Attention() else ""):
        if within is not None and id(module) not in within:
            continue
        where, reached = _reached(path, module, last=kind is After)
        reason = _WHY_NOT[kind](view, where, reached)
        if reason:
            refused.append(f"{path or 'the model'} ({type(module).__name__}) {reason}")
        else:
            found[where] = None
    if not found or (refused and not _is_loose(place.target)):
        raise _nothing_left(place, refused)
    return list(found) if place.last is None else list(found)[-place.last :]


def _is_loose(target: Target) -> bool:
    """Whether a target may match layers that were not thought of."""
    return not isinstance(target, str) or any(mark in target for mark in "*?[")


def _nothing_left(place: Place, refused: list[str]) -> OptionError:
    if refused:
        return OptionError(f"no dropout can be put at {described(place.target)}: {refused[0]}")
    return OptionError(
        f"{described(place.target)} matches modules, but none within {place.within!r}; widen one of the two"
    )


def _reached(path: str, module: nn.Module, *, last: bool) -> tuple[str, nn.Module]:
    """A chain of layers takes its input at its first and gives its output at its last."""
    while type(module).forward is nn.Sequential.forward and len(module):  # type: ignore[arg-type]
        name, module = list(module.named_children())[-1 if last else 0]
        path = f"{path}.{name}" if path else name
    return path, module


def _why_not_before(view: nn.Module, path: str, module: nn.Module) -> str:
    if isinstance(module, nn.Embedding | nn.EmbeddingBag):
        return "takes indices, which cannot be dropped: put it After, or use mcdrop.nn.EmbeddingDropout"
    if isinstance(module, nn.MultiheadAttention):
        return "takes three inputs; name the layer before it, or use Attention() for its probabilities"
    return _why_not(view, path, module, "injected_before")


def _why_not_after(view: nn.Module, path: str, module: nn.Module) -> str:
    if isinstance(module, nn.RNNBase | nn.MultiheadAttention):
        return "returns several things; put the dropout Before the layer that follows it"
    return _why_not(view, path, module, "injected_after")


def _why_not(view: nn.Module, path: str, module: nn.Module, child: str) -> str:
    if isinstance(module, nn.ModuleList | nn.ModuleDict | nn.ParameterList | nn.ParameterDict):
        return "is a container without a forward of its own: name what it holds"
    if isinstance(module, nn.Sequential):
        return "is a chain that is empty, or runs its layers in a way of its own: name one of them"
    if hasattr(module, child):
        return _injected_already(path, child)
    if _is_read_only(view, path):
        return "is never called: torch reads its weights only"
    return ""


def _injected_already(path: str, name: str) -> str:
    where = f"{path}.{name}" if path else name
    return f"has an injected dropout already: change its rate with with_rates, at {where}"


def _is_read_only(view: nn.Module, path: str) -> bool:
    """Whether it is the output layer of an `nn.MultiheadAttention`, or a part of a parametrization."""
    ancestors = [part for part in _ancestors(path) if part]
    parents = [view, *(view.get_submodule(part) for part in ancestors)]
    within = (nn.MultiheadAttention, nn.utils.parametrize.ParametrizationList)
    return any(isinstance(parent, within) for parent in parents)


def _ancestors(path: str) -> Iterator[str]:
    parts = path.split(".")[:-1]
    return (".".join(parts[: depth + 1]) for depth in range(len(parts)))


def _why_not_attention(_view: nn.Module, path: str, module: nn.Module) -> str:
    if hasattr(module, "injected_dropout"):
        return _injected_already(path, "injected_dropout")
    if isinstance(module, nn.MultiheadAttention) and module.dropout > 0:
        return (
            f"has dropout of rate {module.dropout} already: change it with with_rates, at {path or repr('')}"
        )
    return ""


_WHY_NOT: Final[dict[type[Place], Callable[[nn.Module, str, nn.Module], str]]] = {
    Before: _why_not_before,
    After: _why_not_after,
    Attention: _why_not_attention,
}
