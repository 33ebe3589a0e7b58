from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import mcdrop
from mcdrop.engine import strategies
from mcdrop.engine.footprint import footprint
from mcdrop.engine.interception.mode import Interception
from mcdrop.engine.interception.table import HANDLERS
from mcdrop.engine.sites import Law
from mcdrop.engine.verification import FREE, Verification, verify
from mcdrop.errors import DomainError, NothingRandomError, UnsupportedModelError
from tests.support.models import case
from tests.support.replaying import network_and_call, network_of_case
from tests.support.stochastic_modules import DropBlock, DropPath, Residual, applied

X = torch.randn(4, 4, generator=torch.Generator().manual_seed(0))


def verified(model: nn.Module, *inputs: Tensor, batch_axis: int = 0) -> Verification:
    network, call = network_and_call(model.eval(), *(inputs or (X,)), batch_axis=batch_axis)
    return verify(network, call)


def test_what_was_compared_is_told() -> None:
    result = verified(nn.Sequential(nn.Linear(4, 4), nn.Dropout(0.3)))
    assert result.strategy == "vmap"
    assert result.oracle.native_draws == ("bernoulli_",)
    assert set(result.differences) == {"vmap", "fold", "loop"}
    assert max(result.differences.values()) <= result.tolerance
    assert result.agreeing() == ["vmap", "fold", "loop"]
    assert min(result.seconds[name] for name in result.agreeing()) > 0
    assert result.refused == {}


def test_why_a_strategy_was_not_taken_is_told() -> None:
    network, call = network_of_case(case("LayerDrop"))
    assert verify(network, call).refused == {
        "vmap": "the sites that fire differ from pass to pass, so their masks cannot be made beforehand",
        "fold": "the sites that fire differ from pass to pass, so one pass cannot hold all samples",
    }


def test_strategies_behind_one_that_agrees_and_is_fast_may_be_left_out() -> None:
    model = nn.Sequential(nn.Linear(2048, 2048), nn.Linear(2048, 2048), nn.Linear(2048, 4), nn.Dropout(0.3))
    network, call = network_and_call(model.eval(), torch.randn(2, 2048))
    assert set(verify(network, call, thorough=False).differences) == {"vmap"}  # one prefix for two samples


def test_a_layer_that_uses_its_draw_otherwise_than_we_do_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(mode: Interception, input: Tensor, **_: Any) -> Tensor:  # noqa: A002
        return input * mode.draw("dropout", Law("keep", 0.3, input.dtype), input.shape)

    network, call = network_and_call(nn.Sequential(nn.Linear(4, 4), nn.Dropout(0.3)).eval(), X)
    monkeypatch.setitem(HANDLERS, F.dropout, wrong)
    with pytest.raises(UnsupportedModelError, match=r"given its own draws, .* not understood"):
        verify(network, call)


def test_a_draw_that_is_not_seen_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    network, call = network_and_call(nn.Sequential(nn.Dropout(0.3), nn.AlphaDropout(0.3)).eval(), X)
    monkeypatch.delitem(HANDLERS, F.alpha_dropout)
    with pytest.raises(
        UnsupportedModelError, match=r"2 random calls of its own \(bernoulli_\), of which mcdrop sees 1"
    ):
        verify(network, call)


# --- coupled rows ---------------------------------------------------------------------------------


def batch_statistics(x: Tensor, train: bool) -> Tensor:
    return F.dropout((x - x.mean(0)) / (x.std(0, correction=0) + 1), 0.3, train)


def largest_of_the_batch(x: Tensor, train: bool) -> Tensor:
    return F.dropout(x, 0.3, train) / x.abs().max()


def time_first_flattened(x: Tensor, train: bool) -> Tensor:
    """Masks of (time x rows): their shape is that of (rows x time)."""
    dropped = F.dropout(x.transpose(0, 1).flatten(0, 1), 0.4, train)
    rows_behind: Tensor = dropped.reshape(x.shape[1], x.shape[0], -1)
    return rows_behind.transpose(0, 1)


def test_dropped_blocks_that_are_rescaled_over_the_batch_are_refused_though_nothing_is_left_at_one_half() -> (
    None
):
    x = torch.randn(4, 40, generator=torch.Generator().manual_seed(0))
    verified(nn.Sequential(nn.Linear(40, 40), DropBlock(0.02, by_batch=False)), x)
    with pytest.raises(UnsupportedModelError, match="the model couples its rows"):
        verified(nn.Sequential(nn.Linear(40, 40), DropBlock(0.02, by_batch=True)), x)


