"""Long predictions, in steps that a progress bar can show.

The steps are the same with and without a terminal, so that the numbers are, too.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Final

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from mcdrop.datafiles import Array, Data
from mcdrop.engine.inputs import arguments_of
from mcdrop.mcdropout import MCDropout
from mcdrop.predictive import Predictive

__all__ = ["Sampling", "predictions"]

ROWS: Final = 256
"""In one step."""

_KEPT_BYTES: Final = 2**30


@dataclass(frozen=True)
class Sampling:
    """What the options of a command say of the samples.

    Attributes:
        n_samples: None for the checkpoint's.
        seed: None for the checkpoint's.
        exact: Whether the bits must not depend on the other rows.
        keep_samples: Whether the result holds them; None: if those of all rows fit in 1 GiB.
        tolerance: Standard error of the mean at which a row stops; None: all rows take n_samples.
        max_samples: With a tolerance: what a row takes at most.
    """

    n_samples: int | None
    seed: int | None
    exact: bool
    keep_samples: bool | None
    tolerance: float | None = None
    max_samples: int | None = None


def predictions(mc: MCDropout, data: Data, sampling: Sampling) -> Predictive:
    """The predictive of all rows, with a progress bar on standard error where that is a terminal."""
    console = Console(stderr=True)
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("rows", total=len(data))
        parts: list[Predictive] = []
        for rows in _steps(len(data)):
            parts.append(_prediction(mc, _picked(data.inputs, rows), sampling, rows))
            sampling = _settled(sampling, parts[0], len(data))
            progress.advance(task, len(parts[-1]))
    return type(parts[0]).concatenate(parts)


def _settled(sampling: Sampling, first: Predictive, rows: int) -> Sampling:
    """The same, now that the first rows show how large the samples are."""
    if sampling.keep_samples is not None or first.kept_samples is None:
        return sampling
    whole = first.kept_samples.nbytes / len(first) * rows
    return replace(sampling, keep_samples=whole <= _KEPT_BYTES)


def _steps(rows: int) -> Iterator[range]:
    return (range(start, min(start + ROWS, rows)) for start in range(0, rows, ROWS))


def _picked(inputs: Mapping[str, Array], rows: range) -> dict[str, Array]:
    return {name: values[rows.start : rows.stop] for name, values in inputs.items()}


def _prediction(mc: MCDropout, inputs: Mapping[str, Array], sampling: Sampling, rows: range) -> Predictive:
    by_position, by_name = arguments_of(inputs)
    return mc.predict(
        *by_position,
        n_samples=sampling.n_samples if sampling.tolerance is None else "auto",
        tolerance=sampling.tolerance,
        max_samples=sampling.max_samples,
        seed=sampling.seed,
        exact=sampling.exact,
        keep_samples=sampling.keep_samples,
        row_ids=rows if mc.masks == "independent" else None,
        model_kwargs=by_name,
    )
