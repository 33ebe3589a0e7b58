"""What a strategy is asked for: some blocks of 16 samples that run together, for the rows of one tile."""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from mcdrop.engine.inputs import Call
from mcdrop.engine.masks import BlockKey
from mcdrop.engine.network import Network
from mcdrop.engine.replay import BlockDraws
from mcdrop.engine.strategies import STRATEGIES

__all__ = ["Block"]


@dataclass(frozen=True)
class Block:
    """Some blocks.

    Attributes:
        network: The model.
        call: The rows.
        keys: For each block: a key for each row, or a single one for all.
        rng: Name of the generator.
        samples: How many are wanted.
    """

    network: Network
    call: Call
    keys: Sequence[Sequence[BlockKey]]
    rng: str
    samples: int

    def draws(self) -> BlockDraws:
        """The masks."""
        return BlockDraws(self.network.sites, self.keys, self.rng, self.network.cache)

    def outputs(self, strategy: str, draws: BlockDraws) -> list[Tensor]:
        """Tensors (samples, rows, ...), one for each output of the network, by the strategy of that name."""
        return STRATEGIES[strategy](self.network, self.call, draws, self.samples)
