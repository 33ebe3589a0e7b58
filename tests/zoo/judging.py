"""The judge: is what mcdrop samples right for a model, or else does it refuse the model and say why?

Three proofs. The native oracle: given the draws that the model made by itself, the replayed model returns the
same, and every native draw is explained. The loop over single rows: each row has in a batch what it has
alone, for masks that rows share and for masks of their own. Brute force: mean and spread of passes of a copy
of the model in train mode, norm layers in eval mode.
"""

import copy
import math
from collections import Counter
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase

from mcdrop import MCDropout
from mcdrop.engine.oracle import largest_difference
from mcdrop.engine.planning import Planned
from mcdrop.errors import McdropError
from tests.support.replaying import by_row, consistent, independent, samples
from tests.zoo.specimens import Inputs, Specimen, built, first_tensor

__all__ = ["BRUTE", "OURS", "Measured", "Verdict", "judged"]

OURS: Final = 256
_COPIES: Final = 16
_PASSES: Final = 8
BRUTE: Final = _COPIES * _PASSES
_COUNT: Final = 3

ORACLE_BAR: Final = 1e-5
ROWS_BAR: Final = 1e-4
Z_BAR: Final = 4.0
RATIO_BAR: Final = 1.5


@dataclass(frozen=True)
class Measured:
    """What the proofs found.

    Attributes:
        kinds: How many sites of each kind there are.
        strategy: The one that was chosen.
        native: How many draws the model makes by itself.
        explained: How many of them our sites used.
        oracle: Difference in the native oracle; None where layouts differ and only the count is compared.
        rows: Largest difference from the loop over single rows.
        z: Root mean square of (mean - brute-force mean) / its standard error; about 1 or below if right.
        ratio: Mean standard deviation over that of brute force.
    """

    kinds: dict[str, int]
    strategy: str
    native: int
    explained: int
    oracle: float | None
    rows: float
    z: float
    ratio: float

    @property
    def is_right(self) -> bool:
        """Whether every proof holds."""
        return (
            self.native == self.explained > 0
            and (self.oracle or 0.0) <= ORACLE_BAR
            and self.rows <= ROWS_BAR
            and self.z <= Z_BAR
            and 1 / RATIO_BAR <= self.ratio <= RATIO_BAR
        )


@dataclass(frozen=True)
class Verdict:
    """Of one specimen: what was measured, or why it was refused, or how it crashed."""

    specimen: Specimen
    measured: Measured | None = None
    refused: str | None = None
    crashed: str | None = None

    @property
    def is_good(self) -> bool:
        """Right, or refused by name."""
        return self.refused is not None or (self.measured is not None and self.measured.is_right)


def judged(specimen: Specimen) -> Verdict:
    """The verdict on a specimen."""
    model, inputs = built(specimen)
    try:
        return Verdict(specimen, measured=_measure(specimen, model, inputs))
    except McdropError as error:
        return Verdict(specimen, refused=str(error))
    except Exception as error:  # noqa: BLE001 - a crash is a finding
        return Verdict(specimen, crashed=f"{type(error).__name__}: {error}")


def _measure(specimen: Specimen, model: nn.Module, inputs: Inputs) -> Measured:
    mc = MCDropout(model)
    mc.trace(model_kwargs=inputs)
    plan = mc.plan
    assert plan.verification is not None
    oracle = plan.verification.oracle
    ours = first_tensor(mc.sample(model_kwargs=inputs, n_samples=OURS))
    shared = any(site.row_axis is None for site in mc.sites)
    trained = _in_train_mode(model)
    specimen.brute_force(trained)
    z, ratio = _against_brute_force(ours, _brute_force(trained, inputs, copies=1 if shared else _COPIES))
    return Measured(
        kinds=dict(Counter(site.kind for site in mc.sites)),
        strategy=plan.fast_strategy,
        native=len(oracle.native_draws),
        explained=oracle.explained,
        oracle=oracle.difference,
        rows=_difference_by_rows(plan),
        z=z,
        ratio=ratio,
    )


def _difference_by_rows(plan: Planned) -> float:
    """Largest difference of any row in a batch from what it is alone."""
    network, call = plan.network, plan.example
    return max(
        largest_difference(
            by_row(network, call, keys(call), _COUNT),
            samples(plan.fast_strategy, network, call, keys(call), _COUNT),
        )
        for keys in (consistent, independent)
    )


def _in_train_mode(model: nn.Module) -> nn.Module:
    """A copy of a model, in train mode but for its norm layers."""
    trained = copy.deepcopy(model).train()
    for module in trained.modules():
        if isinstance(module, _NormBase):
            module.eval()
    return trained


def _brute_force(trained: nn.Module, inputs: Inputs, *, copies: int) -> Tensor:
    """Samples (S, N, ...) of passes, each over some copies of the rows."""
    repeated = {name: torch.cat([x] * copies) for name, x in inputs.items()}
    with torch.no_grad():
        passes = [
            first_tensor(trained(**{name: x.clone() for name, x in repeated.items()}))
            for _ in range(BRUTE // copies)
        ]
    return torch.cat([outputs.unflatten(0, (copies, -1)) for outputs in passes])


def _against_brute_force(ours: Tensor, brute: Tensor) -> tuple[float, float]:
    """z of the means, and ratio of the spreads."""
    ours, brute = ours.double(), brute.double()
    error = (ours.var(0) / len(ours) + brute.var(0) / len(brute)).sqrt()
    moving = error > error.max() * 1e-3  # what never moves has no standard error
    z = ((ours.mean(0) - brute.mean(0)) / error)[moving].square().mean().sqrt()
    ratio = math.sqrt(ours.var(0)[moving].mean() / brute.var(0)[moving].mean())
    return float(z), ratio
