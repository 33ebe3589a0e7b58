"""The plain loop: one pass for each sample. The reference that every other strategy is compared with."""

from collections.abc import Sequence

import torch
from torch import Tensor

from mcdrop.engine.inputs import Call
from mcdrop.engine.network import Network
from mcdrop.engine.replay import BlockDraws, SampleDraws
from mcdrop.errors import UnsupportedModelError

__all__ = ["loop"]


def loop(network: Network, call: Call, draws: BlockDraws, samples: int) -> list[Tensor]:
    """Tensors (samples, N, ...), one for each output of the network.

    Raises:
        UnsupportedModelError: If the shape of an output follows what was drawn.
    """
    passes = [network.outputs_for(call, SampleDraws(draws, s, network.paths)) for s in range(samples)]
    return [_stacked(outputs) for outputs in zip(*passes, strict=True)]


def _stacked(outputs: Sequence[Tensor]) -> Tensor:
    shapes = {tuple(each.shape) for each in outputs}
    if len(shapes) > 1:
        listed = " and ".join(map(str, sorted(shapes)[:2]))
        raise UnsupportedModelError(
            f"the model returns tensors of shape {listed} for the same rows under different draws, which "
            "have no mean; let the draws decide what is in the output, and not how much of it there is"
        )
    return torch.stack(list(outputs))
