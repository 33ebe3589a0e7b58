"""Scores by group: a model can be calibrated on average and wrong about a part of the rows.

Alphabet: N rows, G groups.
"""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mcdrop.assessment.sections import GroupScores
from mcdrop.errors import OptionError, ShapeError
from mcdrop.rowscores import RowScores
from mcdrop.scoring import ScoreOptions, calibration_scores, row_scores

__all__ = ["group_names", "group_scores"]

_MOST_NUMBERS: Final = 12
_MOST_GROUPS: Final = 100


def group_names(values: Sequence[Any] | NDArray[Any], *, rows: int) -> list[str]:
    """The group of every row: its value; of a number with many values, which quarter of the rows it is in.

    Args:
        values: (N,) numbers or texts; where there is none (NaN, None, an empty text) the group is `missing`.
        rows: N.

    Raises:
        ShapeError: If there is not one value for each row.
        OptionError: If there are more than 100 groups.
    """
    column = np.asarray(values)
    if column.shape != (rows,):
        raise ShapeError(f"groups must have one value for each of the {rows} rows, got shape {column.shape}")
    missing = _missing(column)
    names = iter(_names(np.asarray(column[~missing].tolist())))  # without None, numbers are numbers
    return ["missing" if gone else next(names) for gone in missing.tolist()]


def group_scores(
    names: Sequence[str],
    rows: Sequence[RowScores],
    pairs: tuple[Tensor, Tensor] | None,
    options: ScoreOptions,
) -> tuple[GroupScores, ...]:
    """Scores of each group, in the order in which the groups' names sort.

    Args:
        names: (N,) the group of every row.
        rows: Row scores.
        pairs: (N, k) confidences and events, for the calibration error; None for a regression.
        options: How.
    """
    members: dict[str, list[int]] = {}
    for row, name in enumerate(names):
        members.setdefault(name, []).append(row)
    return tuple(_of_group(name, members[name], rows, pairs, options) for name in sorted(members))


def _of_group(
    name: str,
    members: list[int],
    rows: Sequence[RowScores],
    pairs: tuple[Tensor, Tensor] | None,
    options: ScoreOptions,
) -> GroupScores:
    index = torch.tensor(members, device="cpu")
    own = [RowScores(each.name, each.values.cpu()[index], each.proportion, each.output) for each in rows]
    scores = row_scores(own, options)
    if pairs is not None:
        confidence, event = (part.cpu()[index].flatten() for part in pairs)
        scores += calibration_scores(confidence, event, options)[:1]
    return GroupScores(name, len(members), scores)


def _missing(column: NDArray[Any]) -> NDArray[np.bool_]:
    return np.array([_is_missing(value) for value in column.tolist()], np.bool_)


def _is_missing(value: Any) -> bool:
    return value is None or value == "" or (isinstance(value, float) and math.isnan(value))


def _names(column: NDArray[Any]) -> list[str]:
    distinct = np.unique(column)
    if column.dtype.kind in "iuf" and len(distinct) > _MOST_NUMBERS:
        return _quarters(column.astype(np.float64))
    if len(distinct) > _MOST_GROUPS:
        raise OptionError(f"groups must be at most {_MOST_GROUPS}, got {len(distinct)} different values")
    return [_text(value) for value in column.tolist()]


def _quarters(column: NDArray[np.float64]) -> list[str]:
    edges = np.unique(np.quantile(column, [0, 0.25, 0.5, 0.75, 1]))
    which = np.clip(np.searchsorted(edges, column, side="left") - 1, 0, max(0, len(edges) - 2))
    names = [f"{i + 1}: {low:g} to {high:g}" for i, (low, high) in enumerate(pairwise(edges))]
    return [names[i] for i in which.tolist()]


def _text(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
