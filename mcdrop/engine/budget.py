"""How much memory a prediction takes, and tiles that stay below what it may take.

What a tile holds is estimated from what one pass of one row held (`mcdrop.engine.footprint`): its
activations, the masks, the outputs and what their moments need. Tiles that stay in the cache of a processor
are small, so for most models a budget changes nothing; it decides where activations or masks of a row are
large.

Alphabet: N rows of a call, R rows of a tile, S samples.
"""

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
import torch

from mcdrop.engine.footprint import Footprint
from mcdrop.engine.masks import BLOCK
from mcdrop.engine.sampling import Plan
from mcdrop.errors import DomainError, TooLittleMemoryError

__all__ = ["KEPT_BYTES", "Budget", "Load", "free_memory"]

KEPT_BYTES: Final = 2**28
"""Samples beyond this size are dropped after a prediction unless `keep_samples` says otherwise."""

_MOST_ON_CPU: Final = 2**31
_UNNOTICED: Final = 2**26
"""A tile that holds less is computed without a look at what is free."""
_FIXED: Final = 2**24
"""What drawing a piece of a mask and the calls of a pass hold, whatever the tile."""
_REDUCED: Final = 9
"""Sizes of the outputs of a tile that are held while their moments are taken: in float64, with entropies."""
_MARGIN: Final = 1.25
_CACHE_SHARE: Final = 8
_MEMORY_FILES: Final = (
    ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
    ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.usage_in_bytes"),
)


@dataclass(frozen=True)
class Load:
    """What a tile must hold beside the activations.

    Attributes:
        results: Bytes of the results of all rows so far.
        own_masks: Whether each row has masks of its own.
        blocks: Blocks whose moments are held for each row (n_samples="auto"); else 0.
    """

    results: int = 0
    own_masks: bool = False
    blocks: int = 0


@dataclass(frozen=True)
class Budget:
    """What a prediction may take beside what is there already: activations, masks and results.

    Attributes:
        given: Bytes; None for a quarter of what is free, on a processor at most 2 GiB.

    Raises:
        DomainError: If it is not a positive integer.
    """

    given: int | None = None

    def __post_init__(self) -> None:
        if self.given is not None and not _is_size(self.given):
            raise DomainError(
                f"memory_budget must be a number of bytes, such as 2**30 for 1 GiB, got {self.given!r}"
            )

    def kept_samples(self) -> int:
        """Bytes of samples that stay where the call does not say."""
        return KEPT_BYTES if self.given is None else min(KEPT_BYTES, self.given // 4)

    def fitted(self, plan: Plan, size: Footprint, load: Load) -> Plan:
        """The plan with tiles that stay below the budget: fewer rows first, then fewer samples at once.

        Args:
            plan: The plan that is fastest.
            size: What a row holds.
            load: What else there is to hold.

        Returns:
            The plan; as it is in exact mode, whose blocks have one size.

        Raises:
            TooLittleMemoryError: If a budget was given that one row x 16 samples do not fit in.
        """
        plan.network.cache.bound(None if self.given is None else self.given // _CACHE_SHARE)
        if self.given is None and _held(plan, size, load) <= _UNNOTICED:
            return plan
        limit = self._limit(plan) - load.results
        if not plan.exact:
            while _held(plan, size, load) > limit and (plan.rows > 1 or plan.blocks > 1):
                plan = _smaller(plan)
        self._check(plan, size, load, limit)
        return plan

    def _limit(self, plan: Plan) -> int:
        if self.given is None:
            share = free_memory(plan.network.device) // 4
            return share if plan.network.device.type == "cuda" else min(share, _MOST_ON_CPU)
        return self.given - plan.network.cache.limit

    def _check(self, plan: Plan, size: Footprint, load: Load, limit: int) -> None:
        needed = _held(plan, size, load)
        if self.given is not None and needed > limit:
            rows = f"{plan.rows} rows, a block of exact mode," if plan.exact else "one row"
            raise TooLittleMemoryError(
                f"memory_budget of {_mib(self.given)} is too small: {rows} x {BLOCK} samples hold about "
                f"{_mib(needed)} beside {_mib(self.given - limit)} of results and masks that are kept; give "
                "more, predict fewer rows at a time, or drop the samples with keep_samples=False"
            )


def _is_size(given: object) -> bool:
    return isinstance(given, int | np.integer) and not isinstance(given, bool) and bool(given > 0)


def free_memory(device: torch.device) -> int:
    """Bytes that are free on a device; on a processor those that this process may still take."""
    if device.type == "cuda":
        held = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return torch.cuda.mem_get_info(device)[0] + held
    return min(_available(), _left_to_the_container())


def _held(plan: Plan, size: Footprint, load: Load) -> int:
    """Bytes that a tile holds at most."""
    rows, samples = plan.rows, BLOCK * plan.blocks
    folded, looped = plan.strategy == "fold", plan.strategy == "loop"
    own = load.own_masks or folded or any(s.row_factor > 1 for s in plan.network.sites.values())
    masks = size.masks * samples * (rows if own else 1)
    at_once = 1 if looped else samples
    prefix = size.live_prefix * (samples if folded else 1)
    outputs = plan.network.outputs.row_bytes * (_REDUCED * samples + 4 * load.blocks)
    return int(_MARGIN * (masks + rows * (prefix + size.live_suffix * at_once + outputs))) + _FIXED


def _smaller(plan: Plan) -> Plan:
    if plan.rows > 1:
        return replace(plan, rows=plan.rows // 2)
    return replace(plan, blocks=plan.blocks // 2)


def _available() -> int:
    """Free memory of the machine, with what the system would give back."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable"))
    except (OSError, StopIteration, ValueError):
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _left_to_the_container() -> int:
    """What the limit of a container leaves; as good as endless where there is none."""
    for limit, usage in _MEMORY_FILES:
        try:
            return int(Path(limit).read_text()) - int(Path(usage).read_text())
        except (OSError, ValueError):  # no such file, or "max"
            continue
    return 2**62


def _mib(number: int) -> str:
    return f"{max(number, 0) / 2**20:.3g} MiB"
