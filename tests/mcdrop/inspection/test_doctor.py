"""`mcdrop.inspect`: sites, numbers and findings of one model."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import mcdrop
import mcdrop.nn as dropout
from mcdrop import MCDropout
from mcdrop.engine.strategies import STRATEGIES
from mcdrop.errors import DomainError, OptionError, ShapeError
from mcdrop.inspection import Severity, save_chart
from tests.support.models import CASES, Case
from tests.support.networks import classifier, features, fixed

ONE_OUTPUT = [
    case for case in CASES if "weights" not in case.name or case.name == "LSTM with dropped weights"
]


def convolutional() -> nn.Module:
    return fixed(
        nn.Sequential(
            nn.Dropout(0.1),
            nn.Conv2d(1, 3, 3),
            nn.ReLU(),
            nn.Dropout2d(0.15),
            nn.Flatten(),
            nn.Linear(48, 8),
            nn.Dropout(0.4),
            nn.Linear(8, 2),
        )
    )


def test_sites_come_in_the_order_of_the_data_with_what_they_stand_at() -> None:
    found = mcdrop.inspect(convolutional(), features(6, 1, 6, 6), n_samples=32)
    assert [(site.name, site.kind, site.p) for site in found.sites] == [
        ("0#0", "dropout", 0.1),
        ("3#0", "dropout2d", 0.15),
        ("6#0", "dropout", 0.4),
    ]
    assert [site.role for site in found.sites] == ["input", "convolution", "hidden"]
    assert [site.row_shape for site in found.sites] == [(1, 6, 6), (3, 1, 1), (8,)]
    assert all(site.share.value > 0 and site.share.standard_error > 0 for site in found.sites)
    assert found.rows == 6
    assert found.strategy in STRATEGIES


class Reader(nn.Module):
    """An embedding with dropout, one attention block, and a recurrent head."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding, self.drop = nn.Embedding(9, 4), nn.Dropout(0.1)
        self.block = nn.TransformerEncoderLayer(4, 2, 8, dropout=0.1, batch_first=True)
        self.lstm, self.head = nn.LSTM(4, 4, num_layers=2, dropout=0.1, batch_first=True), nn.Linear(4, 2)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        out, _ = self.lstm(self.block(self.drop(self.embedding(tokens))))
        scores: torch.Tensor = self.head(out[:, -1])
        return scores


def test_a_transformer_is_known_by_its_attention_and_may_have_one_rate() -> None:
    tokens = torch.randint(9, (5, 6), generator=torch.Generator().manual_seed(0))
    found = mcdrop.inspect(fixed(Reader()), tokens, n_samples=32)
    assert [site.role for site in found.sites] == ["input", *["transformer"] * 4, "recurrent"]
    assert {site.p for site in found.sites} == {0.1}
    assert "MC008" not in {finding.code for finding in found.findings}


class Recurrent(nn.Module):
    """A recurrent layer between two others, and dropout before it."""

    def __init__(self, rnn: nn.Module, drop: nn.Module) -> None:
        super().__init__()
        self.first, self.drop, self.rnn, self.head = nn.Linear(6, 6), drop, rnn, nn.Linear(5, 2)
        self.every_step = False

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out, _ = self.rnn(self.drop(self.first(x)))
        scores: torch.Tensor = self.head(out if self.every_step else out[:, -1])
        return scores


def behind(drop: nn.Module) -> nn.Module:
    """A layer of dropout behind a convolution."""
    layers = (nn.Conv2d(2, 4, 3), nn.ReLU(), drop, nn.Conv2d(4, 4, 3), nn.Flatten())
    return nn.Sequential(*layers, nn.Linear(64, 2))


