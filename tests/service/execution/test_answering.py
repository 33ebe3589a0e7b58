"""Requests that are answered together have the answers that each has alone, which are the library's."""

from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
from mcdrop_service.execution import Lane, Task
from mcdrop_service.execution.checkpoint_model import CheckpointModel
from mcdrop_service.execution.cost import pieces_of
from mcdrop_service.execution.health import Health
from mcdrop_service.facts import ModelFacts, PredictionAnswer, PredictionRequest
from mcdrop_service.scheduler import More, Pieces, Ripe, Unit
from mcdrop_service.telemetry import Notes
from mcdrop_service.web.asking import sizes_before

import mcdrop
from mcdrop.calibrating import calibrate
from mcdrop.checkpoint import InputSpec, write_checkpoint
from mcdrop.conformal import AdaptiveSets
from tests.e2e.architectures import shared_weights
from tests.support.checkpoints import small_checkpoint, small_manifest, small_model

MODELS = Path(__file__).parents[3] / "models"
ROWS = np.random.default_rng(0).standard_normal((12, 10)).astype(np.float32)
MOMENTS = ("mean", "std", "standard_error")
WANTED: list[dict[str, Any]] = [
    {"rows": ROWS[:1]},
    {"rows": ROWS[1:4], "seed": 8},
    {"rows": ROWS[4:6], "n_samples": 16},
    {"rows": ROWS[6:7], "quantiles": (0.1, 0.5)},
    {"rows": ROWS[7:8], "outputs": ("deterministic", "mean")},
    {"rows": ROWS[8:9], "outputs": ("mean", "samples")},
    {"rows": ROWS[9:10], "outputs": ("standard_error",)},
    {"rows": np.zeros((1, 10), np.float32), "seed": 8},
    {"rows": np.tile(ROWS, (6, 1)), "n_samples": 16, "quantiles": (0.1, 0.5), "outputs": ("mean", "samples")},
]


@pytest.fixture(scope="module")
def mc(tmp_path_factory: pytest.TempPathFactory) -> mcdrop.MCDropout:
    directory: Path = tmp_path_factory.mktemp("answering")
    return mcdrop.load(small_checkpoint(directory / "small"))


def request(
    rows: Any, *, n_samples: int = 30, seed: int = 7, outputs: Any = MOMENTS, quantiles: Any = ()
) -> PredictionRequest:
    return PredictionRequest({"columns": rows}, len(rows), n_samples, seed, outputs, quantiles)


