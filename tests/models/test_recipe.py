"""The split never changes, training leaves no trace outside, the rates with the highest likelihood win."""

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from models import recipe
from tests.support.tolerances import EXACT


def numbered_rows(n: int) -> recipe.Split:
    """Rows whose input is their number."""
    numbers = torch.arange(n)
    return recipe.split(numbers.float()[:, None], numbers % 5, stratify=True)


def trained_line(seed: int) -> nn.Module:
    data = numbered_rows(50)
    with recipe.seeded(seed):
        model = nn.Sequential(nn.Linear(1, 4), nn.Dropout(0.5), nn.Linear(4, 1))
        part = recipe.Part(data.train.x, data.train.x)
        recipe.fit(model, part, loss=F.mse_loss, epochs=2)
    return model


def weights(model: nn.Module) -> torch.Tensor:
    return torch.cat([parameter.flatten() for parameter in model.parameters()])


def test_every_row_is_in_exactly_one_part() -> None:
    data = numbered_rows(100)
    parts = [data.train.x, data.validation.x, data.test.x]
    assert [len(part) for part in parts] == [60, 20, 20]
    assert sorted(torch.cat(parts).flatten().tolist()) == list(range(100))


def test_inputs_stay_with_their_targets_and_classes_keep_their_shares() -> None:
    data = numbered_rows(100)
    for part in (data.train, data.validation, data.test):
        torch.testing.assert_close(part.x.flatten().long() % 5, part.y, **EXACT)
        assert set(part.y.bincount().tolist()) == {len(part.y) // 5}


def test_the_split_is_the_one_that_the_shipped_models_know() -> None:
    numbers = torch.arange(442)
    data = recipe.split(numbers, numbers)
    assert data.train.x[:4].tolist() == [191, 116, 168, 367]
    assert data.validation.x[:4].tolist() == [441, 71, 157, 213]
    assert data.test.x[:4].tolist() == [159, 92, 132, 15]


def test_the_same_seed_gives_the_same_weights_and_another_gives_others() -> None:
    assert torch.equal(weights(trained_line(1)), weights(trained_line(1)))
    assert not torch.equal(weights(trained_line(1)), weights(trained_line(2)))


def test_training_leaves_the_global_generator_where_it_was() -> None:
    before = torch.get_rng_state()
    trained_line(3)
    torch.testing.assert_close(torch.get_rng_state(), before, **EXACT)


def test_a_trained_model_is_in_eval_mode() -> None:
    assert not any(module.training for module in trained_line(0).modules())


def test_training_finds_a_straight_line() -> None:
    x = torch.linspace(-1, 1, 64)[:, None]
    with recipe.seeded(0):
        model = nn.Linear(1, 1)
        recipe.fit(
            model, recipe.Part(x, 3 * x + 1), loss=F.mse_loss, epochs=200, learning_rate=0.1, weight_decay=0
        )
    torch.testing.assert_close(weights(model), torch.tensor([3.0, 1.0]), rtol=1e-3, atol=1e-3)


def test_the_rates_with_the_highest_mean_win_and_the_table_has_them_all(tmp_path: Path) -> None:
    def log_likelihood(*, seed: int, p: float, channel_p: float) -> float:
        return -((p - 0.2) ** 2) - (channel_p - 0.1) ** 2 + 0.001 * seed

    grid = {"p": (0.1, 0.2, 0.3), "channel_p": (0.1, 0.3)}
    assert recipe.choose_rates(tmp_path, grid, log_likelihood) == {"p": 0.2, "channel_p": 0.1}
    lines = (tmp_path / recipe.RATES_FILE).read_text().splitlines()
    assert lines[0] == "p,channel_p,log_likelihood,deviation_over_seeds"
    assert lines[3] == "0.2,0.1,0.001,0.001"
    assert len(lines) == 1 + 6


def test_held_out_rows_are_written_raw_and_the_same_bytes_each_time(tmp_path: Path) -> None:
    data = numbered_rows(50)
    for directory in ("first", "second"):
        recipe.save_held_out(tmp_path / directory, data)
    with np.load(tmp_path / "first" / "test.npz") as arrays:
        np.testing.assert_array_equal(arrays["x"], data.test.x.numpy())
        np.testing.assert_array_equal(arrays["y"], data.test.y.numpy())
    for name in ("validation.npz", "test.npz"):
        assert (tmp_path / "first" / name).read_bytes() == (tmp_path / "second" / name).read_bytes()


def test_the_digest_knows_the_training_rows_and_no_others() -> None:
    data = numbered_rows(50)
    facts = recipe.training_facts(data, source="numbers", epochs=1)
    other = recipe.Split(data.validation, data.validation, data.test)
    assert facts["rows"] == 30
    assert facts["digest"] != recipe.training_facts(other, source="numbers", epochs=1)["digest"]


@pytest.mark.parametrize(("arguments", "epochs"), [([], 7), (["--epochs", "1"], 1)])
def test_the_command_line_has_the_recipes_defaults(
    arguments: list[str], epochs: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.argv", ["train.py", *arguments])
    asked = recipe.command_line("What it does.", out=Path("here"), epochs=7)
    assert (asked.epochs, asked.out, asked.choose_rates) == (epochs, Path("here"), False)
