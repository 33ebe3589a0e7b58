"""Predictions from disk: what `Predictive.save` wrote."""

from collections.abc import Mapping
from dataclasses import fields
from os import PathLike
from typing import Any, Final

from torch import Tensor

from mcdrop.calibration.stored import calibrator_from_dict
from mcdrop.errors import DataFileError
from mcdrop.predictive.archive import DAMAGE, read_archive
from mcdrop.predictive.binary import BinaryPredictive, MultilabelPredictive
from mcdrop.predictive.classification import ClassificationPredictive
from mcdrop.predictive.heteroscedastic import HeteroscedasticPredictive
from mcdrop.predictive.origin import Origin, Sampled
from mcdrop.predictive.predictive import Predictive
from mcdrop.predictive.raw import RawPredictive
from mcdrop.predictive.regression import RegressionPredictive

__all__ = ["load_predictions", "restored"]

_KINDS: Final[dict[str, type[Predictive]]] = {
    kind.task: kind
    for kind in (
        BinaryPredictive,
        ClassificationPredictive,
        HeteroscedasticPredictive,
        MultilabelPredictive,
        RawPredictive,
        RegressionPredictive,
    )
}
_MAY_MISS: Final = {"kept_samples": None, "level_values": None, "taken": None, "converged": None}


def load_predictions(path: str | PathLike[str]) -> Predictive:
    """Read what `Predictive.save` wrote.

    Args:
        path: The file.

    Returns:
        An equal predictive, on the CPU.

    Raises:
        DataFileError: If there is no such file, or it is not one of predictions.
    """
    try:
        tensors, facts = read_archive(path)
        return restored(tensors, facts)
    except FileNotFoundError as error:
        raise DataFileError(f"there is no file {path}") from error
    except DAMAGE as error:
        raise DataFileError(f"{path} does not hold predictions saved by mcdrop ({error})") from error


def restored(tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> Predictive:
    """The predictive that these are the parts of.

    Args:
        tensors: Its `row_tensors`, by name; those that are None are left out.
        facts: As `Predictive.save` writes them: `task`, `sampled`, `levels`, `notes`, `calibrators`, `origin`
            and what else the task has.

    Raises:
        KeyError: If a fact is missing.
        TypeError: If a field is missing or unknown.
        OptionError: If a calibrator is of an unknown kind.
    """
    kind = _KINDS[facts["task"]]
    origin = facts.get("origin")
    values = {
        **_MAY_MISS,
        **{each.name: facts[each.name] for each in fields(kind) if each.name in facts},
        **tensors,
        "sampled": Sampled(**facts["sampled"]),
        "origin": None if origin is None else Origin(**origin),
        "levels": tuple(facts["levels"]),
        "notes": tuple(facts["notes"]),
        "calibrators": tuple(map(calibrator_from_dict, facts.get("calibrators", ()))),
    }
    return kind(**values)
