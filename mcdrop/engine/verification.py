"""Verification of a plan on the user's own model and input, before it is used.

1. The native oracle, on one row: the interception computes what the model computes, and sees every draw.
2. The same masks give the same output again, and with other masks the output moves.
3. The per-row loop, one row and one sample at a time, with masks forced at p = .5 and at their own rates: a
   strategy that disagrees with it is not used. If not even the plain loop agrees, the rows of the model are
   coupled. With 1 it follows that several rows, too, are what the model computes of each.
"""

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import torch
from torch import Tensor, nn

from mcdrop.engine.failures import first_line, reason
from mcdrop.engine.footprint import OneSample
from mcdrop.engine.forcing import at_one_half, extreme, spread
from mcdrop.engine.hidden import single_row
from mcdrop.engine.inputs import Call
from mcdrop.engine.maskcache import MaskCache
from mcdrop.engine.masks import BLOCK, BlockKey
from mcdrop.engine.network import Network
from mcdrop.engine.oracle import OracleResult, largest_difference, native_oracle
from mcdrop.engine.outputs import OTHER_ROWS
from mcdrop.engine.precision import rounded_to
from mcdrop.engine.replay import BlockDraws
from mcdrop.engine.sites import Law, Site, SiteKey
from mcdrop.engine.strategies import STRATEGIES, loop
from mcdrop.errors import DomainError, McdropError, NothingRandomError, UnsupportedModelError

__all__ = ["FREE", "Verification", "verify"]

FREE: Final = BlockKey(0, 0, 1)
"""Names the draws of the first row at the model's own rates."""

_Rounding = torch.dtype | str
_Tolerances = Mapping[_Rounding, float]

_SAMPLES: Final = 2
_TF32: Final = 1e-2
"""Products of numbers that keep the 11 binary digits of float16, added up in float32."""
_ORACLE_TOLERANCE: Final[_Tolerances] = {torch.float64: 1e-9, torch.float32: 1e-5, "tf32": _TF32}
_TOLERANCE: Final[_Tolerances] = {torch.float64: 1e-9, torch.float32: 1e-4, "tf32": _TF32}
_HALF_TOLERANCE: Final = 5e-2
_NOT_SLOW: Final = 1.5
"""Of the time of the per-row loop, which makes as many passes of a row."""


@dataclass(frozen=True)
class Verification:
    """What was compared, and how far apart it was, in units of max(1, largest output).

    Attributes:
        oracle: What the native oracle saw.
        differences: From the per-row loop, by strategy.
        seconds: That the comparison took, by strategy.
        refused: Why a strategy could not run, by name.
        tolerance: Up to which difference a strategy agrees.
    """

    oracle: OracleResult
    differences: Mapping[str, float]
    seconds: Mapping[str, float]
    refused: Mapping[str, str]
    tolerance: float

    def __str__(self) -> str:
        """In a line."""
        apart = ", ".join(f"{name} {difference:.1e}" for name, difference in self.differences.items())
        return (
            f"{self.oracle.explained} of {len(self.oracle.native_draws)} native random calls explained; "
            f"differences from the per-row loop: {apart} (tolerance {self.tolerance:.0e})"
        )

    @property
    def strategy(self) -> str:
        """The first that agrees; the plain loop does, or there is no verification."""
        return self.agreeing()[0]

    def agreeing(self) -> list[str]:
        """The strategies that agree with the per-row loop, in the order of `STRATEGIES`."""
        return [name for name in STRATEGIES if self.differences.get(name, math.inf) <= self.tolerance]


def verify(
    network: Network, example: Call, *, thorough: bool = True, once: Sequence[Tensor] | None = None
) -> Verification:
    """Check the interception, and choose the strategy.

    Args:
        network: The model.
        example: Some of the user's rows.
        thorough: Whether every strategy is compared with the per-row loop. If not, those behind the first one
            that agrees are left out, unless it took much longer than the per-row loop.
        once: What a pass of the first row gave under `FREE` draws, if there was one: it counts as the pass
            that must give the same again.

    Raises:
        UnsupportedModelError: If the model draws in a way that is not seen, couples its rows, or keeps state.
        NothingRandomError: If the output does not move with its masks.
        DomainError: If nothing in it is finite.
    """
    rows = _two_rows(example)
    with network.inference():
        start = time.perf_counter()
        reference = _by_row(network, rows)
        network.wait()
        enough = 0.0 if thorough else _NOT_SLOW * (time.perf_counter() - start)
    oracle = _checked_oracle(network, rows.take(slice(0, 1)), reference)
    with network.inference():
        if once is None or not _equal([t[1, slice(rows.kept(slice(0, 1)))] for t in reference], once):
            _check_repeats(network, rows, reference)
        found = _compared(network, rows, reference, oracle, enough)
        _check_movement(network, rows, reference)
    return found


