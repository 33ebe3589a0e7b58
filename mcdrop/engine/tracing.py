"""Tracing: which random calls a model makes, who makes them, and what keeps it from being sampled."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor, nn

from mcdrop.engine.exploration import ATTEMPTS, explored, some_rows
from mcdrop.engine.failures import first_line
from mcdrop.engine.generators import OUTSIDE, generators_restored, moved_generators
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
from mcdrop.engine.sites import Site
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

_CPU: Final = torch.device("cpu")


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
        if _takes(model, *(some_rows(call, rows) for rows in (2, 3))):
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
        found = explored(view, paths, call)
        wider = search.wider(owners, found.runs.fired)
        if wider != owners:
            owners, found = wider, explored(view, paths, call)
    refuse_closures(originals, functions_holding(model), search.silent)
    refuse_unseen_draws(guard.unseen, found.moved, view, paths, some_rows(call, 2))
    left_off = _left_off(view, paths, call, outside, alone=not found.runs.fired)
    sites = found.runs.sites()
    refuse_shared_masks(sites)
    lost = search.lost(owners, {site.key for site in sites})
    return Trace(
        sites,
        owners,
        output_layout(*found.runs.outputs, whole=call.whole),
        found.fixed,
        found.written_state,
        frozenset(found.runs.written_inputs),
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
    for _ in range(ATTEMPTS):
        with moved_generators() as moved:
            search = OwnerSearch(view, paths, some_rows(call, 2))
        outside = [name for name in moved if name in OUTSIDE]
        of_torch = [name for name in moved if name not in OUTSIDE]
        if not of_torch:
            return search, outside
    refuse_unseen_draws(guard.unseen, of_torch, view, paths, some_rows(call, 2))
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
        drawers = drawing(view, paths, some_rows(call, 2), generators)
    except Exception:  # noqa: BLE001 - a branch of training alone may fail
        drawers = []
    if alone and drawers:
        raise unseen(drawers)
    return tuple(drawers)
