"""The straight lines of one network: blocks of one form that come again run without the Python of the model.

A line is used for blocks of the form that it was written for, and while what may change the calls of a pass
is as it was (`mcdrop.engine.surroundings`).

One thing is out of sight: a global of Python's, or an object that the model shares with others, that somebody
else changes later on, and by which forward decides. So lines are for a server, which owns its models.
"""

import threading
from collections.abc import Hashable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

import torch
from torch import Tensor

from mcdrop.engine.block import Block
from mcdrop.engine.failures import reason
from mcdrop.engine.fallback import Fallback
from mcdrop.engine.proof import Line, proven_line
from mcdrop.engine.straight import form
from mcdrop.engine.surroundings import surroundings

__all__ = ["Lines"]

_OFTEN: Final = 32
"""How often a block comes before it is written down, which takes about as much as that many lines save."""
_MOST: Final = 64
"""Forms of blocks that are known of one network."""
_PLAIN: Final = (bool, float, int, str, type(None))


@dataclass
class Lines:
    """The lines of one network, written when they are worth it; safe to share between threads.

    Attributes:
        often: At which time that a form of blocks comes it is written down.
        refused: Why a form is run in the ordinary way.
    """

    often: int = _OFTEN
    refused: dict[Hashable, str] = field(default_factory=dict)
    _uses: dict[Hashable, int] = field(default_factory=dict)
    _known: dict[Hashable, Line] = field(default_factory=dict)
    _lock: Any = field(default_factory=threading.Lock)

    def __len__(self) -> int:
        """How many there are."""
        return len(self._known)

    @contextmanager
    def at_once(self) -> Iterator[None]:
        """Inside, blocks are written down when they come for the first time."""
        self.often, often = 1, self.often
        try:
            yield
        finally:
            self.often = often

    def run(self, wanted: str, fallback: Fallback, block: Block) -> list[Tensor]:
        """Tensors (samples, rows, ...), one for each output: by a line if there is one.

        Args:
            wanted: Name of the strategy.
            fallback: Runs it, and what may run in its place.
            block: What is wanted.
        """
        strategy = fallback.usable(wanted)
        key = _form_of(strategy, block)
        known = self._known.get(key)
        if known is not None and known.line.holds():
            try:
                return known.run(block)
            except (MemoryError, torch.OutOfMemoryError):
                raise
            except Exception:  # noqa: BLE001 - the ordinary way says what is wrong
                key = None
        outputs = fallback.run(wanted, block, block.draws())
        if key is not None and fallback.usable(wanted) == strategy:
            self._count(key, strategy, block, outputs)
        return outputs

    def _count(self, key: Hashable, strategy: str, block: Block, outputs: list[Tensor]) -> None:
        """Note that a block came, and write it down if it has come often."""
        if key in self.refused or key in self._known:
            return
        uses = self._uses[key] = self._uses.get(key, 0) + 1
        if uses >= self.often and self._lock.acquire(blocking=False):
            try:
                self._write(key, strategy, block, outputs)
            finally:
                self._lock.release()
        elif len(self._uses) > _MOST:
            self._uses.clear()

    def _write(self, key: Hashable, strategy: str, block: Block, outputs: list[Tensor]) -> None:
        if key in self._known:  # by another thread
            return
        if len(self._known) + len(self.refused) >= _MOST:
            self.refused.clear()
            self._known.clear()
        self._uses.pop(key, None)
        try:
            self._known[key] = proven_line(strategy, block, outputs)
        except Exception as error:  # noqa: BLE001 - whatever it is, the ordinary way does without
            self.refused[key] = reason(error)


def _form_of(strategy: str, block: Block) -> Hashable | None:
    """All that the calls of a pass depend on, but for the numbers; None if that is not known."""
    outside, leaves = surroundings(), block.call.leaves
    forms = tuple([_form_of_leaf(leaf) for leaf in leaves])
    if outside is None or None in forms or _repeated(leaves):
        return None
    return strategy, block.samples, len(block.keys), len(block.keys[0]), outside, forms


def _repeated(leaves: Sequence[Any]) -> bool:
    """Whether a tensor is given twice, which forward can see."""
    if len(leaves) == 1:
        return False
    tensors = [id(leaf) for leaf in leaves if isinstance(leaf, Tensor)]
    return len(set(tensors)) < len(tensors)


def _form_of_leaf(leaf: Any) -> Hashable | None:
    """Of one input; None if it is not known what a pass may ask of it."""
    if type(leaf) is not Tensor:
        return repr(leaf) if isinstance(leaf, _PLAIN) else None  # by its text: 0.0 == -0.0
    if leaf.is_complex() or leaf.is_neg() or leaf.layout is not torch.strided:
        return None
    return form(leaf)
