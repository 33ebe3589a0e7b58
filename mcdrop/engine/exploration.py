"""Exploration: runs that tell which random calls a view makes, and which axis of each mask is the rows'.

Runs of two and of three rows tell the row axis of each mask and of each output. Runs whose draws are all at
one end of their law tell whether the list of sites is itself random (LayerDrop), and what fires on every
branch.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Final, NamedTuple

import torch
from torch import Tensor, nn

from mcdrop.engine.forcing import extreme
from mcdrop.engine.generators import generators_set, moved_generators
from mcdrop.engine.inputs import Call
from mcdrop.engine.outputs import OTHER_ROWS
from mcdrop.engine.recording import Answer, Recorder, TooManyDrawsError, natural, recorded
from mcdrop.engine.sites import Site, SiteKey
from mcdrop.engine.view import ModulePaths, state_tensors
from mcdrop.errors import UnsupportedModelError

__all__ = ["ATTEMPTS", "Explored", "Runs", "explored", "some_rows"]

ATTEMPTS: Final = 3
"""How often a generator must have moved: once may be the work of another thread."""
_FIRST_PLACE: Final = 740_358_291
"""Seed of the global generators before the first attempt; one that no model sets by itself."""


class Explored(NamedTuple):
    """What passes show.

    Attributes:
        runs: The passes.
        fixed: Whether the same sites fired in each.
        moved: Generators that were drawn from by the way.
        written_state: Names of the tensors of the model that a pass writes.
    """

    runs: "Runs"
    fixed: bool
    moved: list[str]
    written_state: frozenset[str]


def explored(view: nn.Module, paths: ModulePaths, call: Call) -> Explored:
    """What passes of a view show, whose owners of random calls are in train mode."""
    before = {name: tensor.clone() for name, tensor in state_tensors(view).items()}
    for attempt in range(ATTEMPTS):
        generators_set(_FIRST_PLACE + attempt)
        with moved_generators() as moved:
            runs = Runs(view, paths, call)
            fixed = runs.explore()
        if not moved:
            break
    return Explored(runs, fixed, moved, frozenset(_changed(before, state_tensors(view))))


def some_rows(call: Call, rows: int) -> Call:
    """A call of so many rows, all its own: it may be written to.

    The third repeats the first, so that lengths which follow the data stay as they are with two.
    """
    return call.take(torch.arange(rows, device="cpu") % min(call.rows, 2)).copied()


class Runs:
    """Passes of two and of three rows, with different draws."""

    def __init__(self, view: nn.Module, paths: ModulePaths, call: Call) -> None:
        self._view, self._paths, self._call = view, paths, call
        self.written_inputs: set[int] = set()
        self._pairs: list[tuple[Recorder, Recorder]] = []
        self.outputs: tuple[Any, Any] = (None, None)

    def explore(self) -> bool:
        """Run until every branch was seen; whether the same sites fired each time."""
        two, output_of_two = self._run(2, natural)
        three, output_of_three = self._run(3, natural)
        self.outputs = (output_of_two, output_of_three)
        self._pairs.append((two, three))
        branches = [answer for answer in _ends(two, three) if self._branches_off(answer, two)]
        self._pairs += [(self._run(2, answer)[0], self._run(3, answer)[0]) for answer in branches]
        return not branches and two.fired == three.fired

    @property
    def fired(self) -> set[SiteKey]:
        """The sites of the first pass."""
        return {site.key for site in self._pairs[0][0].sites}

    def sites(self) -> tuple[Site, ...]:
        """The sites of all passes, with their row axes."""
        found: dict[SiteKey, Site] = {}
        for two, three in self._pairs:
            for site in _with_row_axes(two.sites, three.sites):
                found.setdefault(site.key, site)
        return tuple(found.values())

    def _run(self, rows: int, answer: Answer) -> tuple[Recorder, Any]:
        call = some_rows(self._call, rows)
        versions = _versions(call)
        result = recorded(self._view, self._paths, call, answer)
        pairs = enumerate(zip(versions, _versions(call), strict=True))
        self.written_inputs |= {leaf for leaf, (before, after) in pairs if before != after}
        return result

    def _branches_off(self, answer: Answer, usual: Recorder) -> bool:
        try:
            return self._run(2, answer)[0].fired != usual.fired
        except TooManyDrawsError:  # a loop that waits for a draw that never comes
            return False
        except UnsupportedModelError:
            raise
        except Exception:  # noqa: BLE001 - draws so extreme may break a network that never meets them
            return False


def _ends(two: Recorder, three: Recorder) -> list[Answer]:
    """Draws at either end of their laws, if there is a draw without rows: decisions may hang on it."""
    fixed_shapes = [a for a, b in zip(two.sites, three.sites, strict=False) if a.shape == b.shape]
    return [partial(_at_one_end, high=high) for high in (False, True)] if fixed_shapes else []


def _at_one_end(site: Site, *, high: bool) -> Tensor:
    return extreme(site.law, site.shape, high=high)


def _versions(call: Call) -> list[int]:
    return [leaf._version if isinstance(leaf, Tensor) else 0 for leaf in call.leaves]  # noqa: SLF001


def _changed(before: dict[str, Tensor], after: dict[str, Tensor]) -> Iterator[str]:
    for name, old in before.items():
        if name in after and not torch.equal(_dense(old), _dense(after[name])):
            yield name


def _dense(tensor: Tensor) -> Tensor:
    return tensor if tensor.layout is torch.strided else tensor.to_dense()


def _with_row_axes(two: Sequence[Site], three: Sequence[Site]) -> Iterator[Site]:
    large = {(site.key, site.kind): site.shape for site in three}
    for site in two:
        axis, factor = _row_axis(site, large.get((site.key, site.kind), ()))
        yield replace(site, row_axis=axis, row_factor=factor)


def _row_axis(site: Site, shape_of_three: tuple[int, ...]) -> tuple[int | None, int]:
    """The axis of a mask that runs over the rows, and how many of its entries belong to each."""
    if site.shape == shape_of_three:
        return None, 1
    pairs = list(zip(site.shape, shape_of_three, strict=False))
    moved = [axis for axis, (two, three) in enumerate(pairs) if two != three]
    two, three = pairs[moved[0]] if len(moved) == 1 else (0, 0)
    factor = three - two
    if len(site.shape) != len(shape_of_three) or factor <= 0 or two != 2 * factor:
        raise UnsupportedModelError(
            f"the mask of {site.name} ({site.kind}) has shape {site.shape} for two rows and {shape_of_three} "
            "for three, so no single axis of it runs over the rows: rows are coupled, or the data decide how "
            "large it is (as where experts are chosen), and no answer could be one row's own; or else "
            f"{OTHER_ROWS}"
        )
    return moved[0], factor
