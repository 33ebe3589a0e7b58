"""How a straight line is written, and shown to be right.

The calls are written down twice with real numbers, of different rows and draws, and once without any, and all
must agree. Passes must leave the model as it was. The line must then give the bits of the ordinary way for
the rows at hand and for two blocks of other rows and draws.
"""

import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Final, NamedTuple

import torch
from torch import Tensor

from mcdrop.engine.attributes import attributes, unchanged
from mcdrop.engine.block import Block
from mcdrop.engine.dictation import transcript, transcript_of_shapes
from mcdrop.engine.inputs import Call
from mcdrop.engine.network import Network
from mcdrop.engine.probes import probe_inputs
from mcdrop.engine.promotion import Promotions
from mcdrop.engine.replay import BlockDraws
from mcdrop.engine.shortening import shortened, with_linear_layers
from mcdrop.engine.sites import Law, SiteKey
from mcdrop.engine.straight import StraightLine, form
from mcdrop.engine.transcript import NoTranscriptError

__all__ = ["Line", "proven_line"]

_SLOW_S: Final = 0.05
"""Of a block that takes longer, Python is a small part, and writing it down would take a second."""

_Address = tuple[SiteKey, str, Law, tuple[int, ...]]


class Line(NamedTuple):
    """The straight line of blocks of one form.

    Attributes:
        line: Takes the inputs, and the draws behind them.
        addresses: Of the draws.
    """

    line: StraightLine
    addresses: tuple[_Address, ...]

    def run(self, block: Block) -> list[Tensor]:
        """What a strategy gives for a block of the same form."""
        keys = tuple(map(tuple, block.keys))
        make = partial(self._drawn, block)
        drawn = block.network.cache.several((self.line, keys, block.rng), make)
        return self.line.run([*_tensors(block.call), *drawn])

    def _drawn(self, block: Block) -> tuple[Tensor, ...]:
        draws = block.draws()
        return tuple(draws.get(*address) for address in self.addresses)


def proven_line(strategy: str, block: Block, outputs: list[Tensor]) -> Line:
    """A line for blocks of one form, which gives the bits of the ordinary way.

    Args:
        strategy: By name; what the ordinary way is.
        block: That came.
        outputs: What it came to.

    Raises:
        Exception: Of any kind, if there is none that is known to be right.
    """
    network = block.network
    if network.differentiates or not network.fixed:
        raise NoTranscriptError("the network computes gradients, or its sites differ from pass to pass")
    passes = _passes(strategy, block)
    if not _are_same(passes[0].outputs, outputs):
        raise _other_bits()
    steps = transcript(_function(strategy, passes[0]), passes[0].given)
    steps.check_equal(transcript(_function(strategy, passes[1]), passes[1].given))
    steps.check_equal(transcript_of_shapes(_function(strategy, passes[0]), passes[0].given))
    short = shortened(steps)
    for calls in (with_linear_layers(short), short):
        line = Line(StraightLine(calls, passes[0].given), tuple(passes[0].drawn))
        if all(_are_same(line.run(each.block), each.outputs) for each in passes):
            return line
    raise _other_bits()


class _Pass(NamedTuple):
    """What a pass was given, and what came of it."""

    block: Block
    drawn: dict[_Address, Tensor]
    outputs: list[Tensor]

    @property
    def given(self) -> list[Tensor]:
        return [*_tensors(self.block.call), *self.drawn.values()]


class _Noted(BlockDraws):
    """Draws that tell which of them were asked for, in the order in which that happened first."""

    def __init__(self, block: Block) -> None:
        super().__init__(block.network.sites, block.keys, block.rng, block.network.cache)
        self.asked: dict[_Address, Tensor] = {}

    def get(self, key: SiteKey, kind: str, law: Law, shape: tuple[int, ...]) -> Tensor:
        """Draws of one site."""
        drawn = super().get(key, kind, law, shape)
        return self.asked.setdefault((key, kind, law, shape), drawn)


