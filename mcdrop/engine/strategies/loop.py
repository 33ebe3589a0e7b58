"""The plain loop: one pass for each sample. The reference that every other strategy is compared with."""

import torch
from torch import Tensor

from mcdrop.engine.inputs import Call
from mcdrop.engine.network import Network
from mcdrop.engine.replay import BlockDraws, SampleDraws

__all__ = ["loop"]


def loop(network: Network, call: Call, draws: BlockDraws, samples: int) -> list[Tensor]:
    """Tensors (samples, N, ...), one for each output of the network."""
    passes = [network.outputs_for(call, SampleDraws(draws, s, network.paths)) for s in range(samples)]
    return [torch.stack(outputs) for outputs in zip(*passes, strict=True)]