RATES: dict[str, Any] = {"input_dropout": 0.3, "recurrent_dropout": 0.4, "batch_first": True}
OWN_LAYERS: list[tuple[nn.Module, tuple[int, ...], list[tuple[str, float, str]]]] = [
    (behind(dropout.DropBlock2d(0.15, 2)), (2, 8, 8), [("DropBlock2d (rand)", 0.15, "convolution")]),
    (behind(dropout.GaussianDropout(0.2)), (2, 8, 8), [("GaussianDropout (randn)", 0.2, "convolution")]),
    (
        nn.Sequential(nn.Linear(6, 8), dropout.ConcreteDropout(nn.Linear(8, 2), 0.25)),
        (6,),
        [("ConcreteDropout (rand)", 0.25, "hidden")],
    ),
    (
        nn.Sequential(dropout.DropConnect(nn.Linear(6, 8), 0.5), nn.ReLU(), nn.Linear(8, 2)),
        (6,),
        [("DropConnect (dropout)", 0.5, "hidden")],
    ),
    (
        Recurrent(nn.LSTM(6, 5, batch_first=True), dropout.VariationalDropout(0.5, batch_first=True)),
        (4, 6),
        [("VariationalDropout (dropout)", 0.5, "recurrent")],
    ),
    (
        Recurrent(dropout.WeightDrop(nn.GRU(6, 5, batch_first=True), 0.5), nn.Identity()),
        (4, 6),
        [("WeightDrop (dropout)", 0.5, "recurrent")],
    ),
    (
        Recurrent(dropout.VariationalLSTM(6, 5, **RATES), nn.Identity()),
        (4, 6),
        [("VariationalLSTM (dropout)", p, "recurrent") for p in (0.3, 0.4)],
    ),
]


@pytest.mark.parametrize(("model", "shape", "wanted"), OWN_LAYERS, ids=lambda each: type(each).__name__)
def test_layers_of_mcdrop_are_named_with_their_rates_also_where_the_call_has_none(
    model: nn.Module, shape: tuple[int, ...], wanted: list[tuple[str, float, str]]
) -> None:
    found = mcdrop.inspect(model.eval(), features(6, *shape), n_samples=32)
    assert [(site.title, site.role) for site in found.sites] == [(title, at) for title, _, at in wanted]
    assert [site.p for site in found.sites] == pytest.approx([p for _, p, _ in wanted])
    assert {"MC007", "MC014"}.isdisjoint(finding.code for finding in found.findings)
    assert wanted[0][0] in str(found)


def test_a_rate_that_is_a_whole_number_is_a_rate() -> None:
    model = nn.Sequential(nn.Linear(6, 2), nn.Dropout(0.1), nn.Linear(2, 2), nn.Dropout(1), nn.Linear(2, 2))
    sites = mcdrop.inspect(model.eval(), features(3, 6), n_samples=32).sites
    assert [site.p for site in sites] == [0.1, 1.0]


def test_dropout_between_layers_whose_weights_are_dropped_is_neither_at_the_input_nor_on_the_output() -> None:
    first, last = dropout.DropConnect(nn.Linear(6, 8), 0.3), dropout.DropConnect(nn.Linear(8, 2), 0.3)
    found = mcdrop.inspect(nn.Sequential(first, nn.ReLU(), nn.Dropout(0.5), last).eval(), features(6, 6))
    assert [site.role for site in found.sites] == ["hidden", "hidden", "hidden"]
    assert {"MC007", "MC009"}.isdisjoint(finding.code for finding in found.findings)


@pytest.mark.parametrize("rnn", [dropout.WeightDrop(nn.LSTM(6, 5)), dropout.VariationalGRU(6, 5)])
def test_dropout_behind_recurrent_layers_of_mcdrop_is_recurrent(rnn: nn.Module) -> None:
    model = Recurrent(rnn, nn.Identity()).eval()
    model.head = nn.Sequential(nn.Dropout(0.6), nn.Linear(5, 2)).eval()  # type: ignore[assignment]
    model.every_step = True
    found = mcdrop.inspect(model, features(4, 6, 6), n_samples=32, batch_axis=1)
    assert (found.sites[-1].role, found.sites[-1].p) == ("recurrent", 0.6)
    assert "MC007" not in {finding.code for finding in found.findings}
    assert [finding.module for finding in found.findings if finding.code == "MC014"] == ["head.0"]


