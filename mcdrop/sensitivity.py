"""Sensitivity: which sites carry the variance of a prediction.

The variance is measured with all sites on, with each alone on, and with each alone off. A site has the same
masks in every setting (common random numbers), so differences between settings are those of the sites.
Standard errors are from leaving out one block of 16 samples at a time (the jackknife): samples of a block
are stratified, and blocks are independent.

Alphabet: S samples in B blocks, N rows, K sites, ... further dimensions.
"""

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor, nn

from mcdrop.blockmoments import BlockMoments, block_moments
from mcdrop.engine.inputs import Call
from mcdrop.engine.masks import BLOCK, is_stratified
from mcdrop.engine.planning import Planned
from mcdrop.engine.sampling import Draw, block_groups, tiles
from mcdrop.engine.sites import Site, SiteKey
from mcdrop.engine.switching import switched, switched_blocks
from mcdrop.engine.tracing import Trace, trace
from mcdrop.errors import DomainError
from mcdrop.moments import Moments, RunningMoments, each_block
from mcdrop.prediction import deterministic_output, picked
from mcdrop.predictive import Task

__all__ = ["Estimate", "Sensitivity", "Setting", "SiteSensitivity", "measure_sensitivity"]

_LEAST_BLOCKS: Final = 2


@dataclass(frozen=True)
class Estimate:
    """A number with its Monte Carlo error.

    Attributes:
        value: The number; NaN where a share is of nothing.
        standard_error: Of the value, over the masks; the rows are taken as they are.
    """

    value: float
    standard_error: float

    def __str__(self) -> str:
        return f"{self.value:.3g} ± {self.standard_error:.1g}"


@dataclass(frozen=True, eq=False)
class Setting:
    """What comes out with some sites on.

    Attributes:
        variance: Over the samples: summed over a row's outputs, mean over the rows.
        left_out: (B,) the same without each of the blocks.
        mean: (N, ...) over the samples.
        standard_error: (N, ...) of the mean.
    """

    variance: float
    left_out: Tensor
    mean: Tensor
    standard_error: Tensor

    @property
    def estimate(self) -> Estimate:
        """The variance with its error."""
        return Estimate(self.variance, _jackknife(self.left_out))


@dataclass(frozen=True, eq=False, repr=False)
class SiteSensitivity:
    """One site.

    Attributes:
        site: Which.
        alone: Variance with this site on and all others off.
        without: Variance with this site off and all others on.
        share: `alone` as a share of the variance with all on. Shares add up to less than 1 where sites
            strengthen each other, and to more where one hides what another does.
        lost: The share of the variance that goes when this site is off.
        setting: What comes out with this site alone on.
    """

    site: Site
    alone: Estimate
    without: Estimate
    share: Estimate
    lost: Estimate
    setting: Setting

    def __repr__(self) -> str:
        return f"{self.site.name}: alone {self.share} of the variance, lost without it {self.lost}"


@dataclass(frozen=True, eq=False, repr=False)
class Sensitivity:
    """Which sites carry the variance.

    Attributes:
        sites: In the order in which they fire.
        total: Variance with all sites on, in squared units of the output (of probabilities, if the task is
            to predict them): summed over a row's outputs, mean over the rows.
        setting: What comes out with all on.
        deterministic: (N, ...) what comes out with all off.
        n_samples: S, of whole blocks.
        seed: Of the masks.
    """

    sites: tuple[SiteSensitivity, ...]
    total: Estimate
    setting: Setting
    deterministic: Tensor
    n_samples: int
    seed: int

    def ranked(self) -> tuple[SiteSensitivity, ...]:
        """The sites, that with the largest share first."""
        return tuple(sorted(self.sites, key=lambda each: -each.alone.value))

    def __repr__(self) -> str:
        lines = [f"variance {self.total} with all sites on; {self.n_samples} samples, seed {self.seed}"]
        return "\n".join([*lines, *map(repr, self.sites)])


def measure_sensitivity(
    model: nn.Module, planned: Planned, call: Call, draw: Draw, task: Task | None
) -> Sensitivity:
    """The variance with all sites on, with each alone on, and with each alone off.

    Args:
        model: The user's; left as it is.
        planned: What is known of it for inputs like these.
        call: N rows.
        draw: The masks; S is rounded up to whole blocks of 16.
        task: What the outputs mean; None to take them as they are.

    Raises:
        DomainError: If there are fewer than 32 samples: one block has no standard error.
    """
    settings = _Settings(model, trace(model, call), planned, call, draw, task=task)
    keys = [site.key for site in settings.traced.sites]
    everything = settings.measured(keys)
    found = []
    for site in settings.traced.sites:
        alone = settings.measured([site.key])
        without = settings.measured([key for key in keys if key != site.key])
        found.append(_site(site, everything, alone, without))
    return Sensitivity(
        tuple(found),
        everything.estimate,
        everything,
        settings.deterministic(),
        settings.blocks * BLOCK,
        draw.seed,
    )


