"""`inspect`: what in a model is random, what of the variance each site carries, and what is wrong."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from mcdrop.engine.inputs import BatchAxis
from mcdrop.engine.philox import check_seed
from mcdrop.engine.sites import Site
from mcdrop.engine.tracing import trace
from mcdrop.errors import DomainError, McdropError, NothingRandomError, OptionError, UnsupportedModelError
from mcdrop.inspection import measured, structure
from mcdrop.inspection.before_sampling import refusal, standing
from mcdrop.inspection.examination import Asked, SiteExamination, examine
from mcdrop.inspection.finding import Finding, Severity
from mcdrop.inspection.roles import role
from mcdrop.mcdropout import MCDropout, like
from mcdrop.sensitivity import Estimate
from mcdrop.settings import SampleCount

__all__ = ["InspectedSite", "Inspection", "inspect"]

_NOTHING: Final = Estimate(0.0, 0.0)


@dataclass(frozen=True)
class InspectedSite:
    """One site.

    Attributes:
        site: Name, module, kind, rate and mask.
        role: What it stands at: `input`, `hidden`, `convolution`, `transformer`, `recurrent` or `depth`.
        share: Of the variance, that it carries alone.
        lost: Of the variance, that goes without it.
        alone: The variance with it alone on.
        shift_errors: Of the mean with it alone on from the deterministic pass, in Monte Carlo errors.
        shift_stds: The same in standard deviations of the samples.
        layer: Type of the layer of `mcdrop.nn` that makes the call; None if another makes it.
        p: The rate, of the call or of that layer; None where neither has one.
    """

    site: Site
    role: str
    share: Estimate
    lost: Estimate
    alone: Estimate
    shift_errors: float
    shift_stds: float
    layer: str | None
    p: float | None

    @property
    def name(self) -> str:
        """Module path and call index."""
        return self.site.name

    @property
    def module(self) -> str:
        """Path of the module that makes the call."""
        return self.site.module

    @property
    def kind(self) -> str:
        """What makes the call."""
        return self.site.kind

    @property
    def title(self) -> str:
        """What makes the call, for people: `DropBlock2d (rand)`."""
        return self.kind if self.layer is None else f"{self.layer} ({self.kind})"

    @property
    def row_shape(self) -> tuple[int, ...]:
        """Shape of one row's part of a mask; of the whole mask if rows share it."""
        return self.site.row_shape(self.site.shape)


@dataclass(frozen=True)
class Inspection:
    """What the doctor found.

    Attributes:
        sites: In the order in which the data meet them; empty if the model cannot be sampled.
        findings: The gravest first.
        total: The variance with all sites on: summed over a row's outputs, mean over the rows.
        shift_errors: Of the mean with all on from the deterministic pass, in Monte Carlo errors.
        shift_stds: The same in standard deviations of the samples.
        strategy: How the model is sampled; None if it is not.
        n_samples: That were asked about.
        seed: Of the masks.
        rows: That were given.
        measured_rows: The first of them, on which the sites were measured.
        measured_samples: With which they were.
    """

    sites: tuple[InspectedSite, ...]
    findings: tuple[Finding, ...]
    total: Estimate
    shift_errors: float
    shift_stds: float
    strategy: str | None
    n_samples: int
    seed: int
    rows: int
    measured_rows: int
    measured_samples: int

    def at_least(self, severity: str) -> tuple[Finding, ...]:
        """The findings of that severity and above.

        Args:
            severity: `hint`, `warning` or `error`.

        Raises:
            OptionError: If there is no such severity.
        """
        words = {each.word: each for each in Severity}
        if severity not in words:
            raise OptionError(f"severity must be one of {', '.join(words)}, got {severity!r}")
        return tuple(finding for finding in self.findings if finding.severity >= words[severity])

    def to_dict(self) -> dict[str, Any]:
        """Everything, as JSON takes it; what is not a number is None."""
        return {
            "sites": [_site_dict(each) for each in self.sites],
            "findings": [each.to_dict() for each in self.findings],
            "variance": _estimate_dict(self.total),
            "shift_errors": self.shift_errors,
            "shift_stds": self.shift_stds,
            "strategy": self.strategy,
            "n_samples": self.n_samples,
            "seed": self.seed,
            "rows": self.rows,
            "measured_rows": self.measured_rows,
            "measured_samples": self.measured_samples,
        }

    def __str__(self) -> str:
        return "\n".join([*map(_site_line, self.sites), *map(_finding_line, self.findings)])


