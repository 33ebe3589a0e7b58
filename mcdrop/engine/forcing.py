"""Draws to look at a network with: forced, so that every mask matters and every branch is taken."""

from dataclasses import replace
from typing import Final

import torch
from torch import Tensor

from mcdrop.engine.sites import Law

__all__ = ["at_one_half", "extreme", "middle", "spread"]

_EDGE: Final = 2.0**-20
"""How near forced uniforms are to 0 and 1: nearer than any rate in use, and their logarithms are finite."""
_MIDDLE: Final = {"noise": 1.0, "uniform": 0.5, "normal": 0.0}


def at_one_half(law: Law) -> Law:
    """The same law with its rate at one half; laws without a rate as they are."""
    return replace(law, p=0.5) if law.name in ("keep", "noise") and law.p < 1 else law


def spread(drawn: Tensor, law: Law) -> Tensor:
    """Uniforms pushed to the ends of [0, 1), so that comparison with any rate drops about half."""
    if law.name != "uniform":
        return drawn
    return torch.where(drawn < 0.5, drawn * 2 * _EDGE, 1 - (1 - drawn) * 2 * _EDGE)


def middle(law: Law, shape: tuple[int, ...]) -> Tensor:
    """The draw in the middle of a law: ones for dropout."""
    return torch.full(shape, _MIDDLE.get(law.name, 1 - law.p), dtype=law.dtype, device="cpu")


def extreme(law: Law, shape: tuple[int, ...], *, high: bool) -> Tensor:
    """A draw whose elements are all at one end of the law."""
    low_end, high_end = {
        "keep": (0.0, 1.0),
        "noise": (0.0, 1.0 / max(1 - law.p, _EDGE)),
        "uniform": (_EDGE, 1 - _EDGE),
        "normal": (-3.0, 3.0),
    }[law.name]
    return torch.full(shape, high_end if high else low_end, dtype=law.dtype, device="cpu")