def test_a_rate_that_the_call_does_not_tell_is_found_unusual_and_the_same_everywhere() -> None:
    model = nn.Sequential(
        *behind(dropout.DropBlock2d(0.4, 2))[:-1],  # type: ignore[index]
        *(dropout.GaussianDropout(0.4), nn.Linear(64, 8)),
        *(nn.Dropout(0.4), nn.Linear(8, 2)),
    )
    found = mcdrop.inspect(fixed(model), features(6, 2, 8, 8), n_samples=32)
    (unusual,) = [each for each in found.findings if each.code == "MC007"]
    assert unusual.message.startswith("2#0 of DropBlock2d has rate 0.4; 0 to 0.2 is usual at a convolution")
    assert (unusual.evidence["rate"], unusual.evidence["layer"]) == (0.4, "DropBlock2d")
    (everywhere,) = [each for each in found.findings if each.code == "MC008"]
    assert everywhere.evidence["sites"] == 3
    assert found.to_dict()["sites"][0]["layer"] == "DropBlock2d"
    assert found.to_dict()["sites"][2]["layer"] is None


def test_the_numbers_are_those_of_the_sensitivity() -> None:
    mc, x = MCDropout(classifier(), task="classification", n_samples=64, seed=5), features(7, 6)
    found, measured = mcdrop.inspect(mc, x), mc.sensitivity(x)
    assert [site.share for site in found.sites] == [each.share for each in measured.sites]
    assert found.total == measured.total
    assert (found.n_samples, found.seed) == (64, 5)


def test_the_shift_is_the_distance_of_the_two_means() -> None:
    mc, x = MCDropout(classifier(), task="raw", n_samples=64), features(7, 6)
    found, pred = mcdrop.inspect(mc, x), mc.predict(x)
    gap = (pred.mean - pred.deterministic).to(torch.float64)
    errors = gap.norm().item() / pred.standard_error.norm().item()
    stds = gap.square().sum(1).mean().sqrt() / pred.sample_std.to(torch.float64).square().sum(1).mean().sqrt()
    assert found.shift_errors == pytest.approx(errors, rel=1e-3)
    assert found.shift_stds == pytest.approx(stds.item(), rel=1e-3)


@pytest.mark.filterwarnings("ignore::UserWarning")  # torch warns of some of these models
@pytest.mark.parametrize("case", ONE_OUTPUT[::5], ids=lambda case: case.name)
def test_any_kind_of_site_can_be_inspected(case: Case) -> None:
    model, inputs = case.make()
    generator = torch.get_rng_state()
    found = mcdrop.inspect(model, *inputs, n_samples=32, batch_axis=case.batch_axis)
    assert len(found.sites) == case.sites
    assert not found.at_least("error")
    assert json.loads(json.dumps(found.to_dict(), allow_nan=False))["sites"]
    drawing = {"MC018"} & {finding.code for finding in found.findings}  # a plain pass draws by itself
    assert drawing or torch.equal(generator, torch.get_rng_state())
    assert not any(module.training for module in model.modules())


def test_findings_are_sorted_the_gravest_first() -> None:
    model = nn.Sequential(nn.Linear(6, 8), nn.Dropout(0.9), nn.BatchNorm1d(8), nn.Linear(8, 2)).eval()
    found = mcdrop.inspect(fixed(model).train(), features(9, 6), n_samples=16, precision=0.01)
    severities = [finding.severity for finding in found.findings]
    assert severities == sorted(severities, reverse=True)
    assert {Severity.WARNING, Severity.HINT} == set(severities)
    warnings = found.at_least("warning")
    assert {finding.code for finding in warnings} >= {"MC006", "MC012", "MC015"}
    assert found.at_least("hint") == found.findings
    assert found.at_least("error") == ()
    assert "warning MC006 1: Dropout feeds a batch norm." in str(found)


def test_a_model_that_cannot_be_sampled_gives_the_text_of_the_refusal() -> None:
    found = mcdrop.inspect(nn.Linear(6, 2).eval(), features(3, 6))
    assert found.sites == ()
    assert found.strategy is None
    (finding,) = found.findings
    assert (finding.code, finding.severity.word) == ("MC001", "error")
    assert "every pass would be the same" in finding.message


