"""Strategies: ways to run blocks of samples of a network. Given the same draws they agree up to rounding.

Each is a function `(network, call, draws, samples) -> tensors (samples, N, ...)`; none knows a layer's name.
"""

from collections.abc import Callable
from typing import Final

from torch import Tensor

from mcdrop.engine.inputs import Call
from mcdrop.engine.network import Network
from mcdrop.engine.replay import BlockDraws
from mcdrop.engine.strategies.fold import fold
from mcdrop.engine.strategies.loop import loop
from mcdrop.engine.strategies.vmap import vmap

__all__ = ["STRATEGIES", "Strategy", "fold", "loop", "vmap"]

Strategy = Callable[[Network, Call, BlockDraws, int], list[Tensor]]

STRATEGIES: Final[dict[str, Strategy]] = {"vmap": vmap, "fold": fold, "loop": loop}
"""By name; of those that agree with the per-row loop, exact mode takes the first."""
