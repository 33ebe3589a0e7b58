"""Rates that were changed, and dropout that was injected, are there again when a checkpoint is read."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import mcdrop
from mcdrop import MCDropout, zoo
from mcdrop.checkpoint import Architecture
from mcdrop.checkpoint.stored_rates import recorded_rates, with_recorded_rates
from mcdrop.errors import CheckpointError
from mcdrop.injection import After, Attention, Before, Place
from mcdrop.rates import rates_of
from tests.support.architectures import ALLOWED, Tied
from tests.support.checkpoints import edit_manifest
from tests.support.networks import features, fixed
from tests.support.predictives import assert_same_rows

TABLE = features(9, 10)


def diabetes(p: float = 0.3) -> nn.Module:
    return fixed(zoo.create("diabetes_mlp", hidden=8, p=p))


def saved(model: nn.Module, path: Path, x: Tensor = TABLE, **options: Any) -> MCDropout:
    mc = MCDropout(model, task="regression", n_samples=32)
    mc.trace(x)
    mc.save(path, **options)
    return mc


def assert_same_answers(mc: MCDropout, path: Path, x: Tensor = TABLE) -> None:
    loaded = mcdrop.load(path, allow=[ALLOWED])
    assert {rate.name: rate.p for rate in rates_of(loaded.model)} == {
        rate.name: rate.p for rate in rates_of(mc.model)
    }
    assert_same_rows(loaded.predict(x, exact=True), mc.predict(x, exact=True))


def test_a_model_of_the_zoo_says_only_what_differs(tmp_path: Path) -> None:
    saved(diabetes(), tmp_path / "plain")
    assert '"rates"' not in (tmp_path / "plain" / "mcdrop.json").read_text()
    mc = saved(mcdrop.with_rates(diabetes(), {"layers.5": 0.05}), tmp_path / "changed")
    loaded = mcdrop.load(tmp_path / "changed")
    assert loaded.manifest is not None
    assert loaded.manifest.rates == {"layers.5.p": 0.05}
    assert_same_answers(mc, tmp_path / "changed")


def test_a_rate_that_was_set_by_hand_is_saved(tmp_path: Path) -> None:
    model: Any = diabetes()
    model.layers[2].p = 0.01
    assert_same_answers(saved(model, tmp_path / "changed"), tmp_path / "changed")


def test_a_model_of_a_factory_says_all_its_rates(tmp_path: Path) -> None:
    x = features(9, 3)
    model = mcdrop.with_rates(fixed(Tied(3)), {"dropout": 0.2})
    mc = saved(model, tmp_path / "tied", x, architecture="tests.support.architectures:tied")
    assert_same_answers(mc, tmp_path / "tied", x)


def test_injected_dropout_is_put_back(tmp_path: Path) -> None:
    places: dict[Place | Any, float] = {Before("layers.0"): 0.1, After("layers.4"): 0.2, "layers.6": 0.15}
    mc = saved(mcdrop.inject(diabetes(), p=places), tmp_path / "injected")
    assert_same_answers(mc, tmp_path / "injected")
    assert len(mcdrop.load(tmp_path / "injected").trace(TABLE)) == 5


def test_injected_attention_dropout_is_put_back() -> None:
    class Attending(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return nn.functional.scaled_dot_product_attention(x, x, x)

    def built() -> nn.Module:
        return nn.Sequential(nn.Linear(4, 4), Attending(), nn.Dropout(0.1))

    model = mcdrop.inject(built(), p={Attention("1"): 0.25})
    recorded = recorded_rates(model, Architecture(source="factory", name="a.b:c"))
    assert recorded == {"1.injected_dropout": 0.25, "2.p": 0.1}
    again = with_recorded_rates(built(), recorded, all_of_them=True)
    assert [(rate.name, rate.p) for rate in rates_of(again)] == list(recorded.items())


def test_injected_dropout_of_torch_attention_stays_injected() -> None:
    def built() -> nn.Module:
        layer = nn.TransformerEncoderLayer(4, 2, 8, dropout=0.1, batch_first=True)
        layer.self_attn.dropout = 0.0
        return layer

    model = mcdrop.inject(built(), p=0.25, where=Attention())
    recorded = recorded_rates(model, Architecture(source="factory", name="a.b:c"))
    assert recorded["self_attn.injected_dropout"] == 0.25
    again = with_recorded_rates(built(), recorded, all_of_them=True)
    assert {rate.name: rate.p for rate in rates_of(again)} == recorded


def test_what_cannot_be_put_back_is_refused_when_it_is_saved(tmp_path: Path) -> None:
    model = mcdrop.inject(diabetes(), p=0.1, where="layers.3", layer=nn.AlphaDropout)
    with pytest.raises(
        CheckpointError, match=r"layers.3.injected_before is a AlphaDropout that was injected"
    ):
        saved(model, tmp_path / "injected")
    without: Any = diabetes()
    without.layers[5] = nn.Identity()
    with pytest.raises(
        CheckpointError, match=r"has a dropout rate at layers.5.p, and the model has none there"
    ):
        saved(without, tmp_path / "without")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("rates", "said"),
    [
        ({"layers.7.p": 0.1}, "it has a dropout rate for 'layers.7.p', where the architecture has none"),
        (
            {"nowhere.injected_before.p": 0.1},
            "its injected dropout cannot be put back: 'nowhere' matches nothing",
        ),
        ({"*.injected_before.p": 0.1}, r"it has a dropout rate for '\*.injected_before.p'"),
        ({"layers.2.p": 1.5}, "rates.layers.2.p: Input should be less than or equal to 1"),
    ],
)
def test_rates_that_do_not_fit_are_refused(tmp_path: Path, rates: dict[str, float], said: str) -> None:
    saved(diabetes(), tmp_path / "plain")
    edit_manifest(tmp_path / "plain", lambda document: document.update(rates=rates))
    with pytest.raises(CheckpointError, match=said):
        mcdrop.load(tmp_path / "plain")


def test_a_factory_whose_code_has_other_rates_by_now_is_refused() -> None:
    model = nn.Sequential(nn.Dropout(0.1), nn.Dropout(0.2))
    with pytest.raises(
        CheckpointError, match=r"has a dropout rate at '1.p', of which the checkpoint says nothing"
    ):
        with_recorded_rates(model, {"0.p": 0.1}, all_of_them=True)
    old = with_recorded_rates(model, {}, all_of_them=True)  # a checkpoint from before rates were written down
    assert [rate.p for rate in rates_of(old)] == [0.1, 0.2]


def test_equal_rates_are_not_touched() -> None:
    model: Any = nn.Sequential(nn.Dropout(1))
    with_recorded_rates(model, {"0.p": 1.0}, all_of_them=True)
    assert type(model[0].p) is int
    assert torch.equal(model[0](torch.ones(3)), torch.zeros(3))
