"""The global generators: put back, and watched."""

import random
from collections.abc import Callable

import numpy as np
import pytest
import torch

from mcdrop.engine.generators import generators_restored, moved_generators

draws = pytest.mark.parametrize(
    ("draw", "name"),
    [
        (lambda: torch.rand(1).item(), "torch's generator"),
        (lambda: float(np.random.rand()), "NumPy's generator"),  # noqa: NPY002  the global one is meant
        (random.random, "Python's random"),
    ],
)


@draws
def test_a_draw_inside_is_undone(draw: Callable[[], float], name: str) -> None:
    with generators_restored():
        inside = draw()
    assert draw() == inside, name


def draw_and_fail(draw: Callable[[], float], drawn: list[float]) -> None:
    with generators_restored():
        drawn.append(draw())
        raise ZeroDivisionError


@draws
def test_a_draw_is_undone_when_something_fails(draw: Callable[[], float], name: str) -> None:
    drawn: list[float] = []
    with pytest.raises(ZeroDivisionError):
        draw_and_fail(draw, drawn)
    assert drawn == [draw()], name


@draws
def test_a_generator_that_was_drawn_from_is_named(draw: Callable[[], float], name: str) -> None:
    with moved_generators() as moved:
        draw()
    assert moved == [name]


def test_without_a_draw_none_is_named() -> None:
    with moved_generators() as moved:
        torch.rand(3, generator=torch.Generator())
        np.random.default_rng(0).random()
    assert moved == []
