"""The one-standard-error rule, on losses made by hand; and the searches, on functions."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from mcdrop import MCDropout
from mcdrop.tuning.choice import chosen_among
from mcdrop.tuning.held_out import AtHand
from mcdrop.tuning.search import SEARCHES
from mcdrop.tuning.trial import Result, Trial, members
from tests.support.networks import classifier

Y = torch.zeros(4)
BASE = torch.tensor([1.0, 2.0, 3.0, 4.0])


def trial() -> Trial:
    """Of a model with the rates 0.3 and 0.5 in one group."""
    mc = MCDropout(classifier(p=0.3), task="classification")
    return Trial(mc, AtHand((), {}, Y), {"*": members(mc.model, "*")}, "nll", None, None)


def results(**gaps: Tensor) -> list[Result]:
    """Losses that differ from those of the model as it was; names are rates in percent."""
    tried = [Result({"*": int(name[1:]) / 100}, BASE + gap, None) for name, gap in gaps.items()]
    return [Result({}, BASE, None), *tried]


def test_a_candidate_within_one_error_of_the_paired_difference_is_good_enough() -> None:
    # behind by 0.5 with a standard error of 1 / sqrt(4) * std(0, 0, 1, 1) = 0.289: not good enough
    found = chosen_among(trial(), results(p10=torch.tensor([-1.0, -1.0, 0.0, 0.0])))
    assert found.best.rates == {"*": 0.1}
    assert found.candidates[0].behind.value == pytest.approx(0.5)
    assert found.candidates[0].behind.standard_error == pytest.approx(0.288675, rel=1e-5)
    assert found.chosen is found.best
    # behind by 0.25 with a standard error of 0.479: good enough, and nearer to the rates of training
    found = chosen_among(trial(), results(p10=torch.tensor([-1.0, -1.0, 0.0, 1.0])))
    assert found.best.rates == {"*": 0.1}
    assert found.chosen is found.candidates[0]


def test_of_those_that_are_good_enough_the_nearest_to_training_is_chosen() -> None:
    better = torch.tensor([-1.0, -1.1, -0.9, -1.0])
    noisy = better + torch.tensor([0.2, -0.15, 0.1, -0.1])
    found = chosen_among(trial(), results(p10=better, p40=noisy, p90=noisy))
    assert [each.distance for each in found.candidates] == pytest.approx([0, 0.3, 0.1, 0.5])
    assert [each.good_enough for each in found.candidates] == [False, True, True, True]
    assert found.chosen.rates == {"*": 0.4}


def test_a_loss_that_is_no_number_or_infinite_is_never_chosen() -> None:
    for value in (math.nan, math.inf):
        found = chosen_among(trial(), results(p10=torch.tensor([value, 0.0, 0.0, 0.0])))
        assert found.best is found.candidates[0]
        assert not found.candidates[1].good_enough


@given(st.floats(0.05, 0.55))
def test_golden_section_comes_near_the_lowest_point(lowest: float) -> None:
    tried: list[float] = []

    def loss(p: float) -> float:
        tried.append(p)
        return (p - lowest) ** 2

    found = SEARCHES["golden"](loss, [0.01, 0.6])
    assert abs(found - lowest) < 0.59 * 0.618**6  # half of the bracket that is left, and more
    assert len(tried) == 8
    assert SEARCHES["grid"](loss, [0.1, lowest, 0.6]) in (0.1, lowest, 0.6)


def test_the_grid_gives_the_lowest() -> None:
    assert SEARCHES["grid"](lambda p: (p - 0.2) ** 2, [0.1, 0.2, 0.3]) == 0.2