def inspect(
    model: nn.Module | MCDropout,
    *inputs: Any,
    y: Tensor | NDArray[Any] | None = None,
    task: str | None = None,
    n_samples: int | None = None,
    seed: int | None = None,
    masks: str = "consistent",
    output: str = "logits",
    class_axis: int | None = None,
    batch_axis: BatchAxis = 0,
    precision: float = 0.25,
    model_kwargs: Mapping[str, Any] | None = None,
    **model_inputs: Any,
) -> Inspection:
    """List what is random in a model, measure what each site carries, and say what is wrong.

    The model is left as it is. One that cannot be sampled gives a finding that says why.

    Args:
        model: Any module; or an `MCDropout`, whose task, masks, output and axes then count.
        *inputs: What the model takes: some typical rows. Sites are measured on the first 32.
        y: (N, ...) outcomes of the rows, if the checks of what was learned are wanted.
        task: What the outputs mean; without it they are taken as they are.
        n_samples: S that will be used, at least 2; by default that of the `MCDropout`, or 128.
        seed: Of the masks; by default that of the `MCDropout`, or 0.
        masks: `consistent` or `independent`.
        output: What a classifier returns.
        class_axis: The axis of the classes, 1 if nothing is said; -1 for (N, T, C).
        batch_axis: The axis of the rows; None for inputs that are not split, such as a graph.
        precision: The Monte Carlo error of the mean that is asked for, in standard deviations of the samples.
        model_kwargs: Inputs by name whose names collide with those above.
        **model_inputs: Inputs by name.

    Raises:
        DomainError: If `precision` is not positive, or an option lies outside its range.
        ShapeError: If there is not an outcome for each row.
    """
    if not precision > 0:
        raise DomainError(f"precision must be positive, got {precision}")
    if isinstance(model, MCDropout):
        mc = model if model.task is not None else like(model, model.model, task="raw")
    else:
        options: dict[str, Any] = {"masks": masks, "output": output, "class_axis": class_axis}
        mc = MCDropout(model, task=task or "raw", batch_axis=batch_axis, **options)
    outcomes = (
        None
        if y is None
        else torch.as_tensor(np.asarray(y) if not isinstance(y, Tensor) else y, device="cpu")
    )
    asked = Asked(
        mc,
        inputs,
        {**model_inputs, **(model_kwargs or {})},
        outcomes,
        precision,
        SampleCount.of(mc.n_samples if n_samples is None else n_samples, least=2).most,
        mc.seed if seed is None else check_seed(seed),
    )
    return _inspected(asked)


def _inspected(asked: Asked) -> Inspection:
    mc, found = asked.mc, list(standing(asked.mc.model))
    asked_for = {"n_samples": asked.n_samples, "seed": asked.seed}
    try:
        mc.trace(*asked.inputs, model_kwargs=asked.named)
    except (NothingRandomError, UnsupportedModelError) as error:
        found += refusal(mc.model, error, sites=_sites_all_the_same(asked))
        nothing = {"rows": asked.call.rows, "measured_rows": 0, "measured_samples": 0}
        return Inspection((), _sorted(found), _NOTHING, 0.0, 0.0, None, **nothing, **asked_for)
    seen = examine(asked, tuned=_is_tuned(mc))
    for check in (*structure.CHECKS, *measured.CHECKS):
        found += check(seen)
    return Inspection(
        sites=tuple(_site(each, mc.model) for each in seen.sites),
        findings=_sorted(found),
        total=seen.sensitivity.total,
        shift_errors=seen.shift.errors,
        shift_stds=seen.shift.stds,
        strategy=mc.plan.fast_strategy,
        rows=len(seen.predictive),
        measured_rows=len(seen.sensitivity.deterministic),
        measured_samples=seen.sensitivity.n_samples,
        **asked_for,
    )


def _sites_all_the_same(asked: Asked) -> int:
    """How many random calls a model makes that cannot be sampled; 0 if that cannot be said."""
    try:
        return len(trace(asked.mc.model, asked.call).sites)
    except McdropError:
        return 0


def _is_tuned(mc: MCDropout) -> bool:
    recorded = mc.manifest is not None and bool(getattr(mc.manifest, "tuning", None))
    return recorded or hasattr(mc.model, "tuned_rates")


def _sorted(found: list[Finding]) -> tuple[Finding, ...]:
    return tuple(sorted(found, key=lambda finding: (-finding.severity, finding.code)))


def _site(each: SiteExamination, model: nn.Module) -> InspectedSite:
    carries = each.carries
    return InspectedSite(
        each.site,
        role(each.site, each.around, model),
        carries.share,
        carries.lost,
        carries.alone,
        each.shift.errors,
        each.shift.stds,
        each.layer,
        each.p,
    )


def _site_dict(each: InspectedSite) -> dict[str, Any]:
    return {
        "name": each.name,
        "module": each.module,
        "kind": each.kind,
        "layer": each.layer,
        "role": each.role,
        "p": each.p,
        "row_shape": each.row_shape,
        "row_axis": each.site.row_axis,
        "share": _estimate_dict(each.share),
        "lost": _estimate_dict(each.lost),
        "variance": _estimate_dict(each.alone),
        "shift_errors": each.shift_errors,
        "shift_stds": each.shift_stds,
    }


def _estimate_dict(estimate: Estimate) -> dict[str, float | None]:
    pair = {"value": estimate.value, "standard_error": estimate.standard_error}
    return {name: number if np.isfinite(number) else None for name, number in pair.items()}


def _site_line(each: InspectedSite) -> str:
    rate = "" if each.p is None else f" p={each.p:g}"
    return f"{each.name}  {each.title}{rate}  alone {each.share.value:.0%} of the variance"


def _finding_line(finding: Finding) -> str:
    where = finding.module or "(model)"
    return f"{finding.severity.word} {finding.code} {where}: {finding.title}. {finding.message}"
