"""Planning: how a model is sampled, found out once for each input signature."""

import math
import operator
import threading
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from types import BuiltinFunctionType, FunctionType, MethodType
from typing import Any, Final, NamedTuple

import torch
from torch import Tensor, nn

from mcdrop.engine.exact import CANDIDATES, confirmed_rows
from mcdrop.engine.failures import reason
from mcdrop.engine.fallback import Fallback
from mcdrop.engine.footprint import Footprint, footprint, keep_freed_memory
from mcdrop.engine.hidden import single_row
from mcdrop.engine.inputs import Call
from mcdrop.engine.maskcache import MASK_BYTES, MaskCaches
from mcdrop.engine.masks import BLOCK, BlockKey
from mcdrop.engine.network import Network, network_of
from mcdrop.engine.sampling import Plan, block_outputs
from mcdrop.engine.strategies import STRATEGIES
from mcdrop.engine.tracing import trace
from mcdrop.engine.verification import FREE, Verification, verify
from mcdrop.errors import NothingRandomError

__all__ = ["Planned", "Planner"]

_TILE_BYTES: Final = {"cpu": 2**23, "cuda": 2**28}
"""Size of the largest tensor after the first site, over a tile: on a CPU what stays in its cache."""
_PREFIX_BYTES: Final = {"cpu": 2**26, "cuda": 2**30}
"""The same before it."""
_LEAST_ROWS: Final = 2
_MOST_CELLS: Final = 2**16 - 1
"""Rows x samples: attention on CUDA starts a block of threads for each, and no more along an axis."""
_MOST_ROWS: Final = {"cpu": 64, "cuda": _MOST_CELLS // BLOCK}
_MOST_BLOCKS: Final = 8
_MOST_PLANS: Final = 256
_FEW_ROWS: Final = 3
_SMALL: Final = 2**16
"""Bytes of the largest tensor of one row and sample up to which a strategy is timed on whole blocks. Beyond,
that would take longer than all else that is done before the first answer, and the times of the verification
do."""
_CLEARLY: Final = 0.75
"""Of the time of the first that agrees: what another must take on two samples to be used in its place."""
_TIMINGS: Final = 5
_HOLDERS: Final = ("_parameters", "_buffers", "_forward_pre_hooks", "_forward_hooks")
_VALUES: Final = frozenset({bool, float, int, str, type(None)})
_LOOKED_AT: Final = _VALUES | {Tensor, FunctionType, BuiltinFunctionType, MethodType}


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
        tile = self.fast(max(_MOST_ROWS.values()))
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
        strategy = self.fallback.usable(self.single_strategy if rows <= _FEW_ROWS else self.fast_strategy)
        tile, blocks = _tile(self.footprint, rows, strategy, self.network.device)
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
            _fastest(network, _repeated(example, rows), verification, size, fallback)
            for rows in (max(example.rows, _FEW_ROWS + 1), 1)
        )
        return Planned(
            network, example, strategy, many or strategy, one or strategy, verification, size, fallback
        )

    def _network(self, call: Call) -> Network:
        model = self._made_of.model
        traced = trace(model, call)
        if not traced.sites:
            raise NothingRandomError(_why_nothing_is_random(model, traced.silent))
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
        return verify(network, example, thorough=size.suffix <= _SMALL, once=outputs)

    def _forget_if_changed(self) -> None:
        """A model whose parts were exchanged is traced again."""
        parts = _parts(self._made_of.model)
        same = len(parts) == len(self._seen) and (
            all(map(operator.is_, parts, self._seen)) or all(map(_is_same, parts, self._seen))
        )
        if not same:
            self._planned.clear()
            self._exact.clear()
            self._caches.clear()
        self._seen = parts


