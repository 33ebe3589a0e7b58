"""Rates: what a model's dropout is set to, and a model like it with other rates.

A rate is a number between 0 and 1 that a module keeps as its attribute `p`, or under a name with `drop` in
it (`dropout`, `drop_prob`, `attention_dropout`, ...). Rates written as constants into a call of `F.dropout`,
and learned ones, are not attributes and stay as they are.
"""

from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Final, NamedTuple

from torch import nn

from mcdrop.engine.view import private_view
from mcdrop.errors import OptionError
from mcdrop.nn.rate import checked_rate
from mcdrop.patterns import no_match

__all__ = ["Rate", "rates_meant", "rates_of", "with_rates"]

_NOT_RATES: Final = ("n_", "num_")


class Rate(NamedTuple):
    """One rate of one module.

    Attributes:
        path: Of the module; empty for the model itself.
        attribute: Under which the module keeps it.
        p: Its value.
    """

    path: str
    attribute: str
    p: float

    @property
    def name(self) -> str:
        """Path and attribute, such as `encoder.layers.0.self_attn.dropout`."""
        return f"{self.path}.{self.attribute}" if self.path else self.attribute


def rates_of(model: nn.Module) -> list[Rate]:
    """Every rate that `with_rates` can change, in the order of the model."""
    return [
        Rate(path, attribute, float(value))
        for path, module in model.named_modules()
        for attribute, value in vars(module).items()
        if _is_rate(attribute, value)
    ]


def _is_rate(attribute: str, value: object) -> bool:
    named = attribute == "p" or ("drop" in attribute and not attribute.startswith(_NOT_RATES))
    return named and isinstance(value, float | int) and not isinstance(value, bool) and 0 <= value <= 1


def with_rates(model: nn.Module, rates: Mapping[str, float]) -> nn.Module:
    """The same network with other dropout rates.

    The model that is given keeps its rates. What is returned shares its weights and buffers, is in eval mode,
    and works in its place, in `MCDropout` as well. To undo, go on with the original.

    Args:
        model: Any model with dropout, that of `inject` among them.
        rates: New rates, 0 <= p < 1, by a module's path or by path and attribute; globs mean several
            (`"head.*": 0.2`, `"encoder.layers.*.self_attn": 0.1`). Where patterns overlap the later counts.

    Raises:
        OptionError: If a pattern matches no rate; those that come nearest are listed.
        InputError: If `model` is no module.
        DomainError: If a rate lies outside [0, 1).
        UnsupportedModelError: If no view of the model can be made.
    """
    checked = _checked(rates)
    view = private_view(model)
    for rate, p in [(rate, p) for pattern, p in checked.items() for rate in rates_meant(view, pattern)]:
        setattr(view.get_submodule(rate.path), rate.attribute, p)
    return view


def _checked(rates: object) -> dict[str, float]:
    if not isinstance(rates, Mapping) or not all(isinstance(pattern, str) for pattern in rates):
        raise OptionError(f"rates must be numbers by path, such as {{'head.*': 0.2}}, got {rates!r}")
    return {pattern: checked_rate(p) for pattern, p in rates.items()}


def rates_meant(model: nn.Module, pattern: str) -> list[Rate]:
    """The rates that a pattern of `with_rates` means.

    Raises:
        OptionError: If it matches none; those that come nearest are listed.
    """
    known = rates_of(model)
    meant = [rate for rate in known if fnmatchcase(rate.path, pattern) or fnmatchcase(rate.name, pattern)]
    if not meant:
        raise _no_rate(pattern, model, known)
    return meant


def _no_rate(pattern: str, model: nn.Module, known: list[Rate]) -> OptionError:
    if not known:
        return OptionError(
            f"{pattern!r} matches nothing: this {type(model).__name__} keeps no rate that could be set: a "
            "learned rate, or a constant in a call of F.dropout, stays as it is; if there is no dropout, "
            "mcdrop.inject puts some in"
        )
    named = [path for path, _ in model.named_modules() if fnmatchcase(path, pattern)]
    if not named:
        return no_match(repr(pattern), model, [rate.path or rate.attribute for rate in known])
    return OptionError(
        f"{pattern!r} matches {named[0] or 'the model itself'}, which keeps no rate that could be set: a "
        "learned rate, or a constant in a call of F.dropout, stays as it is; make it an attribute named p"
    )