def ripe(model: CheckpointModel, asked: PredictionRequest, ticket: int) -> Ripe:
    """A request of which every unit has run, each alone."""
    task = Task(
        cast("ModelFacts", None), asked, model, Lane(16, 16, mixes=True), Notes(), cast("Health", None)
    )
    units = [
        Unit(ticket, task, row, block, 0)
        for block in range(-(-asked.n_samples // 16))
        for row in range(asked.rows)
    ]
    return Ripe(ticket, task, [result for unit in units for result in model.run([unit])])


def outputs_of(answer: PredictionAnswer | More | Pieces) -> dict[str, Any]:
    if isinstance(answer, Pieces):
        answer = _made(answer)
    assert isinstance(answer, PredictionAnswer)
    return {**answer.outputs, "notes": np.array(answer.notes), "passes": np.array(answer.passes)}


def test_requests_that_are_answered_together_have_the_answers_that_each_has_alone(
    mc: mcdrop.MCDropout,
) -> None:
    model = CheckpointModel.of("small", mc)
    done = [ripe(model, request(**wanted), ticket) for ticket, wanted in enumerate(WANTED)]
    together = [outputs_of(answer) for answer in model.finish(done)]
    alone = [outputs_of(model.finish([its])[0]) for its in done]
    for found, expected in zip(together, alone, strict=True):
        assert found.keys() == expected.keys()
        for name, values in expected.items():
            np.testing.assert_array_equal(found[name], values, name)
            assert found[name].dtype == values.dtype


@pytest.mark.parametrize("wanted", WANTED)
def test_an_answer_is_what_the_library_predicts(mc: mcdrop.MCDropout, wanted: dict[str, Any]) -> None:
    model, asked = CheckpointModel.of("small", mc), request(**wanted)
    answer = outputs_of(model.finish([ripe(model, asked, 0)])[0])
    options: dict[str, Any] = {"quantiles": asked.quantiles or None, "keep_samples": True}
    expected = mc.predict(wanted["rows"], n_samples=asked.n_samples, seed=asked.seed, exact=True, **options)
    for name in asked.outputs:
        np.testing.assert_array_equal(answer[name], getattr(expected, name).numpy())
    assert answer["notes"].tolist() == list(expected.notes)
    if asked.quantiles:
        np.testing.assert_array_equal(answer["quantiles"], expected.quantile(asked.quantiles).numpy())


@pytest.mark.parametrize("wanted", WANTED)
def test_how_many_bytes_an_answer_will_have_is_known_before(
    mc: mcdrop.MCDropout, wanted: dict[str, Any]
) -> None:
    model, asked = CheckpointModel.of("small", mc), request(**wanted)
    (answer,) = model.finish([ripe(model, asked, 0)])
    found = outputs_of(answer)
    sizes = {name: size for name, size in sizes_before(asked, model.warm_up()).items() if size}
    assert sizes == {name: found[name].nbytes for name in found.keys() - {"notes", "passes"}}


def test_what_is_noted_of_a_spread_is_the_same_in_company_and_alone(tmp_path: Path) -> None:
    network = small_model()
    list(network.parameters())[-1].data.fill_(-200)
    mc = mcdrop.load(write_checkpoint(tmp_path / "sure", small_manifest(task="binary"), network, readme="#"))
    model = CheckpointModel.of("sure", mc)
    asked = [ROWS[1:2], 10 * ROWS[4:5], np.nan * ROWS[:1]]
    done = [ripe(model, request(rows), ticket) for ticket, rows in enumerate(asked)]
    answers = [outputs_of(answer) for answer in model.finish(done)]
    assert [answer["std"].item() == 0 for answer in answers] == [True, False, False]
    assert [answer["notes"].tolist() for answer in answers] == [["zero_variance"], [], ["not_finite"]]
    for rows, answer in zip(asked, answers, strict=True):
        assert mc.predict(rows, exact=True, n_samples=30, seed=7).notes == tuple(answer["notes"])


def test_a_calibration_is_void_for_whom_it_is_and_not_for_who_is_answered_beside(
    mc: mcdrop.MCDropout, tmp_path: Path
) -> None:
    fitted_on = mc.predict(np.tile(ROWS, (2, 1)), n_samples=30, seed=7, exact=True)
    assert mc.manifest is not None
    calibrated = mc.calibrated(calibrate(fitted_on, fitted_on.mean + 1, "std"))
    calibrated.save(tmp_path / "calibrated", inputs=mc.manifest.inputs)
    model = CheckpointModel.of("calibrated", mcdrop.load(tmp_path / "calibrated"))
    seeds = (8, 7, 9)
    done = [ripe(model, request(ROWS[:2], seed=seed), seed) for seed in seeds]
    notes = [outputs_of(answer)["notes"].tolist() for answer in model.finish(done)]
    assert notes == [[f"calibration is void: seed is {n}, fitted with 7"] * (n != 7) for n in seeds]


def test_sets_are_drawn_by_the_place_of_a_row_in_its_own_request(tmp_path: Path) -> None:
    mc = mcdrop.load(MODELS / "digits")
    data = np.load(MODELS / "digits" / "validation.npz")
    x, y = data["x"][:60], data["y"][:60]
    assert mc.manifest is not None
    fitted = calibrate(mc.predict(x, n_samples=16, seed=7, exact=True), y, "sets")
    assert isinstance(fitted, AdaptiveSets)
    sets = replace(fitted, bound=0.5, randomized=True)
    mc.calibrated(sets).save(tmp_path / "digits", inputs=mc.manifest.inputs)
    model = CheckpointModel.of("digits", mcdrop.load(tmp_path / "digits"))
    parts = np.split(x, [20, 40])
    asked = [PredictionRequest({"x": part}, 20, 16, 7, ("prediction_set",)) for part in parts]
    answers = model.finish([ripe(model, each, ticket) for ticket, each in enumerate(asked)])
    for part, answer in zip(parts, answers, strict=True):
        wanted = mc.calibrated(sets).predict(part, n_samples=16, seed=7, exact=True)
        np.testing.assert_array_equal(outputs_of(answer)["prediction_set"], wanted.numpy()["prediction_set"])


@pytest.mark.parametrize(("rows", "blocks"), [(1, 2), (6, 2), (12, 1)])
def test_rows_that_go_on_want_no_more_than_there_is_room_for_and_no_more_than_they_had(
    mc: mcdrop.MCDropout, rows: int, blocks: int
) -> None:
    model = CheckpointModel.of("small", mc)
    asked = PredictionRequest({"columns": ROWS[:rows]}, rows, 1024, 7, MOMENTS, (), 1e-9)
    whole = ripe(model, replace(asked, n_samples=32), 0)
    whole.payload.request = asked
    (more,) = model.finish([whole])
    assert isinstance(more, More)
    assert (more.rows, more.blocks) == (tuple(range(rows)), blocks)


@pytest.mark.parametrize("rows", [ROWS, ROWS[:1]])
def test_an_answer_whose_rows_have_stopped_is_made_tile_by_tile(mc: mcdrop.MCDropout, rows: Any) -> None:
    model = CheckpointModel.of("small", mc)
    asked = PredictionRequest({"columns": rows}, len(rows), 64, 7, MOMENTS, (), 1e-9)
    (answer,) = model.finish([ripe(model, asked, 0)])
    assert isinstance(answer, Pieces)
    assert answer.count == -(-len(rows) // mc.exact_blocks(rows).rows)
    found = _made(answer)
    expected = mc.predict(rows, n_samples="auto", tolerance=1e-9, max_samples=64, seed=7, exact=True)
    for name in MOMENTS:
        np.testing.assert_array_equal(found.outputs[name], getattr(expected, name).numpy())
    assert found.notes == expected.notes


@pytest.mark.parametrize("masks", ["consistent", "independent"])
def test_as_many_pieces_are_reckoned_with_as_an_answer_is_made_in(tmp_path: Path, masks: Any) -> None:
    shared = mcdrop.MCDropout(shared_weights(), task="raw", masks=masks)
    shared.trace(torch.zeros(2, 6))
    specs = [InputSpec(name="columns", dtype="float32", shape=[6])]
    shared.save(tmp_path / "shared", architecture="tests.e2e.architectures:shared_weights", inputs=specs)
    model = CheckpointModel.of("shared", mcdrop.load(tmp_path / "shared", allow=["tests"]))
    asked = request(np.tile(ROWS[:, :6], (2, 1)), n_samples=16, quantiles=(0.5,))
    (answer,) = model.finish([ripe(model, asked, 0)])
    assert isinstance(answer, Pieces)
    assert pieces_of(asked, model.lane(asked)) == answer.count == 2


def _made(pieces: Pieces) -> PredictionAnswer:
    """The answer, with the last of the pieces."""
    *before, answer = pieces.work
    assert [*before, None] == [None] * pieces.count
    assert isinstance(answer, PredictionAnswer)
    return answer
