"""The examination: everything that the checks look at, measured once."""

import math
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from mcdrop.engine.inputs import Call
from mcdrop.engine.sites import Site
from mcdrop.engine.tracing import Trace, trace
from mcdrop.errors import ShapeError
from mcdrop.inspection.layers import own_layer, rate
from mcdrop.inspection.surroundings import Surroundings, surroundings
from mcdrop.mcdropout import MCDropout
from mcdrop.predictive import Predictive
from mcdrop.sensitivity import Sensitivity, Setting, SiteSensitivity

__all__ = ["Asked", "Examination", "Shift", "SiteExamination", "examine"]

_ROWS = 32
"""That the sites are measured on."""
_SAMPLES = 128
_LEAST_SAMPLES = 32


@dataclass(frozen=True, eq=False)
class Asked:
    """What is to be looked at.

    Attributes:
        mc: The model.
        inputs: Its inputs by position.
        named: Its inputs by name.
        y: (N, ...) outcomes, if they were given.
        precision: Monte Carlo error of the mean that is asked for, in standard deviations of the samples.
        n_samples: S that will be used.
        seed: Of the masks.
    """

    mc: MCDropout
    inputs: tuple[Any, ...]
    named: dict[str, Any]
    y: Tensor | None
    precision: float
    n_samples: int
    seed: int

    @property
    def call(self) -> Call:
        """The rows."""
        return self.mc.as_call(*self.inputs, **self.named)


@dataclass(frozen=True)
class Shift:
    """How far the Monte Carlo mean lies from the deterministic pass: ratios of root mean squares.

    Attributes:
        errors: In Monte Carlo standard errors of the mean.
        stds: In standard deviations of the samples.
    """

    errors: float
    stds: float


@dataclass(frozen=True, eq=False)
class SiteExamination:
    """One site.

    Attributes:
        site: Which.
        carries: What of the variance it carries.
        around: What runs before and behind it.
        shift: With this site alone on.
        layer: Type of the layer of `mcdrop.nn` that it belongs to; None if it belongs to none.
        p: Its rate, or that of this layer; None where neither has one.
    """

    site: Site
    carries: SiteSensitivity
    around: Surroundings
    shift: Shift
    layer: str | None
    p: float | None

    @property
    def name(self) -> str:
        """Of the site, and of the layer that it belongs to."""
        return self.site.name if self.layer is None else f"{self.site.name} of {self.layer}"

    @property
    def carried(self) -> str:
        """What it carries, in words."""
        share = self.carries.share
        return f"alone it carries {share.value:.0%} (+- {share.standard_error:.0%}) of the variance"

    def evidence(self, **more: float | int | str | None) -> dict[str, float | int | str | None]:
        """The numbers that every finding about a site has, and more."""
        share = self.carries.share
        known = not math.isnan(share.value)
        carried = (share.value, share.standard_error) if known else (None, None)
        layer = {} if self.layer is None else {"layer": self.layer}
        return {"rate": self.p, **layer, "share": carried[0], "share_error": carried[1], **more}


@dataclass(frozen=True, eq=False)
class Examination:
    """A model that can be sampled.

    Attributes:
        asked: What is looked at.
        traced: Its sites.
        sites: What is known of each.
        sensitivity: What carries the variance.
        shift: With all sites on.
        predictive: Of all rows.
        tuned: Whether the rates were chosen on validation data.
    """

    asked: Asked
    traced: Trace
    sites: tuple[SiteExamination, ...]
    sensitivity: Sensitivity
    shift: Shift
    predictive: Predictive
    tuned: bool

    @property
    def model(self) -> nn.Module:
        """The user's."""
        return self.asked.mc.model


def examine(asked: Asked, *, tuned: bool) -> Examination:
    """Measure a model that has been traced.

    Raises:
        ShapeError: If there is not an outcome for each row.
    """
    call, mc = asked.call, asked.mc
    traced = trace(mc.model, call)
    few = call.take(slice(0, min(call.rows, _ROWS)))
    sensitivity = _sensitivity(asked, few)
    around = surroundings(mc.model, traced, few)
    sites = tuple(
        _site(mc.model, each, where, _shift(each.setting, sensitivity.deterministic))
        for each, where in zip(sensitivity.sites, around, strict=True)
    )
    predictive = mc.predict(
        *asked.inputs, n_samples=asked.n_samples, seed=asked.seed, model_kwargs=asked.named
    )
    if asked.y is not None and len(asked.y) != len(predictive):
        raise ShapeError(f"y must have a value for each of the {len(predictive)} rows, got {len(asked.y)}")
    shift = _shift(sensitivity.setting, sensitivity.deterministic)
    return Examination(asked, traced, sites, sensitivity, shift, predictive, tuned)


def _site(model: nn.Module, carries: SiteSensitivity, around: Surroundings, shift: Shift) -> SiteExamination:
    layer = own_layer(carries.site, model)
    kind = None if layer is None else type(layer).__name__
    return SiteExamination(carries.site, carries, around, shift, kind, rate(carries.site, layer))


def _sensitivity(asked: Asked, call: Call) -> Sensitivity:
    samples = min(max(asked.n_samples, _LEAST_SAMPLES), _SAMPLES)
    args, kwargs = call.arguments()
    return asked.mc.sensitivity(*args, n_samples=samples, seed=asked.seed, model_kwargs=kwargs)


def _shift(setting: Setting, deterministic: Tensor) -> Shift:
    gap = setting.mean - deterministic
    moved = setting.standard_error > 0
    if not moved.any():
        return Shift(0.0, 0.0)
    errors = gap[moved].norm() / setting.standard_error[moved].norm()  # a mean of ratios has heavy tails
    spread = math.sqrt(setting.variance)
    return Shift(errors.item(), (gap.square().reshape(len(gap), -1).sum(1).mean().sqrt() / spread).item())
