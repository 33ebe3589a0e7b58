"""Predictives: what N stochastic passes say about each row, with one class for each task."""

from mcdrop.predictive.binary import BinaryPredictive, MultilabelPredictive
from mcdrop.predictive.classification import ClassificationPredictive
from mcdrop.predictive.heteroscedastic import HeteroscedasticPredictive
from mcdrop.predictive.origin import Origin, Sampled
from mcdrop.predictive.predictive import Predictive
from mcdrop.predictive.raw import RawPredictive
from mcdrop.predictive.real import RealPredictive
from mcdrop.predictive.regression import RegressionPredictive
from mcdrop.predictive.saved import load_predictions, restored
from mcdrop.predictive.tasks import TASKS, Task, task_named

__all__ = [
    "TASKS",
    "BinaryPredictive",
    "ClassificationPredictive",
    "HeteroscedasticPredictive",
    "MultilabelPredictive",
    "Origin",
    "Predictive",
    "RawPredictive",
    "RealPredictive",
    "RegressionPredictive",
    "Sampled",
    "Task",
    "load_predictions",
    "restored",
    "task_named",
]