def _site(site: Site, everything: Setting, alone: Setting, without: Setting) -> SiteSensitivity:
    share = alone.left_out / everything.left_out
    lost = 1 - without.left_out / everything.left_out
    total = everything.variance or math.nan
    return SiteSensitivity(
        site,
        alone.estimate,
        without.estimate,
        Estimate(alone.variance / total, _jackknife(share)),
        Estimate(1 - without.variance / total, _jackknife(lost)),
        alone,
    )


def _jackknife(left_out: Tensor) -> float:
    """Standard error of a statistic, from its values without each block.

    Source:
        Efron and Stein 1981, "The jackknife estimate of variance", Annals of Statistics 9(3).
    """
    spread = (left_out - left_out.mean()).square().sum().item()
    return math.sqrt(spread * (len(left_out) - 1) / len(left_out))


class _Settings:
    """Measures one setting after the other, all with the same masks."""

    def __init__(
        self, model: nn.Module, traced: Trace, planned: Planned, call: Call, draw: Draw, *, task: Task | None
    ) -> None:
        self.blocks = math.ceil(draw.n_samples / BLOCK)
        if self.blocks < _LEAST_BLOCKS:
            raise DomainError(
                f"n_samples must be at least {_LEAST_BLOCKS * BLOCK} for standard errors (two blocks of "
                f"{BLOCK}), got {draw.n_samples}"
            )
        self.traced = traced
        self._model, self._call, self._draw, self._task = model, call, draw, task
        self._plan = planned.fast(call.rows)
        self._tiles = list(tiles(self._plan, call))

    def deterministic(self) -> Tensor:
        """(N, ...) what comes out in eval mode."""
        raw = deterministic_output(self._plan, self._call, self._task)
        return self._law(raw.unsqueeze(0))[0]

    def measured(self, on: Sequence[SiteKey]) -> Setting:
        """What comes out with the sites `on`."""
        if not on:
            none = self.deterministic()
            left_out = torch.zeros(self.blocks, dtype=torch.float64, device="cpu")
            return Setting(0.0, left_out, none, torch.zeros_like(none))
        parts = [_of_tile(moments, self._draw.rng) for moments in self._moments(on)]
        mean = torch.cat([part.mean for part in parts])
        sums = sum(part.left_out for part in parts) / len(mean)
        return Setting(
            sum(part.variance for part in parts) / len(mean),
            torch.as_tensor(sums, device="cpu"),
            mean,
            torch.cat([part.standard_error for part in parts]),
        )

    def _moments(self, on: Collection[SiteKey]) -> list[BlockMoments]:
        """For each tile of rows: the moments of each block."""
        setting = switched(self._model, self.traced, self._call, on)
        found = []
        for rows in self._tiles:
            moments: list[BlockMoments] = []
            for group in block_groups(self._plan, self.blocks * BLOCK):
                outputs = switched_blocks(
                    setting, self._plan, self._call, self._draw, rows=rows, blocks=group
                )
                raw = picked(self._task, self._plan.network, outputs)
                moments.append(block_moments(self._law(raw)))
            found.append(BlockMoments.chain(moments))
        return found

    def _law(self, raw: Tensor) -> Tensor:
        return raw.to(torch.float64) if self._task is None else self._task.of_mean(self._task.law(raw))


def _of_tile(blocks: BlockMoments, rng: str) -> Setting:
    """The same for the rows of a tile, but with sums over the rows in place of means."""
    moments = RunningMoments.of(blocks, stratified=is_stratified(rng))
    total = moments.total()
    return Setting(
        total.variance.sum().item(),
        torch.stack([_without(block, total).variance.sum() for block in each_block(blocks)]).cpu(),
        total.mean,
        moments.standard_error(),
    )


def _without(block: Moments, total: Moments) -> Moments:
    """The moments of all other blocks: `moments.merge` solved for its first argument."""
    count = total.count - block.count
    gap = block.mean - total.mean
    m2 = total.m2 - block.m2 - gap * gap * (total.count * block.count / count)
    return Moments(count, total.mean - gap * (block.count / count), m2.clamp(min=0))