# --- rows to look at -------------------------------------------------------------------------------


def _two_rows(example: Call) -> Call:
    """Two rows that differ: equal ones would hide that a model subtracts their mean. Or the whole."""
    if example.whole:
        return example
    first = example.take(slice(0, 1))
    for row in range(1, example.rows):
        if not _same(first, example.take(slice(row, row + 1))):
            return example.take(torch.tensor([0, row], device="cpu"))
    twice = example.take(torch.tensor([0, 0], device="cpu"))
    pairs = zip(twice.leaves, twice.axes, strict=True)
    return replace(twice, leaves=tuple(_second_rolled(leaf, axis) for leaf, axis in pairs))


def _same(one: Call, other: Call) -> bool:
    pairs = zip(one.leaves, other.leaves, strict=True)
    return all(torch.equal(a, b) for a, b in pairs if isinstance(a, Tensor))


def _second_rolled(leaf: object, axis: int | None) -> object:
    """Values of the second row moved by one place, so that each stays among those that occur."""
    if axis is None or not isinstance(leaf, Tensor) or not leaf.is_floating_point() or leaf.dim() < 2:
        return leaf
    first, second = leaf.unbind(axis)
    return torch.stack([first, second.roll(1, -1)], axis)


# --- the native oracle -----------------------------------------------------------------------------


def _checked_oracle(network: Network, row: Call, reference: Sequence[Tensor]) -> OracleResult:
    result = native_oracle(network, row)
    if len(result.native_draws) != result.explained:
        raise UnsupportedModelError(
            f"the model makes {len(result.native_draws)} random calls of its own "
            f"({', '.join(sorted(set(result.native_draws)))}), of which mcdrop sees {result.explained}; "
            "it would sample only a part of its dropout"
        )
    own = next((p.dtype for p in network.view.parameters()), torch.float32)
    roundings = [own, *_roundings(network, reference)]
    if result.difference is not None and result.difference > _allowed(_ORACLE_TOLERANCE, roundings):
        raise UnsupportedModelError(
            f"given its own draws, the model under mcdrop differs by {result.difference:.2g} from what it "
            "computes by itself; a layer uses its randomness in a way that is not understood, keeps state, "
            "or draws outside of torch: draw with torch functions such as torch.rand or F.dropout; where "
            "autocast is inside of forward, put it around the call"
        )
    return result


def _roundings(network: Network, outputs: Sequence[Tensor]) -> list[_Rounding]:
    """What rounds: dtypes of outputs and draws, autocast around the call, and what multiplies float32."""
    device = outputs[0].device
    cast = [torch.get_autocast_dtype(device.type)] if torch.is_autocast_enabled(device.type) else []
    rounded = _real_dtypes(outputs)
    drawn = {site.law.dtype for site in network.sites.values() if site.law.dtype.is_floating_point}
    return [*rounded, *cast, *drawn, *_of_products(network, device)] if rounded else []


def _real_dtypes(outputs: Sequence[Tensor]) -> list[torch.dtype]:
    """Of those that are rounded."""
    return [t.dtype.to_real() for t in outputs if t.is_floating_point() or t.is_complex()]


def _of_products(network: Network, device: torch.device) -> set[str]:
    parameters = list(network.view.parameters())
    if not any(each.dtype == torch.float32 for each in parameters):
        return set()
    recurrent = any(isinstance(module, nn.RNNBase) for module in network.view.modules())
    return rounded_to(device, convolutions=recurrent or any(each.dim() > 2 for each in parameters))


def _allowed(tolerances: _Tolerances, roundings: Sequence[_Rounding]) -> float:
    """The largest difference that the coarsest of these explains; 0 for whole numbers."""
    return max((tolerances.get(each, _HALF_TOLERANCE) for each in roundings), default=0.0)


# --- the per-row loop --------------------------------------------------------------------------------


class _ForcedDraws(OneSample):
    """A first sample whose rates are all one half, so that every mask matters, and one at their own rates.

    Both are needed: dropped blocks at one half leave nothing of a small image, and hide what they do to it.
    """

    def __init__(
        self, sites: dict[SiteKey, Site], keys: Sequence[Sequence[BlockKey]], rng: str, cache: MaskCache
    ) -> None:
        super().__init__(sites, keys, rng, cache)
        others = [[key._replace(block=key.block + 1) for key in block] for block in keys]
        self._free = OneSample(sites, others, rng, cache)

    def get(self, key: SiteKey, kind: str, law: Law, shape: tuple[int, ...]) -> Tensor:
        """Draws of one site."""
        forced = spread(super().get(key, kind, at_one_half(law), shape), law)
        return torch.cat([forced, self._free.get(key, kind, law, shape)])


