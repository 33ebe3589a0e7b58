"""All samples in one plain pass over copies of the rows, each copy with the masks of its sample.

Calls cost less than under `vmap`, and in-place writes need no care; but what comes before the first site runs
once for each sample too. It needs rows that do not depend on their order, and sites with a row axis.
"""

from torch import Tensor

from mcdrop.engine.inputs import Call
from mcdrop.engine.network import Network
from mcdrop.engine.replay import Addresses, BlockDraws
from mcdrop.engine.sites import Law
from mcdrop.errors import UnsupportedModelError

__all__ = ["fold"]


def fold(network: Network, call: Call, draws: BlockDraws, samples: int) -> list[Tensor]:
    """Tensors (samples, N, ...), one for each output of the network.

    Raises:
        UnsupportedModelError: If a site has no row axis, or does not always fire, or the input is not split.
    """
    if call.whole:
        raise UnsupportedModelError("the input is not split into rows, so it cannot hold copies of them")
    if not network.fixed:
        raise UnsupportedModelError(
            "the sites that fire differ from pass to pass, so one pass cannot hold all samples"
        )
    outputs = network.outputs_for(call.repeat(samples), _FoldedDraws(network, draws, samples))
    return [out.unflatten(0, (samples, call.rows)) for out in outputs]


class _FoldedDraws:
    """The draws of all samples, for copies of the rows: those of the first sample come first."""

    def __init__(self, network: Network, block: BlockDraws, samples: int) -> None:
        self._sites, self._block, self._samples = network.sites, block, samples
        self._addresses = Addresses(network.paths)

    def draw(self, kind: str, p: float | None, law: Law, shape: tuple[int, ...]) -> Tensor:  # noqa: ARG002
        """The draw of the site that is firing."""
        key = self._addresses.next()
        site = self._sites.get(key)
        if site is None:
            return self._block.get(key, kind, law, shape)  # which says what is wrong
        axis = site.row_axis
        if axis is None:
            raise UnsupportedModelError(
                f"the rows share the draw of {key}, so copies of a row cannot have their own"
            )
        rows, rest = divmod(shape[axis], self._samples)
        if rest:
            raise UnsupportedModelError(f"the mask of {key} has shape {shape}, which no row axis explains")
        of_one = (*shape[:axis], rows, *shape[axis + 1 :])
        drawn = self._block.get(key, kind, law, of_one)[: self._samples]
        if drawn.shape[axis + 1] != rows:
            drawn = drawn.expand(*drawn.shape[: axis + 1], rows, *drawn.shape[axis + 2 :])
        return (drawn.movedim(0, axis) if axis else drawn).flatten(axis, axis + 1)
