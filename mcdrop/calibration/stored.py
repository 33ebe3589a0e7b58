"""Calibrators from saved data: a checkpoint holds them as plain dictionaries, told apart by their `kind`."""

from typing import Any, Final

from mcdrop.calibration.fitted import Calibrator
from mcdrop.calibration.isotonic import BinaryIsotonic, ClassIsotonic
from mcdrop.calibration.noise_precision import NoisePrecision
from mcdrop.calibration.platt import PlattScaling
from mcdrop.calibration.quantile_recalibration import QuantileRecalibration
from mcdrop.calibration.std_scaling import LevelStdScaling, StdScaling
from mcdrop.calibration.temperature import Temperature
from mcdrop.calibration.vector_scaling import VectorScaling
from mcdrop.conformal import AdaptiveSets, ConformalIntervals
from mcdrop.conformal_quantiles import ConformalQuantiles
from mcdrop.errors import OptionError
from mcdrop.selective import SelectiveThreshold

__all__ = ["CALIBRATORS", "calibrator_from_dict"]

CALIBRATORS: Final[dict[str, type[Calibrator]]] = {
    kind.kind: kind
    for kind in (
        AdaptiveSets,
        BinaryIsotonic,
        ClassIsotonic,
        ConformalIntervals,
        ConformalQuantiles,
        LevelStdScaling,
        NoisePrecision,
        PlattScaling,
        QuantileRecalibration,
        SelectiveThreshold,
        StdScaling,
        Temperature,
        VectorScaling,
    )
}
"""Every kind by its name."""


def calibrator_from_dict(data: dict[str, Any]) -> Calibrator:
    """The calibrator that `to_dict` made the data of.

    Raises:
        OptionError: If there is no such kind, or a value is missing or unknown.
    """
    kind = data.get("kind")
    if kind not in CALIBRATORS:
        raise OptionError(f"a calibrator must be of kind {', '.join(CALIBRATORS)}, got {kind!r}")
    return CALIBRATORS[kind].from_dict(data)
