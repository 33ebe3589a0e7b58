"""Fallback: a block is run by the strategy of its plan, and by the next one that agrees if that fails.

A strategy can pass the verification on two rows and fail on more: `fold` copies rows, and a network may hold
a table of so many positions only.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

import torch
from torch import Tensor

from mcdrop.engine.block import Block
from mcdrop.engine.failures import reason
from mcdrop.engine.replay import BlockDraws

__all__ = ["Fallback"]


@dataclass(frozen=True)
class Fallback:
    """The strategies that may run a network; shared by all its plans and threads.

    Attributes:
        order: Their names, the first choice first.
        failed: Why a strategy is not used any more: it failed on rows on which another ran.
    """

    order: tuple[str, ...] = ()
    failed: dict[str, str] = field(default_factory=dict)

    def usable(self, wanted: str) -> str:
        """The strategy that is wanted, or the first that has not failed."""
        return wanted if wanted not in self.failed else next(self._turns(wanted))

    def run(self, wanted: str, block: Block, draws: BlockDraws) -> list[Tensor]:
        """What the strategy that is wanted gives, or the first other one that runs.

        Args:
            wanted: Its name.
            block: What to run.
            draws: Its masks.

        Raises:
            Exception: Of the last one, if none runs: what the network itself says of these rows.
        """
        *others, last = self._turns(wanted)
        failures: dict[str, str] = {}
        for name in others:
            try:
                out = block.outputs(name, draws)
            except (MemoryError, torch.OutOfMemoryError):
                raise
            except Exception as error:  # noqa: BLE001 - whatever it is, another strategy may do without
                failures[name] = reason(error)
            else:
                break
        else:
            out = block.outputs(last, draws)
        self.failed.update(failures)
        return out

    def _turns(self, wanted: str) -> Iterator[str]:
        names = dict.fromkeys((wanted, *self.order))
        left = [name for name in names if name not in self.failed]
        return iter(left or names)
