from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mcdrop.engine.interception.mode import Interception
from mcdrop.engine.interception.table import HANDLERS
from mcdrop.engine.maskcache import MaskCache
from mcdrop.engine.operators import draws, written_tensors
from mcdrop.engine.oracle import largest_difference, native_oracle
from mcdrop.engine.sites import Law
from tests.support.models import case
from tests.support.replaying import network_and_call, network_of_case
from tests.support.stochastic_modules import applied

X = torch.randn(4, 4, generator=torch.Generator().manual_seed(0))


def without_division(mode: Interception, input: Tensor, *, p: float, training: bool, **_: Any) -> Tensor:  # noqa: A002
    return input * mode.draw("dropout", Law("keep", p, input.dtype), input.shape) if training else input


def never_in_place(mode: Interception, input: Tensor, *, p: float, training: bool, **_: Any) -> Tensor:  # noqa: A002
    return input * mode.draw("dropout", Law("noise", p, input.dtype), input.shape) if training else input


@pytest.mark.parametrize("wrong", [without_division, never_in_place])
def test_a_wrong_formula_is_found(wrong: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    network, call = network_of_case(case("F.dropout in place, used twice"))
    monkeypatch.setitem(HANDLERS, F.dropout, wrong)
    assert (native_oracle(network, call).difference or 0) > 0.01


def test_a_draw_that_is_not_intercepted_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    network, call = network_and_call(
        nn.Sequential(nn.Dropout(0.3), nn.Linear(4, 4), nn.AlphaDropout(0.3)).eval(), X
    )
    monkeypatch.delitem(HANDLERS, F.alpha_dropout)
    result = native_oracle(network, call)
    assert result.explained == 1
    assert result.native_draws[1:] == ("bernoulli_",)


def test_a_mask_in_another_layout_is_not_compared_but_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    def transposed(mode: Interception, input: Tensor, **_: Any) -> Tensor:  # noqa: A002
        return input * mode.draw("dropout", Law("noise", 0.3, input.dtype), input.T.shape).T

    network, call = network_and_call(nn.Sequential(nn.Linear(4, 6), nn.Dropout(0.3)).eval(), X)
    monkeypatch.setitem(HANDLERS, F.dropout, transposed)
    result = native_oracle(network, call)
    assert (result.explained, result.difference) == (1, None)


def test_the_oracle_leaves_the_global_generator_where_it_was() -> None:
    network, call = network_of_case(case("encoder"))
    before = torch.get_rng_state()
    native_oracle(network, call)
    assert torch.equal(torch.get_rng_state(), before)


def test_the_oracle_leaves_an_input_that_the_model_changes_alone() -> None:
    model = nn.Dropout(0.5, inplace=True).eval()
    x = X.clone()
    network, call = network_and_call(model, x)
    assert native_oracle(network, call).difference == 0
    assert torch.equal(x, X)


def test_attention_without_dropout_does_not_count_as_random() -> None:
    q = torch.randn(1, 2, 3, 4)
    fused = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu.default
    assert torch.Tag.nondeterministic_seeded in fused.tags
    assert not draws(fused, (q, q, q), {})
    assert draws(fused, (q, q, q, 0.1), {})
    assert not draws(torch.ops.aten.relu.default, (q,), {})


def test_what_an_operator_writes_to_is_read_from_its_schema() -> None:
    x, y = torch.ones(2), torch.ones(2)
    assert [t is x for t in written_tensors(torch.ops.aten.add_.Tensor, (x, y), {})] == [True]
    assert [t is y for t in written_tensors(torch.ops.aten.add.out, (x, x), {"out": y})] == [True]
    assert list(written_tensors(torch.ops.aten.add.Tensor, (x, y), {})) == []


@pytest.mark.parametrize(
    ("name", "cudnn", "fused"),
    [("nn.Dropout", True, True), ("LSTM", False, True), ("GRU, packed", False, True), ("sdpa", True, False)],
)
def test_on_cuda_only_kernels_that_hide_draws_of_the_sites_are_switched_off(
    name: str, cudnn: bool, fused: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    network, call = network_of_case(case(name))
    on_cuda = replace(network, cache=MaskCache(torch.device("cuda")))  # which knows where it runs
    monkeypatch.setattr(torch.backends.cudnn, "benchmark", True)
    seen = []
    network.view.register_forward_hook(lambda *_: seen.append(switches()))
    native_oracle(on_cuda, call.take(slice(0, 1)))
    assert seen == [(cudnn, fused, True)] * 2
    assert switches() == (True, True, True)


def switches() -> tuple[bool, bool, bool]:
    """Whether cuDNN, fused attention and the search for the fastest kernel are on."""
    cudnn = torch.backends.cudnn
    return bool(cudnn.enabled), torch.backends.cuda.flash_sdp_enabled(), bool(cudnn.benchmark)


@pytest.mark.parametrize(
    ("wanted", "got", "difference"),
    [
        ([1.0, 2.0], [1.0, 2.5], 0.25),
        ([0.1], [0.2], 0.1),
        ([torch.nan, torch.inf], [torch.nan, torch.inf], 0.0),
        ([torch.nan], [0.0], torch.inf),
        ([1.0], [1.0, 1.0], torch.inf),
        ([], [], 0.0),
    ],
)
def test_a_difference_is_in_units_of_the_largest_value_but_at_least_one(
    wanted: list[float], got: list[float], difference: float
) -> None:
    found = largest_difference([torch.tensor(wanted)], [torch.tensor(got)])
    assert found == pytest.approx(difference)


def test_a_case_that_draws_by_functions_has_every_draw_explained() -> None:
    model = applied(lambda x, train: F.dropout(x, 0.3, train) + torch.randn_like(x) if train else x).eval()
    network, call = network_and_call(model, X)
    assert native_oracle(network, call).native_draws == ("bernoulli_", "randn_like")
