"""A task whose results are corrected by calibrators.

What acts inside the average (temperature, vector and Platt scaling) corrects the law of every sample, so that
moments and entropies are those of corrected samples. The others act on the result: isotonic maps on the mean,
factors on the spread of a regression; promises (conformal intervals and sets, selective prediction) are
further outputs of the predictive.

Alphabet: s samples of some blocks, N rows, C classes, ... further dimensions.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from typing import Any, Final

import torch
from numpy.typing import NDArray
from torch import Tensor

from mcdrop.calibration.fitted import Calibrator, SamplingSettings
from mcdrop.calibration.isotonic import BinaryIsotonic, ClassIsotonic
from mcdrop.calibration.noise_precision import NoisePrecision
from mcdrop.calibration.platt import PlattScaling
from mcdrop.calibration.quantile_recalibration import QuantileRecalibration
from mcdrop.calibration.std_scaling import LevelStdScaling, StdScaling
from mcdrop.calibration.stored import calibrator_from_dict
from mcdrop.calibration.temperature import Temperature
from mcdrop.calibration.vector_scaling import VectorScaling
from mcdrop.conformal import AdaptiveSets, ConformalIntervals
from mcdrop.conformal_quantiles import ConformalQuantiles
from mcdrop.errors import CheckpointError, OptionError
from mcdrop.predictive.origin import Sampled
from mcdrop.predictive.predictive import Predictive
from mcdrop.predictive.real import RealPredictive
from mcdrop.predictive.tasks import Task
from mcdrop.selective import SelectiveThreshold
from mcdrop.uncertainty import epistemic_entropy

__all__ = [
    "CalibratedTask",
    "check_order",
    "fitted_tau",
    "promised_levels",
    "read_calibrators",
    "sampling_settings",
    "shaping",
    "void_notes",
]


@dataclass(frozen=True)
class CalibratedTask:
    """A task, and what corrects its results.

    Attributes:
        task: What the outputs mean.
        calibrators: In the order in which they were fitted.
        class_axis: The axis of the classes in (N, C, ...), where there are classes.
    """

    task: Task
    calibrators: tuple[Calibrator, ...]
    class_axis: int

    def pick(self, outputs: Any) -> Tensor:
        """(s, N, ...) the raw outputs that count."""
        return self.task.pick(outputs)

    def of_mean(self, values: Tensor) -> Tensor:
        """(N, ...) the part of the law's moments that is about the mean."""
        return self.task.of_mean(values)

    def law(self, raw: Tensor) -> Tensor:
        """(s, N, ...) float64 laws of the samples, corrected."""
        law = self.task.law(raw)
        if _is_unknown(law):
            return law
        for each in self.calibrators:
            if isinstance(each, Temperature | VectorScaling):
                law = self._by_class(law, each.apply, samples=True)
            elif isinstance(each, PlattScaling):
                law = each.apply(law)
        return law

    def entropies(self, law: Tensor) -> Tensor | None:
        """(s, N, ...) entropies of corrected laws, or None."""
        return self.task.entropies(law)

    def predictive(self, common: dict[str, Any], mean: Tensor, mean_entropy: Tensor | None) -> Predictive:
        """The result, corrected; it says so if the promises are void."""
        settings = {
            "calibrators": self.calibrators,
            "notes": common["notes"] + void_notes(self.calibrators, common["sampled"]),
        }
        maps = [each for each in self.calibrators if isinstance(each, BinaryIsotonic | ClassIsotonic)]
        if not maps or mean_entropy is None:
            return self._stretched(self.task.predictive({**common, **settings}, mean, mean_entropy))
        mapped, single = mean, common["deterministic"].to(torch.float64)
        for each in maps:
            mapped, single = self._mapped(each, mapped), self._mapped(each, single)
        dtype = common["mean"].dtype
        parts = {"mean": mapped.to(dtype), "deterministic": single.to(dtype)}
        expected = self._expected_entropy(mean, mapped, mean_entropy)
        return self.task.predictive({**common, **settings, **parts}, mapped, expected)

    def outputs(
        self, figures: NDArray[Any], mean_entropy: NDArray[Any], dtype: torch.dtype
    ) -> Mapping[str, NDArray[Any]]:
        """Outputs of the result by name, where nothing but the samples is corrected."""
        return {} if self._corrects_results else self.task.outputs(figures, mean_entropy, dtype)

    @cached_property
    def _corrects_results(self) -> bool:
        return any(isinstance(each, _ON_RESULTS + _ON_QUANTILES) for each in self.calibrators)

    def _by_class(self, law: Tensor, change: Callable[[Tensor], Tensor], *, samples: bool) -> Tensor:
        """Apply a change to laws whose classes it wants last."""
        axis = self.class_axis + 1 if samples and self.class_axis >= 0 else self.class_axis
        return change(law.movedim(axis, -1).contiguous()).movedim(-1, axis).contiguous()

    def _mapped(self, isotonic: BinaryIsotonic | ClassIsotonic, mean: Tensor) -> Tensor:
        if _is_unknown(mean.unsqueeze(0)):
            return mean
        if isinstance(isotonic, BinaryIsotonic):
            return isotonic.apply(mean)
        return self._by_class(mean, isotonic.apply, samples=False)

    def _expected_entropy(self, mean: Tensor, mapped: Tensor, mean_entropy: Tensor) -> Tensor:
        """A map of the mean leaves the samples: the mutual information stays, the rest is aleatoric."""
        before, after = self._entropy(mean), self._entropy(mapped)
        return epistemic_entropy(after, epistemic_entropy(before, mean_entropy))

    def _entropy(self, mean: Tensor) -> Tensor:
        found = self.task.entropies(mean.unsqueeze(0))
        assert found is not None, "isotonic maps are for probabilities, which have entropies"  # noqa: S101
        return found[0]

    def _stretched(self, result: Predictive) -> Predictive:
        if not isinstance(result, RealPredictive):
            return result
        before = after = result.std.to(torch.float64)
        for each in self.calibrators:
            if isinstance(each, StdScaling | LevelStdScaling):
                after = each.apply(after)
        scale = torch.where(before > 0, after / before, 1.0)
        return result if after is before else replace(result, scale=scale)


