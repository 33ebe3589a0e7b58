"""Tracing: which random calls a model makes, who makes them, and which axis of each mask is the rows'.

Runs of two and of three rows tell the row axis of each mask and of each output. Runs whose draws are all at
one end of their law tell whether the list of sites is itself random (LayerDrop), and what fires on every
branch.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final, NamedTuple

import torch
from torch import Tensor, nn

from mcdrop.engine.failures import first_line
from mcdrop.engine.forcing import extreme
from mcdrop.engine.generators import OUTSIDE, generators_restored, generators_set, moved_generators
from mcdrop.engine.guard import Guard
from mcdrop.engine.hidden import (
    drawing,
    functions_holding,
    refuse_closures,
    refuse_shared_masks,
    refuse_unseen_draws,
    unseen,
)
from mcdrop.engine.inputs import Call, device_of
from mcdrop.engine.outputs import OTHER_ROWS, Outputs, output_layout
from mcdrop.engine.ownership import OwnerSearch, trainable
from mcdrop.engine.recording import Answer, Recorder, TooManyDrawsError, natural, recorded
from mcdrop.engine.sites import Site, SiteKey
from mcdrop.engine.view import (
    ModulePaths,
    called_originals,
    private_view,
    set_train_mode,
    state_tensors,
    watch_paths,
)
from mcdrop.errors import McdropError, UnsupportedModelError

__all__ = ["Trace", "trace"]

_FIRST_PLACE: Final = 740_358_291
"""Seed of the global generators before the first attempt; one that no model sets by itself."""
_CPU: Final = torch.device("cpu")
_ATTEMPTS: Final = 3
"""How often a generator must have moved: once may be the work of another thread."""


@dataclass(frozen=True)
class Trace:
    """What one model does for one input signature.

    Attributes:
        sites: In the order in which they fire.
        owners: Paths of the modules that must be in train mode.
        outputs: Layout of what it returns.
        fixed: Whether the same sites fire whatever is drawn.
        written_state: Names of buffers and other tensors of the model that a pass writes.
        written_inputs: Which leaves of the call a pass writes.
        silent: Calls of dropout that are off though every module is in train mode.
        lost: Sites that draw in train mode, in which the model returns something else, and so are off.
        left_off: Who would draw from NumPy or Python in train mode, and is in eval mode: augmentation mostly.
        differentiates: Whether forward computes gradients.
        device: Where it runs.
    """

    sites: tuple[Site, ...]
    owners: frozenset[str]
    outputs: Outputs
    fixed: bool
    written_state: frozenset[str]
    written_inputs: frozenset[int]
    silent: tuple[str, ...] = ()
    lost: tuple[str, ...] = ()
    left_off: tuple[str, ...] = ()
    differentiates: bool = False
    device: torch.device = _CPU


def trace(model: nn.Module, call: Call) -> Trace:
    """Find the sites of `model` for inputs like `call`.

    Raises:
        UnsupportedModelError: If rows are coupled, something draws that cannot be seen, or the model takes no
            other number of rows than that of `call`.
    """
    view = private_view(model, clone=state_tensors(model))
    try:
        with generators_restored(), torch.no_grad():
            return _traced(model, view, call)
    except McdropError:
        raise
    except Exception as error:
        if _takes(model, *(_rows(call, rows) for rows in (2, 3))):
            raise
        if _takes(model, call):
            raise UnsupportedModelError(
                f"the model runs on {call.rows} rows and fails on two or three: {first_line(error)}. Rows "
                "are sampled in batches of any size, so forward must take them (an exported program needs a "
                f"dynamic batch dimension); or else {OTHER_ROWS}"
            ) from error
        error.add_note(_failed_by_itself(model, call))
        raise


def _takes(model: nn.Module, *calls: Call) -> bool:
    """Whether a model runs on these rows as they are."""
    view = private_view(model, clone=state_tensors(model))
    with generators_restored(), torch.no_grad():
        for call in calls:
            args, kwargs = call.copied().arguments()
            try:
                view(*args, **kwargs)
            except Exception:  # noqa: BLE001 - any failure is an answer
                return False
    return True


def _failed_by_itself(model: nn.Module, call: Call) -> str:
    """What the user should know of an error that the model raises with or without us."""
    came = ", ".join(
        f"{_short(leaf)} {tuple(leaf.shape)}" for leaf in call.leaves if isinstance(leaf, Tensor)
    )
    own = dict.fromkeys(_short(each) for each in model.parameters())
    return (
        f"This is the model's own error, on two of the rows that it was given: inputs came as {came}; "
        f"its parameters are {', '.join(own) or 'none'}. Arrays of floats are cast to them, tensors are not."
    )


def _short(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")


def _traced(model: nn.Module, view: nn.Module, call: Call) -> Trace:
    paths = watch_paths(view)
    guard = Guard(model, paths.innermost)
    with guard, called_originals(model) as originals:
        search, outside = _search(view, paths, call, guard)
        owners = search.first()
        explored = _explored(view, paths, call)
        wider = search.wider(owners, explored.runs.fired)
        if wider != owners:
            owners, explored = wider, _explored(view, paths, call)
    refuse_closures(originals, functions_holding(model), search.silent)
    refuse_unseen_draws(guard.unseen, explored.moved, view, paths, _rows(call, 2))
    left_off = _left_off(view, paths, call, outside, alone=not explored.runs.fired)
    sites = explored.runs.sites()
    refuse_shared_masks(sites)
    lost = search.lost(owners, {site.key for site in sites})
    return Trace(
        sites,
        owners,
        output_layout(*explored.runs.outputs, whole=call.whole),
        explored.fixed,
        explored.written_state,
        frozenset(explored.runs.written_inputs),
        tuple(search.silent),
        tuple(lost),
        left_off,
        guard.differentiates,
        device_of(model, call.leaves),
    )


def _search(
    view: nn.Module, paths: ModulePaths, call: Call, guard: Guard
) -> tuple[OwnerSearch, Sequence[str]]:
    """The search, unless draws of train mode are made where no mode sees them, such as in another thread.

    Returns:
        It, and the generators outside of torch that were drawn from.
    """
    for _ in range(_ATTEMPTS):
        with moved_generators() as moved:
            search = OwnerSearch(view, paths, _rows(call, 2))
        outside = [name for name in moved if name in OUTSIDE]
        of_torch = [name for name in moved if name not in OUTSIDE]
        if not of_torch:
            return search, outside
    refuse_unseen_draws(guard.unseen, of_torch, view, paths, _rows(call, 2))
    return search, outside


def _left_off(
    view: nn.Module, paths: ModulePaths, call: Call, generators: Sequence[str], *, alone: bool
) -> tuple[str, ...]:
    """Who draws in train mode from generators that are out of sight.

    Args:
        view: Is put in train mode.
        paths: Its running modules.
        call: The rows.
        generators: That were drawn from.
        alone: Whether nothing else is random.

    Raises:
        UnsupportedModelError: If that is all that is random.
    """
    if not generators:
        return ()
    set_train_mode(view, trainable(view))
    try:
        drawers = drawing(view, paths, _rows(call, 2), generators)
    except Exception:  # noqa: BLE001 - a branch of training alone may fail
        drawers = []
    if alone and drawers:
        raise unseen(drawers)
    return tuple(drawers)


class _Explored(NamedTuple):
    """What runs with the owners in train mode show."""

    runs: "_Runs"
    fixed: bool
    moved: list[str]
    written_state: frozenset[str]


def _explored(view: nn.Module, paths: ModulePaths, call: Call) -> _Explored:
    before = {name: tensor.clone() for name, tensor in state_tensors(view).items()}
    for attempt in range(_ATTEMPTS):
        generators_set(_FIRST_PLACE + attempt)
        with moved_generators() as moved:
            runs = _Runs(view, paths, call)
            fixed = runs.explore()
        if not moved:
            break
    return _Explored(runs, fixed, moved, frozenset(_changed(before, state_tensors(view))))


def _rows(call: Call, rows: int) -> Call:
    """A call of so many rows, all its own: it may be written to.

    The third repeats the first, so that lengths which follow the data stay as they are with two.
    """
    return call.take(torch.arange(rows, device="cpu") % min(call.rows, 2)).copied()


class _Runs:
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
        call = _rows(self._call, rows)
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


# --- which axis runs over the rows -----------------------------------------------------------------


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