@pytest.mark.parametrize("function", [batch_statistics, largest_of_the_batch])
@pytest.mark.parametrize("rows", [1, 4])
def test_rows_that_depend_on_each_other_are_refused_even_if_one_row_is_given(
    function: Any, rows: int
) -> None:
    with pytest.raises(UnsupportedModelError, match="the model couples its rows"):
        verified(applied(function), X[:rows])


def test_rows_that_are_equal_do_not_hide_that_they_are_coupled() -> None:
    with pytest.raises(UnsupportedModelError, match="the model couples its rows"):
        verified(applied(batch_statistics), X[[0, 0, 0, 1]])


def test_a_mask_whose_rows_are_not_slowest_is_refused() -> None:
    with pytest.raises(UnsupportedModelError, match="the model couples its rows"):
        verified(applied(time_first_flattened), torch.randn(3, 5, 4))


def test_a_model_that_fails_on_one_row_is_refused_with_what_to_do() -> None:
    def squeezed(x: Tensor, train: bool) -> Tensor:
        hidden = F.dropout(x, 0.3, train).squeeze()
        return hidden @ torch.ones(hidden.shape[1], 6)

    with pytest.raises(
        UnsupportedModelError, match=r"fails on a single row .* \(squeeze\(\) without an axis"
    ):
        verified(applied(squeezed))


# --- outputs that do not move, or move by themselves ----------------------------------------------


def test_an_output_that_does_not_move_is_an_error_that_names_the_sites() -> None:
    model = nn.Sequential(nn.Linear(4, 1), nn.Dropout(0.3), nn.Softmax(1))
    with pytest.raises(NothingRandomError, match=r"does not move when the masks of its sites \(1#0\)"):
        verified(model)


def test_draws_that_hide_all_others_half_of_the_time_are_no_error() -> None:
    def gates(x: Tensor, train: bool) -> Tensor:
        if not train:
            return x
        return x * F.dropout(torch.ones(1), 0.5) * (torch.rand(1) < 0.5) * (torch.rand(1) >= 0.5)

    verified(applied(gates))


@pytest.mark.parametrize("number", [torch.nan, torch.inf])
def test_numbers_that_are_none_are_said_to_be_the_reason(number: float) -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.Dropout(0.3), nn.Linear(4, 1))
    with pytest.raises(DomainError, match="are NaN or infinite whatever the masks are; see that the inputs"):
        verified(model, torch.full((3, 4), number))
    verified(model, torch.cat([torch.full((1, 4), number), X]))


@pytest.mark.parametrize("rate", [1e-4, 0.01, 0.999])
def test_a_rate_at_which_hardly_anything_happens_is_no_error(rate: float) -> None:
    verified(nn.Sequential(nn.Linear(4, 4), nn.Dropout(rate)))
    verified(nn.Sequential(Residual(nn.Linear(4, 4), DropPath(rate))))
    verified(applied(lambda x, train: x * (torch.rand(x.shape[0], 1) >= rate) if train else x))


def test_a_single_unit_of_noise_is_seen_to_move_for_every_rate_and_row_count() -> None:
    for rows in (1, 2, 4):
        verified(applied(lambda x, train: x * torch.bernoulli(torch.tensor(0.9)) if train else x), X[:rows])


