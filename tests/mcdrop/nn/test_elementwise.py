from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

import mcdrop
from mcdrop.errors import DomainError, InputError
from mcdrop.nn import Dropout, GaussianDropout, ScheduledDropout, linear_schedule
from tests.support.tolerances import FLOAT32


def test_the_worked_example_of_the_textbook() -> None:
    x, mask, p = torch.tensor([1.0, 2.0, 3.0, 4.0]), torch.tensor([1.0, 0.0, 1.0, 0.0]), 0.5
    assert (x * mask / (1 - p)).tolist() == [2.0, 0.0, 6.0, 0.0]
    with torch.random.fork_rng(devices=[]):
        for seed in range(200):
            torch.manual_seed(seed)
            layer = Dropout(p).train()
            dropped = layer(x)
            if dropped.ne(0).tolist() == [True, False, True, False]:
                assert dropped.tolist() == [2.0, 0.0, 6.0, 0.0]
                return
    pytest.fail("the mask 1, 0, 1, 0 was not drawn")


def test_the_original_form_leaves_what_it_keeps_and_scales_when_tested() -> None:
    x = torch.tensor([1.0, 2.0, 3.0, 4.0])
    layer = Dropout(0.25, inverted=False)
    dropped = layer.train()(x)
    torch.testing.assert_close(dropped[dropped != 0], x[dropped != 0], **FLOAT32)
    assert layer.eval()(x).tolist() == [0.75, 1.5, 2.25, 3.0]


@given(st.floats(0, 0.95), st.lists(st.floats(-10, 10), min_size=1, max_size=5))
def test_both_forms_agree_with_their_evaluation_in_expectation(p: float, values: list[float]) -> None:
    """The expectation itself, by summing over the two masks of each unit."""
    x = torch.tensor(values, dtype=torch.float64)
    for inverted, scale in ((True, 1 / (1 - p)), (False, 1.0)):
        mean = (1 - p) * (x * scale) + p * (x * 0)
        torch.testing.assert_close(mean, Dropout(p, inverted=inverted).eval()(x), rtol=1e-9, atol=1e-9)


def test_old_weights_give_the_same_answers_in_either_form_once_they_are_scaled() -> None:
    x, p = torch.randn(5, 4, generator=torch.Generator().manual_seed(0)), 0.4
    old, new = nn.Linear(4, 3), nn.Linear(4, 3)
    with torch.no_grad():
        new.weight.copy_(old.weight * (1 - p))
        new.bias.copy_(old.bias)
    before = nn.Sequential(Dropout(p, inverted=False), old)
    after = nn.Sequential(nn.Dropout(p), new)
    torch.testing.assert_close(before.eval()(x), after.eval()(x), **FLOAT32)
    samples = [mcdrop.MCDropout(model).sample(x) for model in (before, after)]
    torch.testing.assert_close(*samples, **FLOAT32)


def test_the_inverted_form_draws_what_torch_draws() -> None:
    x = torch.ones(4, 5)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        ours = Dropout(0.3).train()(x)
        torch.manual_seed(0)
        assert torch.equal(ours, nn.Dropout(0.3).train()(x))


def test_gaussian_noise_has_the_variance_of_dropout() -> None:
    x = torch.ones(200_000)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        variance = GaussianDropout(0.2).train()(x).var()
    assert variance == pytest.approx(0.25, abs=5 * 0.25 * (2 / 200_000) ** 0.5)


def test_a_schedule_is_followed_step_by_step_and_then_kept() -> None:
    layer = ScheduledDropout(linear_schedule(0.0, 0.4, 4))
    rates = [layer.p]
    for _ in range(6):
        layer.step()
        rates.append(layer.p)
    assert rates == pytest.approx([0.0, 0.1, 0.2, 0.3, 0.4, 0.4, 0.4])


def test_a_saved_schedule_goes_on_where_it_was() -> None:
    one, other = (nn.Sequential(ScheduledDropout(linear_schedule(0.0, 0.4, 4))) for _ in range(2))
    for _ in range(3):
        one[0].step()  # type: ignore[operator]
    other.load_state_dict(one.state_dict())
    assert other[0].p == one[0].p == pytest.approx(0.3)


@pytest.mark.parametrize("p", [1.0, -0.1, float("nan"), True, "half"])
def test_a_rate_outside_its_range_is_refused(p: Any) -> None:
    for make in (
        Dropout,
        GaussianDropout,
        lambda p: linear_schedule(0, p, 3),
        lambda p: linear_schedule(p, 0, 3),
    ):
        with pytest.raises(DomainError, match=r"must be a number in \[0, 1\), got"):
            make(p)


def test_a_schedule_that_leaves_the_range_is_refused_at_that_step() -> None:
    layer = ScheduledDropout(lambda step: step / 2)
    layer.step()
    with pytest.raises(DomainError, match=r"p must be a number in \[0, 1\), got 1.0"):
        layer.step()


def test_a_schedule_takes_at_least_one_step() -> None:
    with pytest.raises(DomainError, match="steps must be at least 1, got 0"):
        linear_schedule(0.0, 0.5, 0)


def test_a_schedule_must_be_a_function() -> None:
    with pytest.raises(InputError, match="schedule must be a function of the step, got float"):
        ScheduledDropout(0.5)  # type: ignore[arg-type]
