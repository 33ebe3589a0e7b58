"""All samples in one pass: `torch.func.vmap` over the masks.

vmap batches lazily, so everything before the first site runs once for each row and not once for each sample.
"""

import torch
from torch import Tensor

from mcdrop.engine.functorch import without_fallback_warnings
from mcdrop.engine.inputs import Call
from mcdrop.engine.network import Network
from mcdrop.engine.promotion import Births, with_promotions
from mcdrop.engine.replay import BlockDraws, GivenDraws, OtherShapeError
from mcdrop.engine.sites import Site, SiteKey
from mcdrop.errors import UnsupportedModelError

__all__ = ["vmap"]

_Shapes = dict[SiteKey, tuple[int, ...]]


def vmap(network: Network, call: Call, draws: BlockDraws, samples: int) -> list[Tensor]:
    """Tensors (samples, N, ...), one for each output of the network.

    Raises:
        UnsupportedModelError: If the sites of the network are not the same in every pass.
    """
    if not network.fixed:
        raise UnsupportedModelError(
            "the sites that fire differ from pass to pass, so their masks cannot be made beforehand"
        )
    shapes = {key: _shape(site, call) for key, site in network.sites.items()}
    for _ in shapes:
        try:
            return _with_shapes(network, call, draws, samples, shapes)
        except OtherShapeError as other:  # it follows the data, such as the length of the longest sequence
            shapes[other.key] = other.shape
    return _with_shapes(network, call, draws, samples, shapes)


def _with_shapes(
    network: Network, call: Call, draws: BlockDraws, samples: int, shapes: _Shapes
) -> list[Tensor]:
    sites = network.sites
    masks = [draws.get(key, site.kind, site.law, shapes[key])[:samples] for key, site in sites.items()]

    def attempt(births: frozenset[int], *, search: bool) -> list[Tensor]:
        one = torch.ones(samples, dtype=torch.bool, device=network.device) if births or search else None

        def one_sample(one: Tensor | None, *masks: Tensor) -> tuple[Tensor, ...]:
            given = GivenDraws(dict(zip(sites, masks, strict=True)), sites, shapes, network.paths)
            early = None if one is None else Births(births, one, search=search, model=network.view)
            return tuple(network.outputs_for(call, given, early))

        axes = (None if one is None else 0, *[0] * len(masks))
        with without_fallback_warnings():
            return list(torch.func.vmap(one_sample, axes, randomness="error")(one, *masks))

    return with_promotions(attempt, network.promotions)


def _shape(site: Site, call: Call) -> tuple[int, ...]:
    """Of the site's mask, for the rows of this call."""
    shape = list(site.shape)
    if site.row_axis is not None:
        shape[site.row_axis] = site.row_factor * call.rows
    return tuple(shape)
