"""A network of which only some sites draw."""

import pytest
import torch

from mcdrop import MCDropout
from mcdrop.engine.switching import Switched, switched
from mcdrop.engine.tracing import trace
from tests.support.models import case


def settings(name: str) -> tuple[list[Switched], Switched]:
    """With each site alone on, and with none."""
    model, inputs = case(name).make()
    mc = MCDropout(model, batch_axis=case(name).batch_axis)
    call = mc.as_call(*inputs)
    traced = trace(model, call)
    each = [switched(model, traced, call, [site.key]) for site in traced.sites]
    return each, switched(model, traced, call, [])


@pytest.mark.parametrize("name", ["encoder", "attention", "DropPath", "nn.AlphaDropout", "bernoulli_"])
def test_what_is_off_does_not_fire(name: str) -> None:
    each, none = settings(name)
    assert [len(setting.network.sites) for setting in each] == [1] * len(each)
    assert none.network.sites == {}


@pytest.mark.parametrize("name", ["LSTM, three layers, both directions", "rand, joined"])
def test_a_site_whose_module_makes_another_call_is_held_in_the_middle_of_its_law(name: str) -> None:
    each, none = settings(name)
    assert [(len(setting.network.sites), len(setting.off)) for setting in each] == [(2, 1), (2, 1)]
    assert none.network.sites == {}


def test_a_child_that_only_its_parent_lets_draw_still_draws() -> None:
    (alone,), _ = settings("a parent that guards its child")
    assert [key.module for key in alone.network.sites] == ["drop"]
    assert not torch.is_inference_mode_enabled()
