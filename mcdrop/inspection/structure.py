"""Checks of where the sites are and which rates they have."""

import math
from collections.abc import Iterator
from typing import Final

import torch
from torch import nn

from mcdrop.engine.switching import sites_fired, switched
from mcdrop.inspection.before_sampling import silent
from mcdrop.inspection.examination import Examination, SiteExamination
from mcdrop.inspection.finding import CATALOGUE, Finding
from mcdrop.inspection.roles import USUAL, is_on_features, role
from mcdrop.nn import GaussianDropout

__all__ = ["CHECKS"]

_SHIFT: Final = 0.05
"""A batch norm whose input's variance moves by less than this share is left alone."""
_SEVERAL: Final = 3


def _finding(code: str, each: SiteExamination, message: str, **evidence: float | int | str | None) -> Finding:
    return Finding(code, CATALOGUE[code].severity, each.site.module, message, each.evidence(**evidence))


def _zero_rates(seen: Examination) -> Iterator[Finding]:
    yield from silent(seen.model, alone=False)


def _before_batch_norm(seen: Examination) -> Iterator[Finding]:
    for each in seen.sites:
        shifted = [norm for norm in each.around.norms if abs(norm.ratio - 1) > _SHIFT]
        if shifted:
            worst = max(shifted, key=lambda norm: abs(norm.ratio - 1))
            yield _finding(
                "MC006",
                each,
                f"{each.name} (rate {_rate(each)}) changes the variance of what {worst.path} takes to "
                f"{worst.ratio:.2f} times that of the deterministic pass; {each.carried}",
                batch_norm=worst.path,
                variance_ratio=worst.ratio,
                batch_norms=len(shifted),
            )


def _unusual_rate(seen: Examination) -> Iterator[Finding]:
    """Of what was trained with: rates that were tuned, or put in later, have no usual ones."""
    for each in seen.sites:
        if seen.tuned or _is_injected(each, seen.model):
            continue
        at = role(each.site, each.around, seen.model)
        usual = USUAL.get(at)
        p = each.p
        if usual is not None and p is not None and not usual.low - 1e-9 <= p <= usual.high + 1e-9:
            yield _finding(
                "MC007",
                each,
                f"{each.name} has rate {p:g}; {usual.low:g} to {usual.high:g} is usual at {_at(at)} "
                f"({usual.source}); {each.carried}",
                role=at,
                usual_low=usual.low,
                usual_high=usual.high,
                source=usual.source,
            )


def _at(name: str) -> str:
    nouns = {"input": "the input", "hidden": "a hidden layer", "convolution": "a convolution"}
    return nouns.get(name, f"a {name} layer")


def _one_rate(seen: Examination) -> Iterator[Finding]:
    roles = {role(each.site, each.around, seen.model) for each in seen.sites if each.p is not None}
    rated = [each for each in seen.sites if each.p is not None]
    if seen.tuned or "transformer" in roles:
        return  # chosen on validation data; what the papers use
    if len(rated) < _SEVERAL or len(roles) < 2 or len({each.p for each in rated}) > 1:
        return
    ranked = sorted(rated, key=lambda each: -each.carries.share.value)
    most, least = ranked[0], ranked[-1]
    yield _finding(
        "MC008",
        most,
        f"{len(rated)} sites at layers of {len(roles)} kinds ({', '.join(sorted(roles))}) share the rate "
        f"{_rate(most)}; alone, {most.name} carries {most.carries.share.value:.0%} of the variance and "
        f"{least.name} {least.carries.share.value:.0%}",
        sites=len(rated),
        roles=len(roles),
        least=least.site.name,
        least_share=least.carries.share.value,
    )


def _on_output(seen: Examination) -> Iterator[Finding]:
    for each in seen.sites:
        if each.around.is_output or _is_last(each, seen.model):
            yield _finding(
                "MC009",
                each,
                f"no layer runs behind {each.name}: its masks multiply the output itself"
                f"{_zeroed(each)}; {each.carried}",
            )


def _zeroed(each: SiteExamination) -> str:
    drops = each.p is not None and each.layer != GaussianDropout.__name__
    return f", whose entries are 0 with probability {each.p:g}" if drops else ""


