"""`tune_rates`: rates by the score of held-out rows, under the same masks."""

from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

import mcdrop
from mcdrop import MCDropout, tune_rates, zoo
from mcdrop.errors import DomainError, InputError, OptionError, ShapeError
from mcdrop.injection import Attention
from mcdrop.rates import rates_of
from tests.support.networks import classifier, features, fixed
from tests.support.predictives import assert_same_rows

X = features(60, 6)
Y = (X.sum(1) > 0).long() + (X[:, 0] > 1).long()
CLASSIFIER = MCDropout(classifier(), task="classification", n_samples=32)


class Weighted(nn.Module):
    """A sum of dropped inputs."""

    def __init__(self, p: float) -> None:
        super().__init__()
        self.drop = nn.Dropout(p)

    def forward(self, x: Tensor) -> Tensor:
        total: Tensor = self.drop(x).sum(1, keepdim=True)
        return total


def drawn_at(p: float, rows: int) -> tuple[Tensor, Tensor]:
    """Inputs, and outcomes that a network with that rate and a little noise gives."""
    generator = torch.Generator().manual_seed(7)
    x = torch.randn(rows, 2, generator=generator)
    kept = (torch.rand(rows, 2, generator=generator) >= p).float() / (1 - p)
    return x, (x * kept).sum(1, keepdim=True) + 0.1 * torch.randn(rows, 1, generator=generator)


def test_outcomes_that_a_rate_gave_are_most_likely_at_that_rate() -> None:
    x, y = drawn_at(0.3, 400)
    mc = MCDropout(Weighted(0.1), task="regression", masks="independent", n_samples=64)
    found = tune_rates(mc, x, y=y, grid=[0.05, 0.1, 0.2, 0.3, 0.4, 0.5])
    assert found.best.rates == {"*": 0.3}
    assert not found.candidates[0].good_enough
    assert found.rates == {"*": pytest.approx(0.3, abs=0.1)}


def test_the_table_has_the_scores_that_a_report_has() -> None:
    found = tune_rates(CLASSIFIER, X, y=Y, grid=[0.05, 0.4])
    as_they_were, low, high = found.candidates
    for candidate, rates in ((as_they_were, {}), (low, {"*": 0.05}), (high, {"*": 0.4})):
        mc = MCDropout(mcdrop.with_rates(CLASSIFIER.model, rates), task="classification", n_samples=32)
        nll = next(score for score in mcdrop.evaluate(mc.predict(X), Y).scores if score.name == "nll")
        assert candidate.score.value == pytest.approx(nll.value, rel=1e-6)


def test_differences_are_paired_by_row_and_less_noisy_than_the_scores() -> None:
    found = tune_rates(CLASSIFIER, X, y=Y, grid=[0.25, 0.3])
    for each in found.candidates:
        assert each.behind.value >= 0
        assert each.behind.standard_error < 0.5 * each.score.standard_error
    assert found.best.behind.value == 0


def test_a_gain_that_may_be_chance_changes_nothing() -> None:
    y = torch.randint(3, (60,), generator=torch.Generator().manual_seed(1))
    found = tune_rates(CLASSIFIER, X, y=y, grid=[0.29, 0.31])
    assert found.candidates[0].good_enough
    assert found.chosen is found.candidates[0]
    assert found.rates == {}


def test_injected_rates_are_held_near_none_at_all() -> None:
    model = mcdrop.inject(fixed(nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3))), p=0.4)
    y = model(X).argmax(1)  # what the network says by itself, so that every bit of noise makes it worse
    found = tune_rates(MCDropout(model, task="classification", n_samples=32), X, y=y, grid=[0.01, 0.02, 0.03])
    good = [each.rates.get("*", 0.4) for each in found.candidates if each.good_enough]
    assert found.rates["*"] == min(good)
    assert [each.distance for each in found.candidates] == pytest.approx([0.4, 0.01, 0.02, 0.03])


