"""State dicts are read from `.pt` files without running them."""

from pathlib import Path

import pytest
import torch
from torch import nn

from mcdrop.checkpoint.pack import read_state_dict
from mcdrop.errors import CheckpointError
from tests.support.architectures import Tied


def saved(value: object, path: Path) -> Path:
    """The file that `torch.save` writes."""
    torch.save(value, path)
    return path


def test_a_state_dict_is_read_as_it_was_saved(tmp_path: Path) -> None:
    model = Tied()
    state = read_state_dict(saved(model.state_dict(), tmp_path / "a.pt"))
    assert state.keys() == model.state_dict().keys()
    assert all(torch.equal(tensor, model.state_dict()[name]) for name, tensor in state.items())


def test_the_state_dict_of_a_lightning_file_is_found_and_its_prefix_removed(tmp_path: Path) -> None:
    weights = {f"model.{name}": tensor for name, tensor in nn.Linear(2, 2).state_dict().items()}
    path = saved({"epoch": 3, "state_dict": {**weights, "loss.weight": torch.ones(1)}}, tmp_path / "a.ckpt")
    assert set(read_state_dict(path, prefix="model.")) == {"weight", "bias"}


def test_the_state_dict_can_lie_under_any_key(tmp_path: Path) -> None:
    path = saved({"net": nn.Linear(2, 2).state_dict(), "epoch": 3}, tmp_path / "a.pt")
    assert set(read_state_dict(path, key="net")) == {"weight", "bias"}
    with pytest.raises(CheckpointError, match="the file has no 'model', only: 'net', 'epoch'"):
        read_state_dict(path, key="model")
    with pytest.raises(CheckpointError, match="'net' must be a dense tensor, got a"):
        read_state_dict(path)


def test_a_prefix_that_no_name_has_shows_some_names(tmp_path: Path) -> None:
    path = saved(nn.Linear(2, 2).state_dict(), tmp_path / "a.pt")
    with pytest.raises(CheckpointError, match=r"name starts with 'model\.'; there are 'weight', 'bias'"):
        read_state_dict(path, prefix="model.")


def test_a_file_over_the_limit_is_refused_unread(tmp_path: Path) -> None:
    path = saved({"a": torch.zeros(1000)}, tmp_path / "a.pt")
    with pytest.raises(CheckpointError, match="must have at most 1000 bytes, got"):
        read_state_dict(path, max_bytes=1000)


def test_tensors_on_other_devices_come_to_the_cpu(tmp_path: Path) -> None:
    state = read_state_dict(saved({"a": torch.zeros(2)}, tmp_path / "a.pt"))
    assert state["a"].device.type == "cpu"


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"nothing\.pt cannot be read"):
        read_state_dict(tmp_path / "nothing.pt")
