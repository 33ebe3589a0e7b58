"""The predictive of a network whose outputs are taken as they come."""

from dataclasses import dataclass
from typing import ClassVar

from mcdrop.predictive.predictive import Predictive

__all__ = ["RawPredictive"]


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class RawPredictive(Predictive):
    """Mean, standard deviation and quantiles of N rows of outputs."""

    task: ClassVar[str] = "raw"
