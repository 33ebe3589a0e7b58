"""What a prediction says about its rows, read from its attributes: the same for every task from here on.

Predictions are taken as they come: of this library, or of anything that has the attributes of the protocols.
"""

from mcdrop.testimony.protocols import Prediction, RegressionPrediction, Testimony, Wanted
from mcdrop.testimony.reading import elsewhere_measures, on_cpu, testimony_of

__all__ = [
    "Prediction",
    "RegressionPrediction",
    "Testimony",
    "Wanted",
    "elsewhere_measures",
    "on_cpu",
    "testimony_of",
]