def _is_last(each: SiteExamination, model: nn.Module) -> bool:
    """Whether nothing with weights can come behind a site.

    A module that has weights and children may use them anywhere in its forward.
    """
    holders = [module for _, module in model.named_modules() if _holds(module) and list(module.children())]
    own = _holds(model.get_submodule(each.site.module), recurse=each.layer is not None)
    return each.around.output_moves and not each.around.behind and not holders and not own


def _holds(module: nn.Module, *, recurse: bool = False) -> bool:
    return next(module.parameters(recurse=recurse), None) is not None


def _elements_of_features(seen: Examination) -> Iterator[Finding]:
    for each in seen.sites:
        pixels = each.site.shape[2:]
        if (
            each.site.kind == "dropout"
            and pixels
            and max(pixels) > 1
            and is_on_features(each.site, each.around)
        ):
            correlation = _of_neighbours(each)
            said = "" if correlation is None else f"; neighbours correlate by {correlation:.2f}"
            yield _finding(
                "MC013",
                each,
                f"{each.name} drops single elements of feature maps of {' x '.join(map(str, pixels))}"
                f"{said}; {each.carried}",
                correlation=correlation,
            )


def _of_neighbours(each: SiteExamination) -> float | None:
    """Correlation of what is dropped with its neighbour along the last axis."""
    x = each.around.dropped
    if x is None or x.shape[-1] < 2:
        return None
    left, right = x[..., :-1].flatten().to(torch.float64), x[..., 1:].flatten().to(torch.float64)
    value = torch.corrcoef(torch.stack([left, right]))[0, 1].item()
    return None if math.isnan(value) else value  # NaN where the maps are constant


def _per_step(seen: Examination) -> Iterator[Finding]:
    for each in seen.sites:
        site = each.site
        if role(site, each.around, seen.model) == "recurrent" and _steps(each) > 1:
            yield _finding(
                "MC014",
                each,
                f"{each.name} ({site.kind}) draws another mask for each of {_steps(each)} time steps; "
                f"{each.carried}",
                steps=_steps(each),
            )


def _steps(each: SiteExamination) -> int:
    """Time steps that have masks of their own; a mask without an axis of time is one for all."""
    if len(each.site.shape) != 3:
        return 1
    time = 0 if each.site.row_axis is None else 1 - each.site.row_axis
    return each.site.shape[time]


def _injected(seen: Examination) -> Iterator[Finding]:
    injected = [each for each in seen.sites if _is_injected(each, seen.model)]
    if injected and not seen.tuned:
        share = sum(each.carries.share.value for each in injected)
        yield _finding(
            "MC017",
            injected[0],
            f"{len(injected)} sites were injected into a network that was not trained with them; alone they "
            f"carry {share:.0%} of the variance, whose size means nothing before the rates are tuned",
            sites=len(injected),
        )


def _is_injected(each: SiteExamination, model: nn.Module) -> bool:
    name = each.site.module.rpartition(".")[2]
    return name in ("injected_before", "injected_after") or hasattr(
        model.get_submodule(each.site.module), "injected_dropout"
    )


def _on_in_eval(seen: Examination) -> Iterator[Finding]:
    network = switched(seen.model, seen.traced, seen.asked.call, []).network
    network.view.eval()
    fired = sites_fired(network, seen.asked.call)
    for each in seen.sites:
        if each.site.key in fired:
            yield _finding(
                "MC018",
                each,
                f"{each.name} ({each.site.kind}, rate {_rate(each)}) draws in eval mode as well, so "
                f"that every plain call of the model is random too; {each.carried}",
                sites=len(fired),
            )


def _reaches_nothing(seen: Examination) -> Iterator[Finding]:
    for each in seen.sites:
        if not each.around.output_moves:
            yield _finding(
                "MC019",
                each,
                f"the output is the same whatever {each.name} draws, also at a rate of one half",
            )


def _rate(each: SiteExamination) -> str:
    return "none" if each.p is None else f"{each.p:g}"


CHECKS: Final = (
    _zero_rates,
    _before_batch_norm,
    _unusual_rate,
    _one_rate,
    _on_output,
    _elements_of_features,
    _per_step,
    _injected,
    _on_in_eval,
    _reaches_nothing,
)