def test_injected_attention_is_held_near_none_as_well() -> None:
    layer = nn.TransformerEncoderLayer(6, 2, 8, dropout=0.0, batch_first=True)
    model = mcdrop.inject(fixed(nn.Sequential(layer, nn.Linear(6, 3))), p=0.3, where=Attention())
    mc = MCDropout(model, task="classification", n_samples=16, class_axis=-1)
    found = tune_rates(mc, X.view(12, 5, 6), y=Y.view(12, 5), grid=[0.1, 0.2])
    assert [each.distance for each in found.candidates] == pytest.approx([0.3, 0.1, 0.2])


def test_groups_get_rates_of_their_own_and_rates_of_zero_stay() -> None:
    model = fixed(nn.Sequential(*(m for p in (0.1, 0.0, 0.2) for m in (nn.Linear(6, 6), nn.Dropout(p)))))
    before = rates_of(model)
    mc = MCDropout(nn.Sequential(model, nn.Linear(6, 3)).eval(), task="classification", n_samples=16)
    found = tune_rates(mc, X, y=Y, groups=["0.1", "*.5"], grid=[0.3, 0.4], rounds=2)
    assert all(set(each.rates) <= {"0.1", "*.5"} for each in found.candidates)
    both = next(each.rates for each in found.candidates if len(each.rates) == 2)
    changed = mcdrop.with_rates(mc.model, both)
    assert [rate.p for rate in rates_of(changed)] == [both["0.1"], 0.0, both["*.5"]]
    everything = tune_rates(mc, X, y=Y, grid=[0.3])
    assert [rate.p for rate in rates_of(everything.model)][1] == 0
    assert rates_of(model) == before