class _Given:
    """Draws that were made before."""

    def __init__(self, drawn: dict[_Address, Tensor], device: torch.device) -> None:
        self._drawn, self.device = drawn, device

    def get(self, *address: Any) -> Tensor:
        """Draws of one site."""
        return self._drawn[address]


def _passes(strategy: str, block: Block) -> list[_Pass]:
    """In the ordinary way: the block, and two others of its form."""
    passes = [_quick_pass(strategy, block)]
    before = attributes(block.network.view)
    passes += [_pass(strategy, other) for other in _others(block)]
    _check_unchanged(before, block.network)
    _pass(strategy, replace(block, samples=1))  # a loop may come back to where it was after all of them
    _check_unchanged(before, block.network)
    if len({tuple(each.drawn) for each in passes}) > 1:
        raise NoTranscriptError("two passes ask for different draws")
    return passes


def _quick_pass(strategy: str, block: Block) -> _Pass:
    """Of a block whose time is mostly Python's; a slow one is tried twice: a thread may be held up once."""
    for _ in range(2):
        start = time.thread_time()  # what other threads and processes do is not a property of the model
        done = _pass(strategy, block)
        if time.thread_time() - start <= _SLOW_S:
            return done
    raise NoTranscriptError("most of the time is not Python's")


def _check_unchanged(before: list[Any], network: Network) -> None:
    if not unchanged(before, attributes(network.view)):
        raise NoTranscriptError("a pass changes what the model holds")


def _others(block: Block) -> Iterator[Block]:
    """Blocks of the same form, with other numbers."""
    call = block.call
    for trial in range(2):
        probe = probe_inputs(call, call.rows, trial)
        pairs = zip(call.leaves, probe.leaves, strict=True)
        leaves = tuple(_in_place_of(leaf, other) for leaf, other in pairs)
        keys = [
            [
                key._replace(seed=trial, row=row, block=trial * len(block.keys) + number)
                for row, key in enumerate(of_rows)
            ]
            for number, of_rows in enumerate(block.keys)
        ]
        yield replace(block, call=replace(call, leaves=leaves), keys=keys)


def _in_place_of(leaf: Any, other: Any) -> Any:
    """Other numbers, in the same order in memory."""
    if not isinstance(leaf, Tensor):
        return leaf
    return torch.empty_strided(leaf.shape, leaf.stride(), dtype=leaf.dtype, device=leaf.device).copy_(other)


def _pass(strategy: str, block: Block) -> _Pass:
    draws = _Noted(block)
    outputs = block.outputs(strategy, draws)
    return _Pass(block, draws.asked, outputs)


def _function(strategy: str, of: _Pass) -> Any:
    """The pass as a function of its inputs and draws; what it finds out about the network is forgotten."""
    block = of.block
    network = replace(block.network, promotions=Promotions(block.network.promotions.births))
    inputs = len(_tensors(block.call))

    def function(given: Sequence[Tensor]) -> Sequence[Tensor]:
        pending = iter(given[:inputs])
        leaves = tuple(next(pending) if isinstance(leaf, Tensor) else leaf for leaf in block.call.leaves)
        draws: Any = _Given(dict(zip(of.drawn, given[inputs:], strict=True)), network.device)
        return replace(block, network=network, call=replace(block.call, leaves=leaves)).outputs(
            strategy, draws
        )

    return function


def _tensors(call: Call) -> list[Tensor]:
    return [leaf for leaf in call.leaves if isinstance(leaf, Tensor)]


def _other_bits() -> NoTranscriptError:
    return NoTranscriptError("a line gives other bits than the ordinary way")


def _are_same(got: Sequence[Tensor], wanted: Sequence[Tensor]) -> bool:
    return all(_same_bits(*pair) for pair in zip(got, wanted, strict=True))


def _same_bits(one: Tensor, other: Tensor) -> bool:
    return form(one) == form(other) and torch.equal(_bytes(one), _bytes(other))


def _bytes(tensor: Tensor) -> Tensor:
    return tensor.contiguous().reshape(-1).view(torch.uint8)
