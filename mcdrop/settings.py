"""What a call says about its samples, checked: how many, from which seed, and whose masks."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
from torch import Tensor

from mcdrop.engine.masks import RNGS
from mcdrop.engine.philox import MAX_SEED, check_seed
from mcdrop.engine.sampling import Draw
from mcdrop.errors import DomainError, InputError, OptionError, ShapeError

__all__ = ["LEAST_SAMPLES", "MOST_SAMPLES", "RowIds", "SampleCount", "Settings", "identities"]

LEAST_SAMPLES: Final = 32
"""What every row takes under `n_samples="auto"` before it may stop."""

MOST_SAMPLES: Final = 1024
"""What a row takes at most under `n_samples="auto"` unless the call says otherwise."""

RowIds = Sequence[int] | Tensor | np.ndarray[Any, Any]
"""Ids of rows: integers from 0 to 2^63 - 1."""


@dataclass(frozen=True)
class SampleCount:
    """How many samples a row takes.

    Attributes:
        most: S; with a tolerance the most that a row takes.
        tolerance: Standard error of the mean at which a row stops, in units of the mean; None: all take S.
    """

    most: int
    tolerance: float | None = None

    @classmethod
    def of(
        cls,
        n_samples: int | Literal["auto"],
        tolerance: float | None = None,
        max_samples: int | None = None,
        *,
        least: int,
    ) -> "SampleCount":
        """The checked form of what the user says.

        Args:
            n_samples: A number of at least `least`, or `auto`.
            tolerance: With `auto`: at which standard error a row stops.
            max_samples: With `auto`: what a row takes at most, at least 32; by default 1024.
            least: Of a number.

        Raises:
            DomainError: If a number lies outside its range.
            OptionError: If `auto` comes without a tolerance, or a tolerance without `auto`.
        """
        if n_samples != "auto" and (tolerance is not None or max_samples is not None):
            raise OptionError(
                "tolerance and max_samples belong to n_samples='auto'; with a number of samples every row "
                f"takes that many, got n_samples={n_samples!r}"
            )
        if n_samples != "auto":
            return cls(_checked_count("n_samples", n_samples, least=least))
        if tolerance is None:
            raise OptionError(
                "n_samples='auto' needs tolerance=, the standard error of the mean at which a row stops, in "
                "units of the mean, such as 0.01 for probabilities"
            )
        most = MOST_SAMPLES if max_samples is None else max_samples
        return cls(_checked_count("max_samples", most, least=LEAST_SAMPLES), _checked_tolerance(tolerance))

    def overridden(
        self,
        n_samples: int | Literal["auto"] | None,
        tolerance: float | None,
        max_samples: int | None,
        *,
        least: int,
    ) -> "SampleCount":
        """What a call says, in place of what this says.

        Args:
            n_samples: None for this one's.
            tolerance: None for this one's, if it has one.
            max_samples: None for this one's, if it has a tolerance.
            least: Of a number of samples.

        Raises:
            DomainError: If a number lies outside its range.
            OptionError: If `auto` comes without a tolerance, or a tolerance without `auto`.
        """
        if n_samples is None:
            n_samples = self.most if self.tolerance is None else "auto"
        if n_samples == "auto" and self.tolerance is not None:
            tolerance = self.tolerance if tolerance is None else tolerance
            max_samples = self.most if max_samples is None else max_samples
        return SampleCount.of(n_samples, tolerance, max_samples, least=least)


@dataclass(frozen=True)
class Settings:
    """How the samples of a model are drawn unless a call says otherwise.

    Attributes:
        count: How many.
        seed: Of the masks, 0 to 2^63 - 1.
        masks: `consistent` or `independent`.
        rng: Name of the generator.

    Raises:
        OptionError: If an option does not exist.
        DomainError: If the seed lies outside its range.
    """

    count: SampleCount
    seed: int
    masks: str
    rng: str

    def __post_init__(self) -> None:
        if self.masks not in ("consistent", "independent"):
            raise OptionError(f"masks must be 'consistent' or 'independent', got {self.masks!r}")
        if self.rng not in RNGS:
            raise OptionError(f"rng must be one of {', '.join(RNGS)}, got {self.rng!r}")
        object.__setattr__(self, "seed", check_seed(self.seed))

    def draw(self, rows: int, count: SampleCount, seed: int | None, row_ids: list[int] | None) -> Draw:
        """Which masks a call of `rows` rows uses.

        Args:
            rows: N.
            count: How many samples.
            seed: None for that of the settings.
            row_ids: (N,) ids; None for 0 to N - 1.

        Raises:
            DomainError: If the seed lies outside its range.
            OptionError: If there are ids and the rows share their masks.
            ShapeError: If there is not one id for each row.
        """
        if row_ids is not None and self.masks == "consistent":
            raise OptionError(
                "row_ids belong to masks='independent'; with consistent masks all rows share theirs"
            )
        if row_ids is not None and len(row_ids) != rows:
            raise ShapeError(f"row_ids must have one id for each of the {rows} rows, got {len(row_ids)}")
        shared = self.masks == "consistent"
        ids = None if shared else list(range(rows)) if row_ids is None else row_ids
        return Draw(self.seed if seed is None else check_seed(seed), count.most, self.rng, ids)


def identities(row_ids: RowIds | None) -> list[int] | None:
    """Ids of rows as integers.

    Args:
        row_ids: (N,) a sequence, or a tensor or array of integers.

    Raises:
        ShapeError: If a tensor or an array has another shape.
        InputError: If they are no integers.
        DomainError: If one is not between 0 and 2^63 - 1.
    """
    if row_ids is None:
        return None
    if isinstance(row_ids, Tensor | np.ndarray):
        if row_ids.ndim != 1:
            raise ShapeError(f"row_ids must be (N,), got shape {tuple(row_ids.shape)}")
        row_ids = row_ids.tolist()
    if isinstance(row_ids, str) or not isinstance(row_ids, Sequence):
        raise InputError(
            f"row_ids must be integers, as a list, a range, a tensor or an array, got a "
            f"{type(row_ids).__name__}"
        )
    return [_identity(row_id) for row_id in row_ids]


def _identity(row_id: object) -> int:
    if isinstance(row_id, bool) or not isinstance(row_id, int | np.integer):
        raise InputError(f"row_ids must be integers, got {row_id!r}")
    if not 0 <= row_id <= MAX_SEED:
        raise DomainError(f"row_ids must lie between 0 and 2^63 - 1, got {row_id}")
    return int(row_id)


def _checked_count(name: str, count: object, *, least: int) -> int:
    if isinstance(count, bool) or not isinstance(count, int | np.integer) or count < least:
        hint = "; predict also takes 'auto', with tolerance=" if isinstance(count, str) else ""
        raise DomainError(f"{name} must be an integer of at least {least}, got {count!r}{hint}")
    return int(count)


def _checked_tolerance(tolerance: object) -> float:
    known = isinstance(tolerance, int | float | np.integer | np.floating) and not isinstance(tolerance, bool)
    if not known or not 0 < float(tolerance) < math.inf:  # type: ignore[arg-type]
        raise DomainError(f"tolerance must be a positive number, in units of the mean, got {tolerance!r}")
    return float(tolerance)  # type: ignore[arg-type]
