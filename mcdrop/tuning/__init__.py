"""Tuning: dropout rates chosen on validation data, without retraining."""

from mcdrop.tuning.choice import Candidate, TunedRates
from mcdrop.tuning.tune import tune_rates

__all__ = ["Candidate", "TunedRates", "tune_rates"]