class Compiled(nn.Module):
    """As `torch.compile` wraps a module."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self._orig_mod = model

    def forward(self, x: Tensor) -> Any:
        return self._orig_mod(x)


def test_the_rates_of_a_compiled_model_are_tuned_under_the_paths_that_it_was_written_with() -> None:
    bare = tune_rates(CLASSIFIER, X, y=Y, groups=["2"], grid=[0.1])
    mc = MCDropout(Compiled(CLASSIFIER.model), task="classification", n_samples=32)
    found = tune_rates(mc, X, y=Y, groups=["2"], grid=[0.1])
    assert [each.score for each in found.candidates] == [each.score for each in bare.candidates]
    assert [each.distance for each in found.candidates] == [0, pytest.approx(0.2)]


def test_what_was_tuned_has_the_options_that_the_model_had() -> None:
    mc = MCDropout(
        classifier(), task="classification", masks="independent", n_samples=32, memory_budget=2**30
    )
    found = tune_rates(mc, X, y=Y, grid=[0.1], n_samples=16, seed=3).mc
    assert (found.masks, found.memory_budget, found.n_samples, found.seed) == ("independent", 2**30, 16, 3)


def test_what_was_tuned_is_saved_with_the_checkpoint(tmp_path: Path) -> None:
    model = fixed(zoo.create("diabetes_mlp", hidden=8, p=0.45))
    x = features(40, 10)
    y = model(x).detach() + 0.05 * features(40, 1)
    found = tune_rates(
        MCDropout(model, task="regression", n_samples=32), x, y=y, grid=[0.01, 0.1], score="crps"
    )
    assert found.rates == {"*": 0.01}
    assert found.mc.tau == found.chosen.tau
    found.mc.save(tmp_path / "tuned")
    loaded = mcdrop.load(tmp_path / "tuned")
    assert loaded.manifest is not None
    assert loaded.manifest.tuning == found.to_dict()
    assert loaded.manifest.tau == found.chosen.tau
    assert_same_rows(loaded.predict(x, exact=True), found.mc.predict(x, exact=True))


def test_the_doctor_is_content_with_injected_dropout_once_it_is_tuned() -> None:
    model = mcdrop.inject(fixed(nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3))), p=0.1)
    mc = MCDropout(model, task="classification", n_samples=32)
    found = tune_rates(mc, X, y=Y, grid=[0.01, 0.02])
    codes = [{each.code for each in mcdrop.inspect(each, X[:8]).findings} for each in (mc, found.mc)]
    assert ["MC017" in each for each in codes] == [True, False]
    assert "MC007" not in codes[0]  # what is usual in training says nothing of what was injected


def test_the_doctor_does_not_send_tuned_rates_to_be_tuned() -> None:
    layers = (m for _ in range(2) for m in (nn.Linear(6, 6), nn.Dropout(0.7)))
    model = fixed(nn.Sequential(nn.Dropout(0.7), *layers, nn.Linear(6, 3)))
    mc = MCDropout(model, task="classification", n_samples=16)
    found = tune_rates(mc, X, y=Y, grid=[0.7])
    codes = [{each.code for each in mcdrop.inspect(each, X[:8]).findings} for each in (mc, found.mc)]
    assert [codes_of & {"MC007", "MC008"} for codes_of in codes] == [{"MC007", "MC008"}, set()]


def pairs(rows: int = 25) -> DataLoader[Any]:
    return DataLoader(TensorDataset(X, Y), batch_size=rows)


LOADERS: list[Callable[[], tuple[Any, dict[str, Any]]]] = [
    lambda: (pairs(), {"y": 1}),
    lambda: (pairs(), {"y": -1, "take": 0}),
    lambda: (pairs(), {"y": Y, "take": [0]}),
    lambda: (iter(pairs()), {"y": 1}),
    lambda: (iter([X[:50], X[50:]]), {"y": Y.numpy()}),
    lambda: (iter([{"input": X, "label": Y}]), {"y": "label"}),
    lambda: (iter([{"input": X, "label": Y.tolist()}]), {"y": "label", "take": "input"}),
]


@cache
def of_the_rows_at_once(masks: str) -> mcdrop.TunedRates:
    mc = MCDropout(classifier(), task="classification", n_samples=16, masks=masks)
    return tune_rates(mc, X, y=Y, grid=[0.05, 0.4])


@pytest.mark.parametrize("given", LOADERS)
@pytest.mark.parametrize("masks", ["consistent", "independent"])
def test_a_loader_is_as_good_as_the_rows_at_once(
    given: Callable[[], tuple[Any, dict[str, Any]]], masks: str
) -> None:
    wanted = of_the_rows_at_once(masks)
    mc = MCDropout(classifier(), task="classification", n_samples=16, masks=masks)
    loader, options = given()
    found = tune_rates(mc, loader, grid=[0.05, 0.4], **options)
    assert found.rates == wanted.rates
    assert found.n_rows == len(X)
    for one, other in zip(found.candidates, wanted.candidates, strict=True):
        assert one.score.value == pytest.approx(other.score.value, rel=1e-5)
        assert one.behind.standard_error == pytest.approx(other.behind.standard_error, rel=1e-4)
    assert found.mc.sites  # traced, so that it can be saved


def test_outcomes_equal_to_the_inputs_are_left_out_by_their_place() -> None:
    mc = MCDropout(Weighted(0.1), task="regression", n_samples=16)
    x = features(20, 1)
    found = tune_rates(mc, DataLoader(TensorDataset(x, x), batch_size=8), y=1, grid=[0.05])
    assert found.n_rows == 20


def test_a_loader_that_cannot_be_read_twice_alike_is_refused() -> None:
    class Rotating:
        """Gives other rows first on each pass."""

        def __init__(self) -> None:
            self.passes = 0

        def __len__(self) -> int:
            return 60

        def __iter__(self) -> Iterator[int]:
            self.passes += 1
            return iter([(i + self.passes) % 60 for i in range(60)])

    rows = TensorDataset(X, Y)
    shuffled = DataLoader(rows, batch_size=25, shuffle=True)
    with pytest.raises(InputError, match=r"shuffles its rows.*make it with shuffle=False"):
        tune_rates(CLASSIFIER, shuffled, y=1)
    with pytest.raises(InputError, match="gave other outcomes than on its first pass"):
        tune_rates(CLASSIFIER, DataLoader(rows, batch_size=25, sampler=Rotating()), y=1, grid=[0.1])


@pytest.mark.parametrize(
    ("loader", "options", "said"),
    [
        (X, {"y": 1}, "y=1 names an entry of a loader's batches, and there is no loader"),
        (iter([X]), {"y": 1}, "which is one tensor: the outcomes are not in it"),
        (iter([(X, Y)]), {"y": 2}, "y=2 names no entry of the loader's batch, which holds 2 things"),
        (iter([{"input": X}]), {"y": "label"}, "y='label' names no entry .* which holds the keys input"),
        (iter([]), {"y": 1}, "the loader gave no batches"),
        (iter([(X, Y)]), {"y": Y}, "a batch of the loader holds 2 things; say which the model takes"),
    ],
)
def test_a_loader_that_does_not_fit_says_what_was_wanted(
    loader: Any, options: dict[str, Any], said: str
) -> None:
    with pytest.raises(InputError, match=said):
        tune_rates(CLASSIFIER, loader, **options)


@pytest.mark.parametrize("task", ["binary", "multilabel"])
def test_events_are_scored_too(task: str) -> None:
    model = fixed(nn.Sequential(nn.Linear(6, 8), nn.Dropout(0.2), nn.Linear(8, 1 if task == "binary" else 2)))
    y = (X[:, :1] > 0).float() if task == "binary" else (X[:, :2] > 0).float()
    found = tune_rates(MCDropout(model, task=task, n_samples=16), X, y=y.numpy(), grid=[0.1])
    assert len(found.candidates) == 2
    assert all(each.tau is None for each in found.candidates)


@pytest.mark.parametrize("score", ["nll", "crps"])
def test_networks_that_tell_their_noise_are_scored_with_it(score: str) -> None:
    model = fixed(nn.Sequential(nn.Linear(6, 8), nn.Dropout(0.4), nn.Linear(8, 2)))
    mc = MCDropout(model, task="heteroscedastic", n_samples=32)
    found = tune_rates(mc, X, y=model(X)[:, :1].detach(), grid=[0.05], score=score)
    scores = {
        each.name: each.value for each in mcdrop.evaluate(mc.predict(X), model(X)[:, :1].detach()).scores
    }
    assert found.candidates[0].score.value == pytest.approx(scores[score], rel=1e-5)
    assert found.rates == {"*": 0.05}


def test_progress_is_told_step_by_step() -> None:
    told: list[tuple[int, int | None]] = []
    found = tune_rates(
        CLASSIFIER,
        X,
        y=Y,
        grid=[0.1, 0.2],
        n_samples=16,
        seed=4,
        progress=lambda done, total: told.append((done, total)),
    )
    assert told == [(1, 3), (2, 3), (3, 3)]
    assert (found.mc.n_samples, found.mc.seed) == (16, 4)


def test_the_table_marks_the_choice() -> None:
    lines = str(tune_rates(CLASSIFIER, X, y=Y, grid=[0.2])).splitlines()
    assert lines[0].split() == ["rates", "nll", "se", "behind", "se"]
    assert [line.split()[0] for line in lines].count("*") == 1
    assert lines[1].strip("*+ ").startswith("as they were")
    assert "*: 0.2" in lines[2]


def test_bad_input_says_what_was_wanted() -> None:
    silent = MCDropout(nn.Sequential(nn.Linear(6, 3), nn.Dropout(0.0)), task="classification")
    wrong: list[tuple[type[Exception], str, dict[str, Any]]] = [
        (OptionError, "'heads.*' matches nothing in Sequential", {"groups": ["heads.*"]}),
        (DomainError, r"groups must be a list of globs, such as \['\*'\], got '\*'", {"groups": "*"}),
        (DomainError, r"grid must hold rates in \(0, 1\), got \[0, 0.5\]", {"grid": [0, 0.5]}),
        (OptionError, "search must be one of grid, golden, got 'random'", {"search": "random"}),
        (OptionError, "score must be one of nll, crps, got 'ece'", {"score": "ece"}),
        (
            OptionError,
            "the score 'crps' is for the tasks regression, heteroscedastic, got 'classification'",
            {"score": "crps"},
        ),
        (ShapeError, "y must have a value for each of the 60 rows, got 2", {"y": Y[:2]}),
        (OptionError, r"'\*' matches only rates of 0, such as 1.p", {"mc": silent}),
        (InputError, "wanted an MCDropout, got a Sequential", {"mc": classifier()}),
    ]
    for kind, said, options in wrong:
        arguments: dict[str, Any] = {"mc": CLASSIFIER, "y": Y, **options}
        with pytest.raises(kind, match=said):
            tune_rates(arguments.pop("mc"), X, **arguments)
