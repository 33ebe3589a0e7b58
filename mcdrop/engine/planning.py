"""Planning: how a model is sampled, found out once for each input signature."""

import threading
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, NamedTuple

import torch
from torch import Tensor, nn

from mcdrop.engine.exact import CANDIDATES, confirmed_rows
from mcdrop.engine.failures import reason
from mcdrop.engine.fallback import Fallback
from mcdrop.engine.footprint import Footprint, footprint, keep_freed_memory
from mcdrop.engine.hidden import nothing_random, single_row
from mcdrop.engine.inputs import Call
from mcdrop.engine.maskcache import MASK_BYTES, MaskCaches
from mcdrop.engine.masks import BLOCK
from mcdrop.engine.network import Network, network_of
from mcdrop.engine.pace import FEW_ROWS, MOST_ROWS, SMALL, fastest, tile_size
from mcdrop.engine.parts import are_same, parts_of
from mcdrop.engine.sampling import Plan, block_outputs
from mcdrop.engine.strategies import STRATEGIES
from mcdrop.engine.tracing import trace
from mcdrop.engine.verification import FREE, Verification, verify

__all__ = ["Planned", "Planner"]

_MOST_PLANS: Final = 256


@dataclass(frozen=True, repr=False)
class Planned:
    """What is known of one input signature.

    Attributes:
        network: The replayable model.
        example: Some rows of the call that it was made for.
        strategy: The first that agreed with the per-row loop; exact mode uses it.
        fast_strategy: The one of those that agreed that took the least time on the example.
        single_strategy: The same for very few rows, where what a call costs counts for more.
        verification: What was compared, and how far apart it was; None with `verify=False`.
        footprint: Bytes that a row writes.
        fallback: The strategies in their order, and why one of them is not used any more.
    """

    network: Network
    example: Call
    strategy: str
    fast_strategy: str
    single_strategy: str
    verification: Verification | None
    footprint: Footprint
    fallback: Fallback = field(default_factory=Fallback)

    def __repr__(self) -> str:
        """Sites, strategies, the largest tile, and what was verified with what difference; a line each."""
        sites = ", ".join(map(str, self.network.sites))
        tile = self.fast(max(MOST_ROWS.values()))
        return "\n".join(
            (
                f"sites ({len(self.network.sites)}): {sites}",
                f"strategy: {self.fast_strategy}; few rows {self.single_strategy}; exact {self.strategy}",
                f"tile: at most {tile.rows} rows x {tile.blocks * BLOCK} samples",
                f"verified: {self.verification or 'nothing, as verify=False wanted'}",
                *(f"{name} is not used: {why}" for name, why in self._unused().items()),
            )
        )

    def _unused(self) -> dict[str, str]:
        """Why a strategy is not used, by name."""
        refused = {} if self.verification is None else self.verification.refused
        return {**refused, **self.fallback.failed}

    def fast(self, rows: int) -> Plan:
        """The plan for samples of `rows` rows that agree to rounding."""
        strategy = self.fallback.usable(self.single_strategy if rows <= FEW_ROWS else self.fast_strategy)
        tile, blocks = tile_size(self.footprint, rows, strategy, self.network.device)
        return Plan(self.network, strategy, tile, blocks, fallback=self.fallback)

    def exact(self, most: int, strategy: str | None) -> Plan:
        """The plan for samples that agree to the last bit, as the position probe confirms it."""
        plan = Plan(self.network, strategy or self._exact_strategy(), 1, exact=True)
        return replace(plan, rows=confirmed_rows(plan, self.example, most=most))

    def _exact_strategy(self) -> str:
        """The first that agrees and runs a block of one row, whatever it takes."""
        row = self.example.take(slice(0, 1))
        for name in dict.fromkeys((self.strategy, *self.fallback.order)):
            try:
                block_outputs(Plan(self.network, name, 1, exact=True), row, [[FREE]], "philox-1")
            except torch.OutOfMemoryError:
                return name
            except Exception as error:  # noqa: BLE001 - the next one may do without what is missing
                self.fallback.failed[name] = reason(error)
            else:
                return name
        return self.strategy


class _MadeOf(NamedTuple):
    """Arguments of `Planner`."""

    model: nn.Module
    verify: bool
    exact_rows: int
    exact_strategy: str | None
    mask_cache: int
    check: Callable[[Network, Call], None] | None