def _tile(size: Footprint, rows: int, strategy: str, device: torch.device) -> tuple[int, int]:
    """Rows and blocks of a tile: as many rows as stay in the cache, then blocks if all rows do."""
    kind = "cuda" if device.type == "cuda" else "cpu"
    block_bytes = size.suffix * (1 if strategy == "loop" else BLOCK)  # what is in memory at once
    cells = max(_TILE_BYTES[kind] // block_bytes, 1)
    most = min(_MOST_ROWS[kind], max(_PREFIX_BYTES[kind] // size.prefix, 1))
    tile = min(rows, max(cells, _LEAST_ROWS), most)
    # a few rows make small products, which gain from being joined as long as they stay in the cache
    room = _TILE_BYTES[kind] if tile <= _FEW_ROWS else _TILE_BYTES[kind] // 4
    return tile, min(max(room // (block_bytes * tile), 1), _MOST_CELLS // (BLOCK * tile), _MOST_BLOCKS)


def _fastest(
    network: Network, rows: Call, verification: Verification | None, size: Footprint, fallback: Fallback
) -> str | None:
    """Of the strategies that agree, the fastest for so many rows; None if it is not known which agree.

    One that fails on rows on which another runs is noted in `fallback`.
    """
    if verification is None:
        return None
    agreeing = verification.agreeing()
    if size.suffix > _SMALL or verification.strategy == "loop":
        seconds = verification.seconds
        first = verification.strategy
        return min(agreeing, key=lambda name: seconds[name] * (_CLEARLY if name == first else 1))
    trial = Fallback()
    tiles = [_tile(size, rows.rows, name, network.device)[0] for name in agreeing]
    plans = [Plan(network, name, tile, fallback=trial) for name, tile in zip(agreeing, tiles, strict=True)]
    turns = [[_seconds_per_row(plan, rows) for plan in plans] for _ in range(_TIMINGS)]
    # in turns, and the least of each: what else the machine does only ever adds
    timed = zip(map(min, zip(*turns, strict=True)), agreeing, strict=True)
    least, name = min(timed, key=operator.itemgetter(0))
    if least < math.inf:
        fallback.failed.update(trial.failed)
    return name


def _seconds_per_row(plan: Plan, rows: Call) -> float:
    """Of one block; infinite if it fails, whose reason is noted."""
    if plan.strategy in plan.fallback.failed:
        return math.inf
    part = rows.take(slice(0, plan.rows))
    start = time.perf_counter()
    try:
        block_outputs(plan, part, [[BlockKey(0, 0, 0)]], "philox-1")
    except torch.OutOfMemoryError:  # smaller tiles will do; how fast, is not known
        return math.inf
    except Exception as error:  # noqa: BLE001 - such as room for fewer rows than there are copies
        plan.fallback.failed[plan.strategy] = reason(error)
        return math.inf
    plan.network.wait()
    return (time.perf_counter() - start) / part.rows


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


def _parts(model: nn.Module) -> list[Any]:
    """Modules, their tensors, functions and hooks, and the numbers and names they hold: every call looks.

    Other objects that they hold, such as a list or a configuration, are not looked into.
    """
    modules, seen = [model], {id(model)}
    parts: list[Any] = []
    for module in modules:  # which grows meanwhile
        held = vars(module)
        parts.append(module)
        parts += [v for name, v in held.items() if type(v) in _LOOKED_AT and name != "training"]
        for name in _HOLDERS:
            inside = held.get(name)
            if inside:
                parts += inside.values()
        inner = held.get("_modules")
        if inner:  # most modules are leaves
            children = [child for child in inner.values() if child is not None and id(child) not in seen]
            modules += children
            seen.update(map(id, children))
    return parts


def _is_same(one: Any, other: Any) -> bool:
    return one is other or (type(one) is type(other) and type(one) in _VALUES and one == other)


def _why_nothing_is_random(model: nn.Module, switched_off: Sequence[str]) -> str:
    silent = [path or "(model)" for path, module in model.named_modules() if _is_silent_dropout(module)]
    looked = (
        "every pass would be the same: one forward pass made no random call. Looked for: dropout of every "
        "kind (modules and functions), dropout in attention and in recurrent layers, stochastic depth, and "
        "draws such as torch.rand and bernoulli_; a generator of NumPy's that the model holds is out of sight"
    )
    if silent:
        listed = ", ".join(silent[:5]) + (", ..." if len(silent) > 5 else "")
        return f"{looked}. There is dropout of rate 0: {listed}. Set the rate used in training, above 0"
    if switched_off:
        return (
            f"{looked}. There is dropout that is off even in train mode: {', '.join(switched_off[:5])}. A "
            "program that was exported or traced in eval mode keeps it off for ever: do so in train mode; a "
            "forward that reads a flag of its own should read self.training"
        )
    if any(type(module).__module__.startswith("torch.ao.nn.quantized") for module in model.modules()):
        return f"{looked}. Quantised layers of dropout pass on what they get: sample the model before"
    return (
        f"{looked}; if the model has dropout, see that forward reaches it; if it has none, train it with "
        "some, or put some in now with mcdrop.inject(model, p=0.1)"
    )


def _is_silent_dropout(module: nn.Module) -> bool:
    rates = [getattr(module, name, None) for name in ("p", "dropout", "dropout_p", "drop_prob")]
    return any(
        isinstance(rate, float | int) and not isinstance(rate, bool) and rate == 0 for rate in rates
    ) and ("drop" in type(module).__name__.lower() or isinstance(module, nn.RNNBase | nn.MultiheadAttention))