def test_rates_of_zero_alone_are_an_error() -> None:
    found = mcdrop.inspect(
        nn.Sequential(nn.Linear(6, 2), nn.Dropout(0.0), nn.Linear(2, 2)).eval(), features(3, 6)
    )
    assert [(finding.code, finding.severity.word) for finding in found.findings] == [
        ("MC001", "error"),
        ("MC002", "error"),
    ]


def test_where_nothing_moves_there_are_no_shares_and_the_document_is_still_json() -> None:
    found = mcdrop.inspect(nn.Sequential(nn.Dropout(1e-9), nn.Linear(6, 2)).eval(), features(3, 6))
    assert math.isnan(found.sites[0].share.value)
    document = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert document["sites"][0]["share"] == {"value": None, "standard_error": None}


def test_it_says_how_many_rows_and_samples_the_sites_were_measured_on() -> None:
    found = mcdrop.inspect(classifier(), features(40, 6), n_samples=200)
    assert (found.rows, found.n_samples) == (40, 200)
    assert (found.measured_rows, found.measured_samples) == (32, 128)
    nothing = mcdrop.inspect(nn.Linear(6, 2).eval(), features(3, 6))
    assert (nothing.rows, nothing.measured_rows, nothing.measured_samples) == (3, 0, 0)


def test_outcomes_are_checked_whether_or_not_a_rate_is_high() -> None:
    x, model = features(4, 6), fixed(nn.Sequential(nn.Dropout(0.1), nn.Linear(6, 3)))
    with pytest.raises(DomainError, match="y must be a class from 0 to 2, got 3"):
        mcdrop.inspect(model, x, y=torch.arange(4), task="classification")
    with pytest.raises(DomainError, match=r"y must be a class from 0 to 2, got 0\.5"):
        mcdrop.inspect(model, x, y=torch.full((4,), 0.5), task="classification")
    with pytest.raises(DomainError, match="y must be 0 or 1, got 2"):
        mcdrop.inspect(model, x, y=torch.full((4, 3), 2), task="multilabel")
    with pytest.raises(ShapeError, match=r"y must have shape \(4, 3\) like the predictions, got \(4,\)"):
        mcdrop.inspect(model, x, y=torch.zeros(4), task="regression")


def test_bad_options_say_what_was_wanted() -> None:
    x = features(3, 6)
    with pytest.raises(DomainError, match="precision must be positive, got 0"):
        mcdrop.inspect(classifier(), x, precision=0)
    with pytest.raises(ShapeError, match="y must have a value for each of the 3 rows, got 2"):
        mcdrop.inspect(classifier(), x, y=torch.zeros(2))
    with pytest.raises(OptionError, match="severity must be one of hint, warning, error, got 'grave'"):
        mcdrop.inspect(classifier(), x).at_least("grave")


@pytest.mark.parametrize("kind", ["svg", "png", "pdf"])
def test_the_chart_is_drawn(tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"sites.{kind}"
    save_chart(mcdrop.inspect(convolutional(), features(6, 1, 6, 6), n_samples=32), path)
    start = {"svg": b"<?xml", "png": b"\x89PNG", "pdf": b"%PDF"}[kind]
    assert path.read_bytes().startswith(start)


@pytest.mark.parametrize("task", ["binary", "regression"])
def test_predictions_of_one_number_are_looked_at_as_others_are(task: str) -> None:
    """Their mean is (N,), without an axis of outputs."""
    x = torch.linspace(-1, 1, 120).reshape(40, 3)
    model = nn.Sequential(nn.Linear(3, 16), nn.Dropout(0.3), nn.ReLU(), nn.Linear(16, 1), nn.Flatten(0))
    found = mcdrop.inspect(model.eval(), x, y=(x[:, 0] > 0).float(), task=task)
    assert [site.name for site in found.sites] == ["1#0"]
    assert found.measured_rows == 32
