"""Injection: dropout for a model that has none, without retraining it and without touching it.

The dropout layers are put into a private view of the model: new module objects over the same tensors. Each
becomes a child of the layer before or after which it acts, so that names, types and state dict of the model
stay what they were.

The spread of a network that was not trained with dropout is uncalibrated until its rates are tuned.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from torch import Tensor, nn

from mcdrop.attention_dropout import add_attention_dropout
from mcdrop.engine.view import private_view
from mcdrop.errors import OptionError, UnsupportedModelError
from mcdrop.nn.rate import checked_rate
from mcdrop.patterns import Target
from mcdrop.places import ACTIVATIONS, After, Attention, Before, Place, layers_at

__all__ = ["ACTIVATIONS", "After", "Attention", "Before", "DropoutLayer", "Place", "default_layer", "inject"]

DropoutLayer = Callable[[float], nn.Module]
"""Makes a dropout layer of a rate: `nn.Dropout2d`, `mcdrop.nn.DropBlock2d`, ..."""

_BY_CHANNEL: Final[dict[type[nn.Module], type[nn.Module]]] = {
    nn.Conv1d: nn.Dropout1d,
    nn.Conv2d: nn.Dropout2d,
    nn.Conv3d: nn.Dropout3d,
}


def inject(
    model: nn.Module,
    *,
    p: float | Mapping[Place | Target, float],
    where: Place | Target | Sequence[Place | str | type[nn.Module]] = nn.Linear,
    layer: DropoutLayer | None = None,
) -> nn.Module:
    """A network like `model`, with dropout where it has none; give it to `MCDropout`.

    The model that is given stays as it is. What is returned shares its weights and buffers, and is in eval
    mode. To undo, go on with the original. The uncertainty is uncalibrated until the rates have been tuned.

    Args:
        model: Any model.
        p: The rate, 0 <= p < 1; or rates by place, in which case `where` is not given. Where places overlap
            the later counts.
        where: Places, or what a place may mean: a glob, a type or a predicate stand for `Before` them. By
            default the inputs of all linear layers.
        layer: Makes the dropout layers; by default `nn.Dropout`, and `nn.Dropout1d/2d/3d` (whole channels)
            at convolutions.

    Raises:
        OptionError: If a place matches nothing, already has an injected layer, or is a layer that dropout
            cannot be put at.
        InputError: If `model` is no module.
        DomainError: If a rate lies outside [0, 1).
        UnsupportedModelError: If no view of the model can be made.

    Source:
        Gal and Ghahramani 2016, arXiv:1506.02142, put dropout before every weight layer. Dropout of a
        network that was trained without any: Ledda, Fumera and Roli 2023, arXiv:2302.02924.
    """
    view = private_view(model)
    chosen: dict[tuple[type[Place], str], float] = {}
    places = _places(p, where)
    if not places:
        raise OptionError("no place was given: where=nn.Linear means the inputs of all linear layers")
    for place, wanted in places:
        chosen |= dict.fromkeys(
            ((type(place), path) for path in layers_at(view, place)), checked_rate(wanted)
        )
    for (kind, path), rate in chosen.items():
        _PUT[kind](view.get_submodule(path), path, rate, layer)
    return view.eval()


def _places(p: Any, where: Any) -> list[tuple[Place, float]]:
    if isinstance(p, Mapping):
        if where is not nn.Linear:
            raise OptionError("p is a mapping from places to rates, so where= has nothing to add: drop it")
        return [(_as_place(target), rate) for target, rate in p.items()]
    several = isinstance(where, Sequence) and not isinstance(where, str) and not _is_types(where)
    return [(_as_place(target), p) for target in (where if several else [where])]


def _is_types(where: Any) -> bool:
    return isinstance(where, tuple) and all(isinstance(kind, type) for kind in where)


def _as_place(target: Any) -> Place:
    return target if isinstance(target, Place) else Before(target)


# --- putting it there ------------------------------------------------------------------------------


def _put_before(module: nn.Module, _path: str, p: float, layer: DropoutLayer | None) -> None:
    module.add_module("injected_before", _dropout(module, p, layer))
    module.register_forward_pre_hook(_drop_input, with_kwargs=True)


def _put_after(module: nn.Module, _path: str, p: float, layer: DropoutLayer | None) -> None:
    module.add_module("injected_after", _dropout(module, p, layer))
    module.register_forward_hook(_drop_output)


def _put_attention(module: nn.Module, path: str, p: float, layer: DropoutLayer | None) -> None:
    if layer is not None:
        raise OptionError("attention probabilities are dropped one by one, so layer= cannot be given")
    add_attention_dropout(module, path, p)


_PUT: Final[dict[type[Place], Callable[[nn.Module, str, float, DropoutLayer | None], None]]] = {
    Before: _put_before,
    After: _put_after,
    Attention: _put_attention,
}


def default_layer(module: nn.Module) -> type[nn.Module]:
    """The kind of dropout that is put at a module unless `layer=` says otherwise."""
    return next((drop for kind, drop in _BY_CHANNEL.items() if isinstance(module, kind)), nn.Dropout)


def _dropout(module: nn.Module, p: float, layer: DropoutLayer | None) -> nn.Module:
    made = (layer or default_layer(module))(p)
    if not isinstance(made, nn.Module):
        raise OptionError(f"layer must make a torch.nn.Module of a rate, got {type(made).__name__}")
    return made


def _drop_input(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    if args:
        return (_dropped(module, "injected_before", args[0]), *args[1:]), kwargs
    name = next(iter(kwargs), "")
    return args, {**kwargs, name: _dropped(module, "injected_before", kwargs.get(name))}


def _drop_output(module: nn.Module, _args: Any, output: Any) -> Tensor:
    return _dropped(module, "injected_after", output)


def _dropped(module: nn.Module, child: str, x: object) -> Tensor:
    if not isinstance(x, Tensor) or not x.dtype.is_floating_point:
        got = f"a tensor of {x.dtype}" if isinstance(x, Tensor) else type(x).__name__
        raise UnsupportedModelError(
            f"dropout was injected at {type(module).__name__} ({child}), where there is {got} and no tensor "
            "of real numbers; choose another layer in where="
        )
    dropped: Tensor = module.get_submodule(child)(x)
    return dropped
