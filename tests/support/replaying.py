"""The engine without its shell: a network from a model, and its samples by one strategy."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from mcdrop.engine.inputs import Call, as_call
from mcdrop.engine.masks import BLOCK, BlockKey
from mcdrop.engine.network import Network, network_of
from mcdrop.engine.replay import BlockDraws
from mcdrop.engine.strategies import STRATEGIES, loop
from mcdrop.engine.tracing import trace
from tests.support.models import Case

__all__ = ["by_row", "consistent", "independent", "network_and_call", "network_of_case", "samples"]

Keys = Sequence[BlockKey]


def network_and_call(model: nn.Module, *inputs: Any, batch_axis: int = 0) -> tuple[Network, Call]:
    """The traced model, and its inputs."""
    call = as_call(model, inputs, {}, batch_axis)
    return network_of(model, trace(model, call)), call


def network_of_case(case: Case) -> tuple[Network, Call]:
    """The same for one of the committed models."""
    model, inputs = case.make()
    return network_and_call(model, *inputs, batch_axis=case.batch_axis)


def consistent(call: Call, seed: int = 0) -> Keys:
    """Keys of masks that all rows share."""
    return [BlockKey(seed, 0, 0)] * call.rows


def independent(call: Call, seed: int = 0) -> Keys:
    """Keys of masks of each row's own."""
    return [BlockKey(seed, row, 0) for row in range(call.rows)]


def samples(strategy: str, network: Network, call: Call, keys: Keys, count: int = BLOCK) -> list[Tensor]:
    """Samples (count, N, ...) of each output."""
    joined = keys[:1] if len(set(keys)) == 1 else keys
    draws = BlockDraws(network.sites, [joined], "philox-1", network.cache)
    with network.inference():
        return STRATEGIES[strategy](network, call, draws, count)


def by_row(network: Network, call: Call, keys: Keys, count: int = BLOCK) -> list[Tensor]:
    """The judge: one row, one sample at a time."""
    alone = []
    for row, key in enumerate(keys):
        draws = BlockDraws(network.sites, [[key]], "philox-1", network.cache)
        with network.inference():
            alone.append(loop(network, call.take(slice(row, row + 1)), draws, count))
    return [torch.cat(parts, 1) for parts in zip(*alone, strict=True)]
