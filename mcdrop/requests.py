"""One call of `predict`: what it asks for, and how its batches become one predictive."""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import count, islice
from typing import Final

from mcdrop.engine.budget import Budget, Load
from mcdrop.engine.inputs import Call
from mcdrop.engine.masks import BLOCK
from mcdrop.engine.planning import Planner
from mcdrop.engine.sampling import Draw, Plan
from mcdrop.errors import InputError, OptionError, ShapeError
from mcdrop.prediction import Wanted, predict_call
from mcdrop.predictive import Predictive, Sampled, Task
from mcdrop.predictive.predictive import check_alike
from mcdrop.progress import Progress
from mcdrop.settings import SampleCount, Settings
from mcdrop.stopping import predict_until

__all__ = ["Request", "predict_batches"]

_RESULTS: Final = 8
"""Tensors of the size of the mean that a result holds at most, those of 8 bytes counted twice."""


@dataclass(frozen=True)
class Request:
    """What one call of `predict` asks for.

    Attributes:
        task: What the outputs mean.
        levels: Quantile levels.
        count: How many samples.
        seed: None for that of the settings.
        exact: Whether blocks of a fixed shape are computed.
        row_ids: (N,) of all batches together; None for 0 to N - 1.
        keep_samples: None for as many as are kept by default.
        budget: What it may take.

    Raises:
        OptionError: If samples are to be kept of rows that take different numbers of them.
    """

    task: Task
    levels: tuple[float, ...]
    count: SampleCount
    seed: int | None
    exact: bool
    row_ids: list[int] | None
    keep_samples: bool | None
    budget: Budget

    def __post_init__(self) -> None:
        if self.keep_samples and self.count.tolerance is not None:
            raise OptionError(
                "keep_samples=True needs a number of samples: under n_samples='auto' rows take different "
                "numbers of them; name the quantiles that are wanted, or pass n_samples=128"
            )


def predict_batches(
    planner: Planner, settings: Settings, request: Request, calls: Iterable[Call], progress: Progress
) -> Predictive:
    """The predictive of the rows of all batches.

    Args:
        planner: Knows how the model is sampled.
        settings: What holds unless the request says otherwise.
        request: What is asked for.
        calls: The batches.
        progress: Counts the passes.

    Raises:
        InputError: If there are no batches.
        ShapeError: If there is not one id for each row, or rows of two batches are of different shapes.
    """
    parts: list[Predictive] = []
    ids = iter(count() if request.row_ids is None else request.row_ids)
    given = settings.masks == "independent" or request.row_ids is not None
    rows = 0
    for call in calls:
        own = list(islice(ids, call.rows)) if given else None
        draw = settings.draw(call.rows, request.count, request.seed, own)
        rows += call.rows
        planned = planner.planned(call)
        plan = planner.exact(call) if request.exact else planned.fast(call.rows)
        keep = _keeps(request, plan, draw, rows)
        plan = request.budget.fitted(plan, planned.footprint, _load(request, plan, draw, rows, keep=keep))
        wanted = _wanted(settings, request, draw, keep=keep)
        predict = predict_call if request.count.tolerance is None else predict_until
        parts.append(predict(plan, call, draw, wanted, progress))
        check_alike((parts[0], parts[-1]))
    if not parts:
        raise InputError("the loader gave no batches")
    if request.row_ids is not None and len(request.row_ids) != rows:
        raise ShapeError(f"row_ids must have one id for each of the {rows} rows, got {len(request.row_ids)}")
    return type(parts[0]).concatenate(parts)


def _wanted(settings: Settings, request: Request, draw: Draw, *, keep: bool) -> Wanted:
    sampled = Sampled(
        draw.n_samples, draw.seed, settings.masks, settings.rng, request.exact, request.count.tolerance
    )
    return Wanted(request.task, request.levels, keep, sampled)


def _keeps(request: Request, plan: Plan, draw: Draw, rows: int) -> bool:
    """Whether the samples stay; where the call does not say, if those of all rows so far are few enough."""
    if request.keep_samples is not None or request.count.tolerance is not None:
        return bool(request.keep_samples)
    return plan.network.outputs.row_bytes * rows * draw.n_samples <= request.budget.kept_samples()


def _load(request: Request, plan: Plan, draw: Draw, rows: int, *, keep: bool) -> Load:
    """What is held beside the activations, with `rows` rows so far."""
    numbers = _RESULTS + len(request.levels) + (draw.n_samples if keep else 0)
    samples_of_tile = plan.rows * draw.n_samples if request.levels and not keep else 0
    blocks = 0 if request.count.tolerance is None else -(-draw.n_samples // BLOCK)
    own = draw.row_ids is not None
    return Load(
        plan.network.outputs.row_bytes * (numbers * rows + samples_of_tile), own_masks=own, blocks=blocks
    )