class Planner:
    """Makes plans when they are first needed; safe to share between threads.

    Args:
        model: The user's.
        verify: Whether a plan is checked on the user's own input before it is used.
        exact_rows: The largest R to try.
        exact_strategy: Of exact mode; None for that of the plan.
        mask_cache: Bytes of masks that are kept for seeds that come again, whatever the signature.
        check: Refuses a network, given some rows, for what only the task can tell.

    Raises:
        DomainError: If `mask_cache` is no number of bytes.
    """

    def __init__(
        self,
        model: nn.Module,
        *,
        verify: bool = True,
        exact_rows: int = CANDIDATES[0],
        exact_strategy: str | None = None,
        mask_cache: int = MASK_BYTES,
        check: Callable[[Network, Call], None] | None = None,
    ) -> None:
        self._made_of = _MadeOf(model, verify, exact_rows, exact_strategy, mask_cache, check)
        self._caches = MaskCaches(mask_cache)
        self._lock = threading.RLock()
        self._planned: dict[Any, Planned] = {}
        self._exact: dict[Any, Plan] = {}
        self._seen: list[Any] = []
        self.latest: Planned | None = None

    def __getstate__(self) -> "_MadeOf":
        """What it was made of: a copy, or another process, finds its plans and draws its masks anew."""
        return self._made_of

    def __setstate__(self, made_of: "_MadeOf") -> None:
        """Make it of that."""
        Planner.__init__(self, **made_of._asdict())

    def planned(self, call: Call) -> Planned:
        """What is known of inputs like `call`."""
        with self._lock:
            self._forget_if_changed()
            if call.signature not in self._planned:
                _make_room(self._planned)
                self._planned[call.signature] = self._make(call)
            self.latest = self._planned[call.signature]
            return self.latest

    def exact(self, call: Call) -> Plan:
        """The plan of exact mode for inputs like `call`."""
        with self._lock:
            planned = self.planned(call)
            if call.signature not in self._exact:
                _make_room(self._exact)
                rows, strategy = self._made_of.exact_rows, self._made_of.exact_strategy
                self._exact[call.signature] = planned.exact(rows, strategy)
            return self._exact[call.signature]

    @torch.inference_mode(mode=False)  # of the caller's: it hides writes to tensors, and draws
    def _make(self, call: Call) -> Planned:
        network = self._network(call)
        keep_freed_memory()
        example = call.take(torch.arange(min(call.rows, CANDIDATES[0]), device="cpu"))
        if self._made_of.check is not None:
            self._made_of.check(network, example)
        with single_row():
            size, outputs = footprint(network, example.take(slice(0, 1)), FREE)
        verification = self._verification(network, example, size, outputs) if self._made_of.verify else None
        strategy = verification.strategy if verification else _first_strategy(network)
        fallback = Fallback((*(verification.agreeing() if verification else [strategy]), "loop"))
        many, one = (
            fastest(network, _repeated(example, rows), verification, size, fallback)
            for rows in (max(example.rows, FEW_ROWS + 1), 1)
        )
        return Planned(
            network, example, strategy, many or strategy, one or strategy, verification, size, fallback
        )

    def _network(self, call: Call) -> Network:
        model = self._made_of.model
        traced = trace(model, call)
        if not traced.sites:
            raise nothing_random(model, traced.silent)
        _tell_of(traced.left_off, _LEFT_OFF)
        _tell_of(traced.lost, _LOST)
        return network_of(model, traced, self._caches.on(traced.device))

    def _verification(
        self, network: Network, example: Call, size: Footprint, outputs: Sequence[Tensor]
    ) -> Verification:
        """That of inputs which differ in their lengths alone and fire the same sites does as well."""
        for planned in self._planned.values():
            same = planned.example.kind == example.kind and list(planned.network.sites) == list(network.sites)
            if same and planned.verification is not None:
                return planned.verification
        return verify(network, example, thorough=size.suffix <= SMALL, once=outputs)

    def _forget_if_changed(self) -> None:
        """A model whose parts were exchanged is traced again."""
        parts = parts_of(self._made_of.model)
        if not are_same(parts, self._seen):
            self._planned.clear()
            self._exact.clear()
            self._caches.clear()
        self._seen = parts


def _make_room(kept: dict[Any, Any]) -> None:
    """Forget the oldest plan if there are many: lengths that vary make a signature each."""
    if len(kept) >= _MOST_PLANS:
        del kept[next(iter(kept))]


def _repeated(example: Call, rows: int) -> Call:
    return example.take(torch.arange(rows, device="cpu") % example.rows)


def _tell_of(who: Sequence[str], what: str) -> None:
    if who:
        warnings.warn(f"{', '.join(who[:3])} {what}", stacklevel=2)


_LEFT_OFF: Final = (
    "in train mode, which cannot be replayed, and is left off: right for augmentation of the data; dropout "
    "that is written so must draw with torch.rand to be sampled"
)
_LOST: Final = (
    "draws where another module is in train mode, in which the model returns something else than in eval "
    "mode, and is left off: right for heads that belong to training; other dropout must be called in eval "
    "mode too (nn.Dropout does nothing there by itself)"
)


def _first_strategy(network: Network) -> str:
    return next(iter(STRATEGIES)) if network.fixed else "loop"
