"""Checks that need no sample: of a model as it stands, and of the reason for which it cannot be sampled."""

from collections.abc import Iterator
from typing import Final

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from mcdrop.engine.admission import closed_parts
from mcdrop.errors import McdropError, NothingRandomError
from mcdrop.inspection.finding import CATALOGUE, Finding, Severity
from mcdrop.rates import rates_of

__all__ = ["refusal", "standing"]

_SHOWN: Final = 5


def standing(model: nn.Module) -> Iterator[Finding]:
    """What is wrong with a model as it stands: modules in train mode."""
    training = [path for path, module in model.named_modules() if module.training]
    if not training:
        return
    norms = [module for module in model.modules() if isinstance(module, _BatchNorm) and module.training]
    means = f"; {len(norms)} batch norms would take the statistics of each batch" if norms else ""
    yield Finding(
        "MC015",
        CATALOGUE["MC015"].severity,
        training[0],
        f"{len(training)} of {len(list(model.modules()))} modules are in train mode{means}; mcdrop samples a "
        "view of its own, but whoever calls the model itself gets a random answer",
        {"modules": len(training), "batch_norms": len(norms)},
    )


def silent(model: nn.Module, *, alone: bool) -> Iterator[Finding]:
    """Rates of 0.

    Args:
        model: The user's.
        alone: Whether nothing else draws either.
    """
    known = [rate for rate in rates_of(model) if _acts(model, rate.path)]
    zero = [rate for rate in known if rate.p == 0]
    if zero:
        names = ", ".join(rate.name for rate in zero[:_SHOWN]) + (", ..." if len(zero) > _SHOWN else "")
        yield Finding(
            "MC002",
            Severity.ERROR if alone else CATALOGUE["MC002"].severity,
            zero[0].path,
            f"{len(zero)} of {len(known)} rates are 0: {names}; these layers add no variance",
            {"zero": len(zero), "rates": len(known)},
        )


def _acts(model: nn.Module, path: str) -> bool:
    """Whether a rate can act: not where a model only notes what it was made with, nor behind one layer."""
    module = model.get_submodule(path)
    if isinstance(module, nn.RNNBase):
        return module.num_layers > 1
    return bool(path) or not list(model.children())


def refusal(model: nn.Module, error: McdropError, *, sites: int) -> Iterator[Finding]:
    """Why a model cannot be sampled, in the words of the refusal.

    Args:
        model: The user's.
        error: What was raised.
        sites: How many random calls were found all the same.
    """
    code = _code(model, error, sites)
    yield Finding(code, CATALOGUE[code].severity, _closed_part(model) or "", str(error), {"sites": sites})
    if code == "MC001":
        yield from silent(model, alone=True)


def _code(model: nn.Module, error: McdropError, sites: int) -> str:
    if isinstance(error, NothingRandomError):
        return "MC005" if sites else "MC001"
    return "MC003" if _closed_part(model) is None else "MC004"


def _closed_part(model: nn.Module) -> str | None:
    """Path of the outermost part that cannot be seen into; None if there is none."""
    return next((path for path, _ in closed_parts(model)), None)
