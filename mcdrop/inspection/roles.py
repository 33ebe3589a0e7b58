"""Roles: what kind of layer a site stands at, and which rates are usual there."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from torch import nn
from torch.nn.modules.conv import _ConvNd

from mcdrop.engine.sites import Site
from mcdrop.inspection.layers import own_layer
from mcdrop.inspection.surroundings import Layer, Surroundings
from mcdrop.nn import DropConnect, VariationalDropout, VariationalGRU, VariationalLSTM, WeightDrop

__all__ = ["RECURRENT_KINDS", "USUAL", "Usual", "is_on_features", "is_recurrent", "role"]

RECURRENT_KINDS: Final = ("lstm", "gru", "rnn")
_RECURRENT: Final = (VariationalGRU, VariationalLSTM, WeightDrop)


@dataclass(frozen=True)
class Usual:
    """The rates that are usual at a kind of layer.

    Attributes:
        low: The lowest.
        high: The highest.
        source: Who says so.
    """

    low: float
    high: float
    source: str


_SRIVASTAVA: Final = "Srivastava et al. 2014, JMLR 15, appendix A"

USUAL: Final[dict[str, Usual]] = {
    "input": Usual(0.1, 0.2, _SRIVASTAVA),
    "hidden": Usual(0.2, 0.5, _SRIVASTAVA),
    "convolution": Usual(0.0, 0.2, "Tompson et al. 2015, arXiv:1411.4280; Park and Kwak 2016, ACCV"),
    "transformer": Usual(0.05, 0.2, "Vaswani et al. 2017, arXiv:1706.03762, section 5.4 (0.1)"),
    "recurrent": Usual(0.2, 0.65, "Zaremba et al. 2014, arXiv:1409.2329"),
}
"""By role. Stochastic depth and noise without a rate have none."""


def role(site: Site, around: Surroundings, model: nn.Module) -> str:
    """What kind of layer a site stands at.

    Returns:
        `transformer`, `recurrent`, `convolution`, `input`, `hidden`, or `depth` for a site that drops whole
        branches of a row.
    """
    row = site.row_shape(site.shape)
    if site.kind == "attention" or _is_in_attention(site, model):
        return "transformer"
    if known := _of_layer(own_layer(site, model), around):
        return known
    if site.row_axis is not None and all(size == 1 for size in row):
        return "depth"
    if is_recurrent(site, around):
        return "recurrent"
    if is_on_features(site, around):
        return "convolution"
    return "input" if _is_first(around) else "hidden"


def _of_layer(layer: nn.Module | None, around: Surroundings) -> str:
    """The role that follows from a layer of `mcdrop.nn` by itself; empty if none does."""
    if isinstance(layer, DropConnect):
        return "hidden" if isinstance(layer.layer, nn.Linear) else "convolution"
    over_time = isinstance(layer, VariationalDropout) and _beside_recurrent(around)
    return "recurrent" if over_time or isinstance(layer, _RECURRENT) else ""


def _is_first(around: Surroundings) -> bool:
    """Whether a site acts on an input of the model, or on its embedding."""
    return around.before is None or isinstance(around.before.module, nn.Embedding | nn.EmbeddingBag)


def _is_in_attention(site: Site, model: nn.Module) -> bool:
    """Whether a block around the site, smaller than the model, has attention in it."""
    parts = site.module.split(".")
    blocks = (model.get_submodule(".".join(parts[:depth])) for depth in range(1, len(parts) + 1))
    return any(_has_attention(block) for block in blocks if not isinstance(block, nn.ModuleList))


def _has_attention(block: nn.Module) -> bool:
    return any(
        isinstance(module, nn.MultiheadAttention) or "attention" in type(module).__name__.lower()
        for module in block.modules()
    )


def is_recurrent(site: Site, around: Surroundings) -> bool:
    """Whether a site drops what a recurrent layer takes, gives, or hands on between its own layers."""
    if site.kind.startswith(RECURRENT_KINDS):
        return True
    return len(site.shape) == 3 and _beside_recurrent(around)


def _beside_recurrent(around: Surroundings) -> bool:
    return any(isinstance(each.module, nn.RNNBase) for each in _neighbours(around))


def is_on_features(site: Site, around: Surroundings) -> bool:
    """Whether a site drops feature maps: what a convolution gives, or takes from another layer."""
    return around.before is not None and any(
        isinstance(layer.module, _ConvNd) and len(site.shape) == layer.output.dim()
        for layer in _neighbours(around)
    )


def _neighbours(around: Surroundings) -> Iterator[Layer]:
    if around.before is not None:
        yield around.before
    yield from around.behind[:1]
