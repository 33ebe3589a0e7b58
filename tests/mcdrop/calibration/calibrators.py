"""One fitted calibrator of every kind, for the tests that all kinds must pass."""

from typing import Final

import torch

from mcdrop.calibration.fitted import Calibrator, SamplingSettings
from mcdrop.calibration.isotonic import fit_binary_isotonic, fit_class_isotonic
from mcdrop.calibration.noise_precision import fit_noise_precision
from mcdrop.calibration.platt import fit_platt_scaling
from mcdrop.calibration.quantile_recalibration import fit_quantile_recalibration
from mcdrop.calibration.std_scaling import fit_level_std_scaling, fit_std_scaling
from mcdrop.calibration.temperature import fit_temperature
from mcdrop.calibration.vector_scaling import fit_vector_scaling
from mcdrop.conformal import fit_adaptive_sets, fit_conformal_intervals
from mcdrop.conformal_quantiles import fit_conformal_quantiles
from mcdrop.selective import fit_selective_threshold
from tests.support.predictions import calibrated, normal, permutation, uniform

SETTINGS: Final = SamplingSettings(n_samples=8, masks="consistent", seed=3, rng="philox-1")

SAMPLES: Final = (2 * normal(8, 60, 4)).softmax(-1)
PROBS: Final = SAMPLES.mean(0)
LABELS: Final = permutation(60) % 4
Y: Final = normal(60, seed=9)


def fitted_calibrators() -> dict[str, Calibrator]:
    """By kind; conformal bounds also in their infinite form."""
    calibrators: list[Calibrator] = [
        fit_temperature(SAMPLES, LABELS, settings=SETTINGS),
        fit_noise_precision(normal(8, 60), Y, settings=SETTINGS),
        fit_std_scaling(torch.zeros(60), 0.5 + uniform(60), Y, settings=SETTINGS),
        fit_level_std_scaling(torch.zeros(60), 0.5 + uniform(60), Y, levels=2, settings=SETTINGS),
        fit_vector_scaling(SAMPLES, LABELS, settings=SETTINGS),
        fit_platt_scaling(uniform(8, 60), LABELS % 2, settings=SETTINGS),
        fit_quantile_recalibration(uniform(60), settings=SETTINGS),
        fit_binary_isotonic(*calibrated(60), settings=SETTINGS),
        fit_class_isotonic(PROBS, LABELS, settings=SETTINGS),
        fit_conformal_intervals(torch.zeros(60), torch.ones(60), Y, settings=SETTINGS),
        fit_conformal_quantiles(-torch.ones(60), torch.ones(60), Y, settings=SETTINGS),
        fit_adaptive_sets(PROBS, LABELS, settings=SETTINGS),
        fit_selective_threshold(uniform(60), torch.zeros(60), risk=0.2, settings=SETTINGS),
    ]
    unbounded: list[Calibrator] = [
        fit_conformal_intervals(torch.zeros(60), torch.ones(60), Y, level=0.999, settings=SETTINGS),
        fit_conformal_quantiles(-torch.ones(60), torch.ones(60), Y, level=0.999, settings=SETTINGS),
        fit_adaptive_sets(PROBS, LABELS, level=0.999, settings=SETTINGS),
        fit_selective_threshold(uniform(60), torch.ones(60), risk=0.2, settings=SETTINGS),
    ]
    return {each.kind: each for each in calibrators} | {f"{each.kind}_unbounded": each for each in unbounded}