_ON_SAMPLES: Final = (NoisePrecision, PlattScaling, Temperature, VectorScaling)
_ON_RESULTS: Final = (BinaryIsotonic, ClassIsotonic, LevelStdScaling, StdScaling)
_ON_QUANTILES: Final = (QuantileRecalibration,)
_PROMISES: Final = (AdaptiveSets, ConformalIntervals, ConformalQuantiles, SelectiveThreshold)
_ORDER: Final[tuple[tuple[type[Calibrator], ...], ...]] = (_ON_SAMPLES, _ON_RESULTS, _ON_QUANTILES, _PROMISES)
"""What acts first, whatever was fitted first; promises act on nothing."""


def shaping(calibrators: Iterable[Calibrator]) -> tuple[str, ...]:
    """Kinds of those that correct the law, in their order; promises leave it as it is."""
    return tuple(each.kind for each in calibrators if not isinstance(each, _PROMISES))


def check_order(calibrators: Sequence[Calibrator]) -> None:
    """See that each calibrator corrects what it was fitted on, so that a promise is about the law that comes.

    Args:
        calibrators: All of a model, in the order in which they were given to it.

    Raises:
        OptionError: If one changes what an earlier one was fitted on, or was fitted on predictions that other
            calibrators had corrected than those before it.
    """
    for first, second in pairwise(calibrators):
        if _place(second) < _place(first):
            raise OptionError(
                f"{second.kind} changes what {first.kind} was fitted on: fit {second.kind} first, on "
                f"predictions without {first.kind} (of a checkpoint: of the version before it, DIR@1), and "
                f"{first.kind} anew on those that it corrects"
            )
    for number, each in enumerate(calibrators):
        behind, before = each.fitted_with.behind, shaping(calibrators[:number])
        if behind is not None and behind != before:
            raise OptionError(
                f"{each.kind} was fitted on predictions that {_listed(behind)} corrected, and stands behind "
                f"{_listed(before)}: fit it on predictions of mc.calibrated(...) with those before it"
            )


def _place(calibrator: Calibrator) -> int:
    return next(place for place, kinds in enumerate(_ORDER) if isinstance(calibrator, kinds))


def _listed(kinds: Sequence[str]) -> str:
    return ", ".join(kinds) or "nothing"


_MALFORMED: Final = (AttributeError, KeyError, TypeError, ValueError)


def read_calibrators(data: Iterable[Mapping[str, Any]]) -> tuple[Calibrator, ...]:
    """The calibrators that a checkpoint holds.

    Raises:
        CheckpointError: If one is of an unknown kind, or a value is missing or unknown.
    """
    try:
        return tuple(calibrator_from_dict(dict(each)) for each in data)
    except _MALFORMED as error:
        raise CheckpointError(f"calibrators cannot be read: {error}") from error


def fitted_tau(calibrators: Sequence[Calibrator], tau: float | None) -> float | None:
    """The noise precision that was fitted last; `tau` if none was."""
    found = [each.tau for each in calibrators if isinstance(each, NoisePrecision)]
    return found[-1] if found else tau


def promised_levels(calibrators: Sequence[Calibrator], levels: Sequence[float]) -> tuple[float, ...]:
    """Quantile levels that a prediction must hold: those asked for, and those of promised intervals."""
    promised = [
        level
        for each in calibrators
        if isinstance(each, ConformalQuantiles)
        for level in each.quantile_levels
    ]
    return tuple(dict.fromkeys([*levels, *promised]))


def sampling_settings(sampled: Sampled) -> SamplingSettings:
    """How predictions were sampled, as a calibrator records it."""
    return SamplingSettings(sampled.n_samples, sampled.masks, sampled.seed, sampled.rng)


def void_notes(calibrators: Sequence[Calibrator], sampled: Sampled) -> tuple[str, ...]:
    """One note if predictions are sampled in another way than those that a calibrator was fitted on."""
    settings = sampling_settings(sampled)
    found = [each.fitted_with.differences(settings) for each in calibrators]
    phrases = list(dict.fromkeys(phrase for each in found for phrase in each))
    if calibrators and sampled.tolerance is not None:
        phrases.append("rows stop at a tolerance, fitted with a number of samples")
    return (f"calibration is void: {'; '.join(phrases)}",) if phrases else ()


def _is_unknown(law: Tensor) -> bool:
    """Whether (1, N, ...) stands for a deterministic pass that nobody asked for; no calibrator takes it."""
    return len(law) == 1 and bool(law.isnan().all())
