"""`tune_rates`: the face of tuning."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from mcdrop.batches import Take
from mcdrop.errors import DomainError, InputError, OptionError
from mcdrop.mcdropout import MCDropout
from mcdrop.progress import Tell, following
from mcdrop.rates import with_rates
from mcdrop.tuning.choice import TunedRates, chosen_among
from mcdrop.tuning.held_out import Outcomes, held_out
from mcdrop.tuning.search import SEARCHES, Tried, most_steps, search_groups
from mcdrop.tuning.trial import Trial, members

__all__ = ["GRID", "tune_rates"]

GRID: Final = (0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5)
"""Rates that are tried unless the call says otherwise."""

_SCORES: Final = {
    "nll": ("classification", "binary", "multilabel", "regression", "heteroscedastic"),
    "crps": ("regression", "heteroscedastic"),
}
"""The tasks that have each score."""


def tune_rates(
    mc: MCDropout,
    *inputs: Any,
    y: Outcomes,
    groups: Sequence[str] = ("*",),
    grid: Sequence[float] = GRID,
    search: str = "grid",
    score: str = "nll",
    rounds: int = 1,
    n_samples: int | None = None,
    seed: int | None = None,
    take: Take = None,
    progress: bool | Tell | None = None,
    model_kwargs: Mapping[str, Any] | None = None,
    **model_inputs: Any,
) -> TunedRates:
    """Choose dropout rates by the score of held-out rows, without retraining.

    Use rows that neither trained the model nor will judge it.

    Args:
        mc: The model, its own dropout or injected; with a task that has a score.
        *inputs: What the model takes; or one `DataLoader`, or an iterator, whose batches are then kept.
        y: (N, ...) outcomes of the rows; or which entry of a loader's batches they are: `y=1`, `y="label"`.
        groups: Globs over the paths of rates, as `with_rates` takes them; each group gets one rate, but rates
            of 0 stay 0. Several are searched one after the other, the others staying at the best so far.
        grid: Rates to try, in (0, 1); with `search="golden"` its smallest and largest are the bounds.
        search: `grid`: every rate of it. `golden`: golden section, for a score with a single optimum.
        score: `nll` (negative log-likelihood), or `crps` for a regression.
        rounds: How often the groups are gone through; more than once only matters with several.
        n_samples: S, at least 2; by default that of `mc`.
        seed: Of the masks; by default that of `mc`.
        take: Of a loader's batches: which entries the model takes; by default all but the outcomes.
        progress: True for a bar, or a function that is told (done, total) steps.
        model_kwargs: Inputs by name whose names collide with those above.
        **model_inputs: Inputs by name.

    Raises:
        OptionError: If a group matches no rate, or the task has no such score.
        DomainError: If a rate lies outside (0, 1), or there are no groups.
        ShapeError: If there is not an outcome for each row.
        InputError: If a loader shuffles its rows, or its batches have no such entries.
        NothingRandomError: If nothing is random.
        UnsupportedModelError: If the model cannot be sampled.

    Source:
        Gal and Ghahramani 2016, arXiv:1506.02142, choose the rate by validation log-likelihood.
    """
    _check(mc, groups, grid, search=search, score=score)
    rows = held_out(inputs, {**model_inputs, **(model_kwargs or {})}, y, take)
    view = with_rates(mc.model, {})  # in which a compiled model has the paths that it was written with
    meant = {group: members(view, group) for group in groups}
    trial = Trial(mc, rows, meant, score, n_samples, seed)
    total = 1 + rounds * len(groups) * most_steps(search, grid)
    with following(progress, total) as told:
        tried = Tried(trial, told)
        tried({})
        search_groups(tried, groups, sorted(grid), search, rounds)
    found = chosen_among(trial, tried.results())
    rows.trace(found.mc)
    return found


def _check(mc: object, groups: Sequence[str], grid: Sequence[float], *, search: str, score: str) -> None:
    if not isinstance(mc, MCDropout):
        came = type(mc).__name__
        raise InputError(f"wanted an MCDropout, got a {came}; make one with MCDropout(model, task=...)")
    if isinstance(groups, str) or not groups:
        raise DomainError(f"groups must be a list of globs, such as ['*'], got {groups!r}")
    if not grid or not all(0 < p < 1 for p in grid):
        raise DomainError(f"grid must hold rates in (0, 1), got {list(grid)}")
    if search not in SEARCHES:
        raise OptionError(f"search must be one of {', '.join(SEARCHES)}, got {search!r}")
    if score not in _SCORES:
        raise OptionError(f"score must be one of {', '.join(_SCORES)}, got {score!r}")
    if mc.task not in _SCORES[score]:
        tasks = ", ".join(_SCORES[score])
        raise OptionError(f"the score {score!r} is for the tasks {tasks}, got {mc.task!r}")