class Counting(nn.Module):
    """The output depends on how often it was called."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        return F.dropout(x, 0.3, self.training) + self.calls


def test_state_that_is_kept_from_pass_to_pass_is_refused() -> None:
    with pytest.raises(UnsupportedModelError, match=r"differs by|the same masks gave two different outputs"):
        verified(Counting())


# --- strategies -----------------------------------------------------------------------------------


def test_a_strategy_that_disagrees_with_the_loop_over_rows_is_not_taken(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def disagrees(network: Any, call: Any, draws: Any, samples: int) -> list[Tensor]:
        return [t + 1 for t in strategies.loop(network, call, draws, samples)]

    monkeypatch.setitem(strategies.STRATEGIES, "vmap", disagrees)
    result = verified(nn.Sequential(nn.Linear(4, 4), nn.Dropout(0.3)))
    assert result.strategy == "fold"
    assert result.differences["vmap"] > result.tolerance


class Labels(nn.Module):
    """Whole numbers of a wide range beside the logits that they come from."""

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        h = F.dropout(x, 0.3, self.training)
        return h, 1000 * h.argmax(-1, keepdim=True).expand(-1, 200)


def test_whole_numbers_are_compared_by_how_many_differ_not_by_how_much(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def other_label(network: Any, call: Any, draws: Any, samples: int) -> list[Tensor]:
        logits, labels = strategies.loop(network, call, draws, samples)
        labels[..., :wrong] += 1
        return [logits, labels]

    monkeypatch.setitem(strategies.STRATEGIES, "vmap", other_label)
    wrong = 3  # of 200, each off by one in 3000
    result = verified(Labels())
    assert (result.strategy, result.tolerance) == ("fold", 1e-4)
    wrong = 2  # what rounding in front of a threshold may do
    assert verified(Labels()).strategy == "vmap"


def test_nan_in_a_row_is_compared_as_nan() -> None:
    x = X.clone()
    x[0] = torch.nan
    assert verified(nn.Sequential(nn.Linear(4, 4), nn.Dropout(0.3)), x).strategy == "vmap"


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_other_precisions_are_compared_by_what_they_can_hold(dtype: torch.dtype) -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.Dropout(0.3), nn.Linear(4, 2)).to(dtype)
    assert verified(model, X.to(dtype)).strategy == "vmap"


class CoarseBatches(nn.Module):
    """Keeps the digits of TF32 where there are several rows: kernels are chosen by shape."""

    def forward(self, x: Tensor) -> Tensor:
        return x.half().to(x.dtype) if len(x) > 1 else x


def test_where_products_may_be_rounded_rows_may_differ_by_that(monkeypatch: pytest.MonkeyPatch) -> None:
    model = nn.Sequential(nn.Linear(4, 4), CoarseBatches(), nn.Dropout(0.3))
    with pytest.raises(UnsupportedModelError, match="a row computed alone differs by"):
        verified(model)
    torch.set_float32_matmul_precision("high")
    try:
        monkeypatch.setattr("mcdrop.engine.precision._has_tf32", lambda: False)
        with pytest.raises(UnsupportedModelError, match="a row computed alone differs by"):
            verified(model)
        monkeypatch.setattr("mcdrop.engine.precision._has_tf32", lambda: True)
        found = verified(model)
        assert (found.strategy, found.tolerance) == ("vmap", 1e-2)
        with pytest.raises(UnsupportedModelError, match="a row computed alone differs by"):
            verified(model.double(), X.double())
    finally:
        torch.set_float32_matmul_precision("highest")


# --- cost -----------------------------------------------------------------------------------------


def _passes(once: bool) -> int:
    model = nn.Sequential(nn.Linear(4, 4), nn.Dropout(0.3), nn.Linear(4, 2)).eval()
    network, call = network_and_call(model, X)
    outputs = footprint(network, call.take(slice(0, 1)), FREE)[1] if once else None
    calls: list[None] = []
    network.view.register_forward_hook(lambda *_: calls.append(None))
    verify(network, call, once=outputs)
    return len(calls)


def test_a_pass_that_was_made_before_counts_as_the_repetition() -> None:
    assert _passes(once=True) == _passes(once=False) - 1


def test_a_plan_says_in_a_few_lines_what_was_found_and_verified() -> None:
    model = nn.Sequential(nn.Linear(4, 8), nn.Dropout(0.2), nn.Linear(8, 2)).eval()
    mc = mcdrop.MCDropout(model)
    mc.sample(torch.ones(2, 4))
    sites, strategies, tile, verified = str(mc.plan).splitlines()
    assert sites == "sites (1): 1#0"
    assert f"exact {mc.plan.strategy}" in strategies
    assert tile.startswith("tile: at most ")
    assert verified.startswith(
        "verified: 1 of 1 native random calls explained; differences from the per-row loop: "
    )
    mc.plan.fallback.failed["fold"] = "ValueError: no room"
    assert str(mc.plan).endswith("\nfold is not used: ValueError: no room")
    unverified = mcdrop.MCDropout(model, verify=False)
    unverified.sample(torch.ones(2, 4))
    assert "verified: nothing" in repr(unverified.plan)