class _ExtremeDraws(BlockDraws):
    """Two samples at the two ends of every law."""

    def get(self, key: SiteKey, kind: str, law: Law, shape: tuple[int, ...]) -> Tensor:  # noqa: ARG002
        """Draws of one site."""
        ends = [extreme(law, shape, high=high) for high in (False, True)]
        return torch.stack(ends).to(self.device)


def _draws(network: Network, rows: Sequence[int], law: type[BlockDraws] = _ForcedDraws) -> BlockDraws:
    keys = [BlockKey(0, row, 0) for row in rows]
    return law(network.sites, [keys], "philox-1", network.cache)


def _alone(
    network: Network, rows: Call, row: int, law: type[BlockDraws] = _ForcedDraws, samples: int = _SAMPLES
) -> list[Tensor]:
    call = rows.take(slice(row, row + 1))
    with single_row():
        return loop(network, call, _draws(network, [row], law), samples)


def _by_row(network: Network, rows: Call) -> list[Tensor]:
    """The judge: one row, one sample at a time."""
    each = [_alone(network, rows, row) for row in range(rows.rows)]
    return [torch.cat(parts, 1) for parts in zip(*each, strict=True)]


def _check_repeats(network: Network, rows: Call, reference: list[Tensor]) -> None:
    again = _alone(network, rows, 0, samples=1)
    if not _is_repeated(network, [t[:1, slice(rows.kept(slice(0, 1)))] for t in reference], again):
        raise UnsupportedModelError(
            "the same masks gave two different outputs: the model keeps state from pass to pass, or "
            "something in it is random outside of torch; make forward depend on its inputs alone"
        )


def _is_repeated(network: Network, wanted: list[Tensor], got: list[Tensor]) -> bool:
    """Whether two passes agree: to the last bit on a processor; sums of scattered numbers differ on CUDA."""
    if network.device.type == "cpu":
        return _equal(wanted, got)
    return largest_difference(wanted, got) <= _allowed(_ORACLE_TOLERANCE, _real_dtypes(wanted))


def _equal(wanted: Sequence[Tensor], got: Sequence[Tensor]) -> bool:
    pairs = zip(wanted, got, strict=True)
    return all(torch.equal(a.nan_to_num(), b.nan_to_num()) for a, b in pairs)


def _check_movement(network: Network, rows: Call, reference: list[Tensor]) -> None:
    if _moves(reference) or _moves(_alone(network, rows, 0, _ExtremeDraws)):
        return
    if any(_moves(_alone(network, rows, row, BlockDraws, BLOCK)) for row in range(rows.rows)):
        return  # a draw that often hides all others did so in the few samples before
    if not any(t.isfinite().any() for t in reference):
        raise DomainError(
            "the outputs of the rows that a plan is checked on (the first, and the next that differs) are "
            "NaN or infinite whatever the masks are; see that the inputs and the weights are finite"
        )
    sites = ", ".join(str(key) for key in list(network.sites)[:5])
    raise NothingRandomError(
        f"the output does not move when the masks of its sites ({sites}) are forced at p = .5, so the "
        "samples would all be equal; see that what the dropout acts on reaches the output"
    )


def _moves(outputs: list[Tensor]) -> bool:
    return any(not _equal([t[0]], [sample]) for t in outputs for sample in t[1:])


def _compared(
    network: Network, rows: Call, reference: list[Tensor], oracle: OracleResult, enough: float
) -> Verification:
    """Of all strategies, or those up to the first one that agrees and takes less than `enough` seconds.

    One that cannot run is noted, but for the plain loop, which must.
    """
    differences, seconds, refused = dict[str, float](), dict[str, float](), dict[str, str]()
    tolerance = _allowed(_TOLERANCE, _roundings(network, reference))
    found = Verification(oracle, differences, seconds, refused, tolerance)
    for name, strategy in STRATEGIES.items():
        start = time.perf_counter()
        try:
            got = strategy(network, rows, _draws(network, range(rows.rows)), _SAMPLES)
            network.wait()
        except Exception as error:
            if name == "loop":
                raise
            refused[name] = first_line(error) if isinstance(error, McdropError) else reason(error)
            continue
        seconds[name] = time.perf_counter() - start
        differences[name] = largest_difference(reference, got)
        if name in found.agreeing() and seconds[name] < enough:
            return found
    _check_rows_apart(differences["loop"], tolerance)
    return found


def _check_rows_apart(difference: float, tolerance: float) -> None:
    if difference > tolerance:
        raise UnsupportedModelError(
            f"a row computed alone differs by {difference:.2g} from the same row in a batch: the model "
            "couples its rows (statistics over the batch, a shared capacity, a sort), so no answer could be "
            f"one row's own; or else {OTHER_ROWS}"
        )
