"""What every predictive has: moments over the samples, quantiles, rows that can be picked and joined.

Alphabet: S samples, N rows, Q levels, ... further dimensions.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from os import PathLike
from typing import TYPE_CHECKING, Any, ClassVar, Final, Self, TypeGuard, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mcdrop.calibration.fitted import Calibrator
from mcdrop.empirical import sample_quantiles
from mcdrop.errors import DomainError, InputError, NotFittedError, SamplesNotKeptError, ShapeError
from mcdrop.extras import require
from mcdrop.predictive.archive import as_array, write_archive
from mcdrop.predictive.origin import Origin, Sampled
from mcdrop.predictive.plotting import plot_numbers

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = [
    "ROWS_FIRST",
    "Predictive",
    "check_alike",
    "check_levels",
    "common_notes",
    "fitted",
    "is_number",
    "spread_notes",
]

ROWS_FIRST: Final = {"rows": 0}
"""Metadata of a field (N, ...)."""
_ROWS_SECOND: Final = {"rows": 1}

_OF_SOME_ROWS: Final = ("not_converged", "not_finite")

_CalibratorT = TypeVar("_CalibratorT", bound=Calibrator)


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class Predictive:
    """The predictive distribution of N rows. Abstract: each task has its own.

    Attributes:
        sampled: How it was drawn.
        mean: (N, ...) mean over the samples.
        sample_std: (N, ...) standard deviation over the samples, ddof = 1.
        standard_error: (N, ...) Monte Carlo error of the mean.
        deterministic: (N, ...) what the model says with dropout off.
        kept_samples: (S, N, ...), or None if they were dropped.
        levels: Levels of the quantiles that were asked for in the call.
        level_values: (Q, N, ...) these quantiles, or None.
        notes: Things to know about this result, by name; `zero_variance` if `sample_std` is 0 everywhere,
            `not_finite` if a row's is NaN or infinite, as its samples then are,
            `not_converged` if a row took the most samples and its error is still above the tolerance.
        calibrators: Those that corrected it, in their order.
        taken: (N,) int64, the samples that each row took; None if all took S.
        converged: (N,) bool, whether a row's standard error came down to the tolerance; None without one.
        origin: Who answered, where it came over HTTP; None for what was computed here.
    """

    task: ClassVar[str] = ""
    outputs: ClassVar[tuple[str, ...]] = ("mean", "std", "standard_error", "deterministic")
    default_outputs: ClassVar[tuple[str, ...]] = ("mean", "std")

    sampled: Sampled
    mean: Tensor = field(metadata=ROWS_FIRST)
    sample_std: Tensor = field(metadata=ROWS_FIRST)
    standard_error: Tensor = field(metadata=ROWS_FIRST)
    deterministic: Tensor = field(metadata=ROWS_FIRST)
    kept_samples: Tensor | None = field(metadata=_ROWS_SECOND)
    levels: tuple[float, ...]
    level_values: Tensor | None = field(metadata=_ROWS_SECOND)
    notes: tuple[str, ...]
    calibrators: tuple[Calibrator, ...] = ()
    taken: Tensor | None = field(default=None, metadata=ROWS_FIRST)
    converged: Tensor | None = field(default=None, metadata=ROWS_FIRST)
    origin: Origin | None = None

    @property
    def std(self) -> Tensor:
        """(N, ...) standard deviation of the predictive distribution, in units of the mean."""
        return self.sample_std

    @property
    def n_samples(self) -> int:
        """S; with a tolerance the most that a row could take."""
        return self.sampled.n_samples

    @property
    def samples_taken(self) -> Tensor:
        """(N,) int64, how many samples each row took: S, unless a tolerance decided."""
        if self.taken is not None:
            return self.taken
        return torch.full((len(self),), self.n_samples, device=self.mean.device)

    @property
    def seed(self) -> int:
        """Of the masks."""
        return self.sampled.seed

    @property
    def samples(self) -> Tensor:
        """(S, N, ...) what `mean` is the mean of.

        Raises:
            SamplesNotKeptError: If they were dropped.
        """
        if self.kept_samples is None:
            raise SamplesNotKeptError(
                "the samples of this prediction were dropped; pass keep_samples=True to predict"
            )
        return self.kept_samples

    def quantile(self, q: float | Sequence[float]) -> Tensor:
        """Quantiles of the predictive distribution.

        Args:
            q: One level in (0, 1), or several.

        Returns:
            Like `mean` for one level; (Q, N, ...) for several. In units of the mean.

        Raises:
            DomainError: If a level is not between 0 and 1, or there is none.
            SamplesNotKeptError: If the samples were dropped and a level was not named in the call.
        """
        levels = check_levels(q)
        if not levels:
            raise DomainError("wanted at least one level, got none")
        values = self._quantiles(levels)
        return values[0] if is_number(q) else values

    def interval(self, level: float = 0.9) -> tuple[Tensor, Tensor]:
        """The central interval that holds `level` of the predictive distribution.

        Args:
            level: Its probability, in (0, 1).

        Returns:
            Lower and upper ends, each like `mean`.

        Raises:
            DomainError: If `level` is not between 0 and 1.
            SamplesNotKeptError: If the samples were dropped and these quantiles were not named in the call.
        """
        (level,) = check_levels(level)
        lower, upper = self.quantile(((1 - level) / 2, (1 + level) / 2))
        return lower, upper

    def __repr__(self) -> str:
        """What it is of, how it was drawn and what it holds; a line each, and no numbers."""
        sampled = ", ".join(
            f"{name}={value!r}" for name, value in asdict(self.sampled).items() if value is not None
        )
        return "\n".join(
            (
                f"{type(self).__name__} of {len(self)} rows, mean {tuple(self.mean.shape)} {self.mean.dtype}",
                f"sampled: {sampled}",
                f"outputs: {', '.join(self.available_outputs())}",
                f"samples: {'dropped' if self.kept_samples is None else 'kept'}",
                f"notes: {'; '.join(self.notes) or 'none'}",
            )
        )

    def __len__(self) -> int:
        """N."""
        return self.mean.shape[0]

    def __getitem__(self, rows: Any) -> Self:
        """The same for some of the rows: an index, a slice, a list, or a mask."""
        picked: dict[str, Any] = {
            name: None if tensor is None else _pick(tensor, axis, rows)
            for name, tensor, axis in self.row_tensors()
        }
        return replace(self, **picked)

    @classmethod
    def concatenate(cls, parts: Sequence[Self]) -> Self:
        """The rows of several predictives of the same kind, one after the other.

        Samples stay where every part has them, notes as `common_notes` says.

        Raises:
            InputError: If there are none, or they were sampled in different ways.
            ShapeError: If their rows are of different shapes.
        """
        if len({(type(part), *part.facts().items()) for part in parts}) != 1:
            raise InputError(
                "wanted predictives of one task with the same samples, seed, masks and quantile levels"
            )
        if len(parts) == 1:
            return parts[0]
        check_alike(parts)
        columns = zip(*(part.row_tensors() for part in parts), strict=True)
        joined: dict[str, Any] = {column[0][0]: _joined(column) for column in columns}
        return replace(parts[0], notes=common_notes([part.notes for part in parts]), **joined)

    def numpy(self) -> dict[str, NDArray[Any]]:
        """Every output as an array, by name; bfloat16, which NumPy lacks, as float32."""
        return {name: as_array(getattr(self, name)) for name in self.available_outputs()}

    def to_dataframe(self) -> Any:
        """One row for each row and one column for each number, as a pandas frame; its `attrs` hold the notes.

        Raises:
            MissingExtraError: If pandas is not installed.
        """
        frame = require("pandas", extra="pandas").DataFrame(self.columns())
        frame.attrs["notes"] = list(self.notes)
        return frame

    def columns(self) -> dict[str, NDArray[Any]]:
        """Arrays (N,) by column name; outputs with further dimensions have one for each entry, `mean_0`."""
        table: dict[str, NDArray[Any]] = {}
        for name, values in self.numpy().items():
            flat = values.reshape(len(self), math.prod(values.shape[1:]))
            single = flat.shape[1] == 1
            table |= {name if single else f"{name}_{i}": flat[:, i] for i in range(flat.shape[1])}
        return table

    def plot(self, x: Tensor | NDArray[Any] | None = None, *, ax: "Axes | None" = None) -> "Axes":
        """Draw the predictive by matplotlib.

        A regression is drawn over its inputs `x` as mean and bands of 50 % and 90 %, without them as rows in
        the order of their mean; a classification as rows at their aleatoric and epistemic uncertainty.

        Args:
            x: (N,) or (N, 1) inputs of a regression on one number.
            ax: Where to draw; new axes if not given.

        Returns:
            The axes, to be restyled; `axes.figure.savefig("figure.svg")` writes them.

        Raises:
            OptionError: If there are several outputs, or `x` does not fit.
            SamplesNotKeptError: If the samples were dropped, and the intervals were not named in the call.
        """
        return plot_numbers(self, None if x is None else torch.as_tensor(x), ax)

    def save(self, path: str | PathLike[str]) -> None:
        """Write everything to an `.npz` file, for `mcdrop.load_predictions`.

        Args:
            path: The file, which must not exist.

        Raises:
            DataFileError: If it exists, its name does not end in `.npz`, or it cannot be written.
        """
        facts = {
            **self.facts(),
            "task": self.task,
            "sampled": asdict(self.sampled),
            "origin": None if self.origin is None else asdict(self.origin),
            "notes": self.notes,
            "calibrators": [each.to_dict() for each in self.calibrators],
        }
        write_archive(
            path, {name: tensor for name, tensor, _ in self.row_tensors() if tensor is not None}, facts
        )

    def available_outputs(self) -> tuple[str, ...]:
        """Names of the outputs that this predictive has."""
        return self.outputs if self.converged is None else (*self.outputs, "samples_taken", "converged")

    def row_tensors(self) -> Iterator[tuple[str, Tensor | None, int]]:
        """Every field that holds rows: its name, its tensor and the axis of the rows."""
        for each in fields(self):
            if "rows" in each.metadata:
                yield each.name, getattr(self, each.name), each.metadata["rows"]

    def facts(self) -> dict[str, Any]:
        """Every field that is about all rows alike, by name; notes, which rows can change, apart."""
        named = (each.name for each in fields(self) if "rows" not in each.metadata and each.name != "notes")
        return {name: getattr(self, name) for name in named}

    def with_quantiles(self, samples: Tensor) -> Self:
        """The same, holding the quantiles at `levels` of `samples` (S, N, ...)."""
        return replace(self, level_values=self.quantiles_of(samples, self.levels))

    def quantiles_of(self, samples: Tensor, levels: Sequence[float]) -> Tensor:
        """(Q, N, ...) quantiles at Q `levels` of the law that `samples` (S, N, ...) describe."""
        return sample_quantiles(samples, levels)

    def _quantiles(self, levels: Sequence[float]) -> Tensor:
        """(Q, N, ...) those that were named in the call, and what the samples tell of others."""
        known = {level: values for level in levels if (values := self._named(level)) is not None}
        others = [level for level in levels if level not in known]
        if others:
            if self.kept_samples is None:
                raise SamplesNotKeptError(
                    f"the samples were dropped and the quantile at {others[0]:g} was not named in the call; "
                    "pass quantiles= or keep_samples=True to predict"
                )
            known |= zip(others, self.quantiles_of(self.kept_samples, others), strict=True)
        return torch.stack([known[level] for level in levels])

    def _named(self, level: float) -> Tensor | None:
        if self.level_values is None:
            return None
        pairs = zip(self.levels, self.level_values, strict=True)
        return next((values for named, values in pairs if math.isclose(level, named, rel_tol=1e-9)), None)


def fitted(calibrators: Sequence[Calibrator], kind: type[_CalibratorT], *, method: str) -> _CalibratorT:
    """The calibrator of that kind that was fitted last.

    Raises:
        NotFittedError: If there is none; names the method that fits one.
    """
    found = [each for each in calibrators if isinstance(each, kind)]
    if not found:
        raise NotFittedError(
            f"no {kind.kind} was fitted: fit one on held-out rows with mcdrop calibrate --method {method}"
        )
    return found[-1]


def check_alike(parts: Sequence[Predictive]) -> None:
    """Refuse to join predictions whose rows are of different shapes.

    Raises:
        ShapeError: If they are; names the two shapes.
    """
    shapes = [tuple(part.mean.shape[1:]) for part in parts]
    other = next((shape for shape in shapes if shape != shapes[0]), None)
    if other is not None:
        raise ShapeError(
            f"rows of one prediction must have one shape, got {shapes[0]} and then {other}; pad the inputs "
            "to one length, or predict and evaluate batch by batch"
        )


def spread_notes(largest: Sequence[float]) -> tuple[str, ...]:
    """What standard deviations tell that one should know.

    Args:
        largest: Of each row, or of each set of rows; NaN where one of them is.
    """
    if not any(largest):
        return ("zero_variance",)
    return () if all(map(math.isfinite, largest)) else ("not_finite",)


def common_notes(notes: Sequence[tuple[str, ...]]) -> tuple[str, ...]:
    """The notes of several sets of rows together: those about some rows if one has it, others if all do."""
    every = {note for each in notes for note in each}
    kept = (note for note in every if note in _OF_SOME_ROWS or all(note in each for each in notes))
    return tuple(sorted(kept))


def check_levels(levels: float | Sequence[float]) -> tuple[float, ...]:
    """Quantile levels as floats.

    Args:
        levels: One, or several.

    Raises:
        DomainError: If one is not between 0 and 1, both excluded.
    """
    given: list[Any] = [levels] if isinstance(levels, int | float | np.number) else list(levels)
    for level in given:
        if not is_number(level) or not 0 < level < 1:
            raise DomainError(f"a level must be a number between 0 and 1, both excluded, got {level!r}")
    return tuple(float(level) for level in given)


def is_number(value: object) -> TypeGuard[float]:
    """Whether it is a number of Python or NumPy; True and False are none."""
    return not isinstance(value, bool) and isinstance(value, int | float | np.integer | np.floating)


def _pick(tensor: Tensor, axis: int, rows: Any) -> Tensor:
    if isinstance(rows, slice) and rows.step in (None, 1):
        return tensor[(slice(None),) * axis + (rows,)]
    wanted = rows.numpy(force=True) if isinstance(rows, Tensor) else rows
    numbers = np.atleast_1d(np.arange(tensor.shape[axis])[wanted])
    return tensor.index_select(axis, torch.from_numpy(numbers.copy()).to(tensor.device))


def _joined(column: Sequence[tuple[str, Tensor | None, int]]) -> Tensor | None:
    tensors = [tensor for _, tensor, _ in column if tensor is not None]
    return torch.cat(tensors, column[0][2]) if len(tensors) == len(column) else None
