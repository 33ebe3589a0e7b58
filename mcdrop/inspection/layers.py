"""The layers of `mcdrop.nn` that own sites, whose rates a call of `torch.rand` does not tell."""

from torch import nn

from mcdrop.engine.sites import Site

__all__ = ["own_layer", "rate"]

_PACKAGE = "mcdrop.nn."


def own_layer(site: Site, model: nn.Module) -> nn.Module | None:
    """The layer of `mcdrop.nn` that makes a call; None if it is made by anything else."""
    module = model.get_submodule(site.module)
    ours = any(kind.__module__.startswith(_PACKAGE) for kind in type(module).__mro__)
    return module if ours else None


def rate(site: Site, layer: nn.Module | None) -> float | None:
    """The rate of a call; where it has none, that of the layer of `mcdrop.nn` around it."""
    known = getattr(layer, "p", None) if site.p is None else site.p
    return float(known) if isinstance(known, int | float) else None
