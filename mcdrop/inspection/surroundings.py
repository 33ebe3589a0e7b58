"""The surroundings of a site, by experiment: what runs before it, and which inputs move with its masks.

Each site is forced alone, and every layer's input and output are watched. What moves lies behind the site,
whatever the modules are called.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils import _pytree as pytree

from mcdrop.engine.forcing import at_one_half, middle
from mcdrop.engine.inputs import Call
from mcdrop.engine.masks import draw_one
from mcdrop.engine.network import Network
from mcdrop.engine.philox import StreamKey
from mcdrop.engine.recording import Recorder
from mcdrop.engine.sites import Site, SiteKey, site_id
from mcdrop.engine.switching import switched
from mcdrop.engine.tracing import Trace
from mcdrop.nn import DropConnect, VariationalGRU, VariationalLSTM, WeightDrop

__all__ = ["Layer", "NormShift", "Surroundings", "surroundings"]

_ROWS: Final = 16
_PASSES: Final = 9
"""The first at a rate of one half, so that what moves is seen; the others as the model draws."""


@dataclass(frozen=True, eq=False)
class Layer:
    """A layer that ran: a module with weights of its own.

    Attributes:
        path: Of the module.
        module: A view of it.
        input: The first tensor that it took.
        output: The first tensor that it gave.
    """

    path: str
    module: nn.Module
    input: Tensor
    output: Tensor


@dataclass(frozen=True)
class NormShift:
    """What a site does to the input of a batch norm.

    Attributes:
        path: Of the batch norm.
        ratio: Variance of its input with the site on, over that with it off; mean over the channels.
    """

    path: str
    ratio: float


@dataclass(frozen=True, eq=False)
class Surroundings:
    """Where a site lies.

    Attributes:
        site: Which.
        dropped: The tensor that its module takes, if the module does nothing but drop.
        before: The last layer that ran before it; None if it acts on an input of the model.
        behind: The layers whose input moves with it, in the order in which they run.
        norms: Of these, the batch norms.
        output_moves: Whether the output of the model does.
        is_output: Whether the output is a multiple of its mask.
    """

    site: Site
    dropped: Tensor | None
    before: Layer | None
    behind: tuple[Layer, ...]
    norms: tuple[NormShift, ...]
    output_moves: bool
    is_output: bool


def surroundings(model: nn.Module, traced: Trace, call: Call) -> tuple[Surroundings, ...]:
    """Where each site of a model lies.

    Args:
        model: The user's; left as it is.
        traced: What is known of it.
        call: Some rows, of which a few are looked at.
    """
    rows = call.take(slice(0, _ROWS))
    with torch.no_grad():
        return tuple(_of_site(model, traced, rows, site) for site in traced.sites)


def _of_site(model: nn.Module, traced: Trace, call: Call, site: Site) -> Surroundings:
    network = switched(model, traced, call, [site.key]).network
    off = _watched(network, call, site.key, None)
    passes = [_watched(network, call, site.key, index) for index in range(_PASSES)]
    behind = tuple(layer for i, layer in enumerate(off.layers) if _moves(layer, passes, i))
    index = off.fired_after
    return Surroundings(
        site,
        off.dropped,
        off.layers[index - 1] if index else None,
        behind,
        tuple(_norm_shifts(off, passes[1:], behind)),
        any(_differ(off.output, each.output) for each in passes),
        any(_is_multiple(off.output, each.output, each.mask) for each in passes),
    )


def _moves(layer: Layer, passes: Sequence["_Pass"], index: int) -> bool:
    others = (each.layers[index] for each in passes if index < len(each.layers))
    return any(_differ(layer.input, other.input) for other in others)


def _differ(one: Tensor, other: Tensor) -> bool:
    return one.shape != other.shape or not torch.equal(one.nan_to_num(), other.nan_to_num())


def _is_multiple(off: Tensor, on: Tensor, mask: Tensor | None) -> bool:
    """Whether an output is what it is with the site off, times the mask."""
    return (
        mask is not None and mask.shape == off.shape and torch.allclose(off * mask, on) and _differ(off, on)
    )


def _norm_shifts(off: "_Pass", passes: Sequence["_Pass"], behind: Sequence[Layer]) -> Iterator[NormShift]:
    for layer in behind:
        if isinstance(layer.module, _BatchNorm):
            index = off.layers.index(layer)
            together = torch.cat([each.layers[index].input for each in passes])
            before, after = (_channel_variances(x) for x in (layer.input, together))
            usual = before > 0
            if usual.any():
                yield NormShift(layer.path, (after[usual] / before[usual]).mean().item())


def _channel_variances(x: Tensor) -> Tensor:
    """(C,) of (N, C, ...)."""
    return x.to(torch.float64).movedim(1, 0).flatten(1).var(1, correction=0)


# --- one pass under watch ----------------------------------------------------------------------------


@dataclass
class _Pass:
    layers: list[Layer]
    output: Tensor
    mask: Tensor | None
    dropped: Tensor | None
    fired_after: int


def _watched(network: Network, call: Call, key: SiteKey, index: int | None) -> _Pass:
    """One pass with the site off (None) or under one of several masks."""
    layers: list[Layer] = []
    source = _Forced(network, key, index, layers)
    with _layers_noted(network.view, layers), _input_noted(network.view, key.module) as taken:
        output = network.outputs_for(call, source)
    dropped = next((x for x in taken if x.shape == source.shape), None)
    return _Pass(layers, output[0], source.mask, dropped, source.fired_after)


class _Forced(Recorder):
    """A source that forces one site, and holds all others where their multiplication does nothing."""

    def __init__(self, network: Network, key: SiteKey, index: int | None, layers: list[Layer]) -> None:
        super().__init__(network.paths, self._answer)
        self._key, self._index, self._layers = key, index, layers
        self._device = network.device
        self.mask: Tensor | None = None
        self.shape: tuple[int, ...] | None = None
        self.fired_after = 0

    def _answer(self, site: Site) -> Tensor:
        if site.key != self._key:
            return middle(site.law, site.shape).to(self._device)
        self.fired_after, self.shape = len(self._layers), site.shape
        if self._index is None:
            return middle(site.law, site.shape).to(self._device)
        law = site.law if self._index else at_one_half(site.law)
        stream = StreamKey(self._index, 0, 0, site_id(site.key, site.kind))
        self.mask = draw_one(law, site.shape, stream).to(self._device)
        return self.mask


@contextmanager
def _layers_noted(view: nn.Module, layers: list[Layer]) -> Iterator[None]:
    def note(path: str, module: nn.Module, args: Any, kwargs: Any, output: Any) -> None:
        tensors = [leaf for leaf in pytree.tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        results = [leaf for leaf in pytree.tree_leaves(output) if isinstance(leaf, Tensor)]
        if tensors and results:
            layers.append(Layer(path, module, tensors[0].clone(), results[0].clone()))

    handles = [
        module.register_forward_hook(
            lambda _, args, kwargs, output, path=path, layer=layer: note(path, layer, args, kwargs, output),
            with_kwargs=True,
        )
        for path, module in view.named_modules()
        if (layer := _layer_of(module)) is not None
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _layer_of(module: nn.Module) -> nn.Module | None:
    """A module that has weights of its own, or is a batch norm; None for any other.

    Layers under `DropConnect` and its relatives are not called: what wraps them runs in their place.
    """
    if isinstance(module, DropConnect):
        return module.layer
    if isinstance(module, WeightDrop | VariationalLSTM | VariationalGRU):
        return module.rnn
    weighs = isinstance(module, _BatchNorm) or next(module.parameters(recurse=False), None) is not None
    return module if weighs else None


@contextmanager
def _input_noted(view: nn.Module, path: str) -> Iterator[list[Tensor]]:
    taken: list[Tensor] = []

    def note(_module: nn.Module, args: Any) -> None:
        taken.extend(arg.clone() for arg in args if isinstance(arg, Tensor))

    handle = view.get_submodule(path).register_forward_pre_hook(note)
    try:
        yield taken
    finally:
        handle.remove()
