"""Weights keep their bits, and fit to the last name, shape and dtype."""

import pytest
import torch
from torch import nn

from mcdrop.checkpoint.weights import (
    Weights,
    check_fit,
    load_into,
    module_weights,
    parse_weights,
    weights_bytes,
)
from mcdrop.errors import CheckpointError
from tests.support.architectures import Tied
from tests.support.tolerances import EXACT

DTYPES = [torch.float16, torch.bfloat16, torch.float32, torch.float64]


def saved_and_loaded(model: nn.Module, fresh: nn.Module) -> nn.Module:
    """`fresh` with the weights of `model`, by way of the bytes of a file."""
    weights = module_weights(model)
    load_into(fresh, parse_weights(weights_bytes(weights), weights.aliases))
    return fresh


@pytest.mark.parametrize("dtype", DTYPES)
def test_every_bit_of_every_dtype_survives(dtype: torch.dtype) -> None:
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4)).to(dtype)
    loaded = saved_and_loaded(model, nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4)))
    for name, tensor in model.state_dict().items():
        assert loaded.state_dict()[name].dtype == tensor.dtype
        torch.testing.assert_close(loaded.state_dict()[name], tensor, **EXACT)


def test_a_tied_tensor_is_written_once_and_stays_tied() -> None:
    weights = module_weights(Tied())
    assert weights.aliases == {"last.weight": "first.weight"}
    assert "last.weight" not in weights.tensors
    loaded = saved_and_loaded(Tied(), Tied())
    assert loaded.state_dict()["last.weight"].data_ptr() == loaded.state_dict()["first.weight"].data_ptr()


def test_persistent_buffers_are_saved_and_others_are_not() -> None:
    names = set(module_weights(Tied()).tensors)
    assert "count" in names
    assert "scratch" not in names


def test_tensors_that_are_not_contiguous_or_share_memory_are_written_apart() -> None:
    model = nn.Module()
    memory = torch.arange(12.0).reshape(3, 4)
    model.register_buffer("rows", memory[1:])
    model.register_buffer("turned", memory.T)
    model.register_buffer("empty", torch.zeros(0))
    model.register_buffer("also_empty", torch.zeros(0))
    weights = module_weights(model)
    parsed = parse_weights(weights_bytes(weights), weights.aliases).tensors
    assert torch.equal(parsed["rows"], memory[1:])
    assert torch.equal(parsed["turned"], memory.T)
    assert set(parsed) == {"rows", "turned", "empty", "also_empty"}


def test_equal_weights_have_equal_bytes() -> None:
    model = Tied()
    assert weights_bytes(module_weights(model)) == weights_bytes(module_weights(model))


def test_saving_leaves_the_model_as_it_was() -> None:
    model = Tied()
    before = model.first.weight.data_ptr()
    weights = module_weights(model)
    weights.tensors["first.weight"].zero_()
    assert model.first.weight.data_ptr() == before
    assert bool(model.first.weight.any())


@pytest.mark.parametrize(
    ("leaf", "problem"),
    [
        (torch.eye(2).to_sparse(), "torch.sparse_coo"),
        (torch.empty(2, device="meta"), "meta device"),
    ],
)
def test_a_tensor_without_plain_memory_is_refused_by_name(leaf: torch.Tensor, problem: str) -> None:
    model = nn.Module()
    model.register_buffer("leaf", leaf)
    with pytest.raises(CheckpointError, match=f"'leaf' must be a dense tensor, got .*{problem}"):
        module_weights(model)


def test_state_that_is_no_tensor_is_refused_by_name() -> None:
    class Stateful(nn.Module):
        def get_extra_state(self) -> object:
            return {"step": 3}

    with pytest.raises(CheckpointError, match="'_extra_state' must be a dense tensor, got a dict"):
        module_weights(Stateful())


def test_missing_and_unknown_names_are_listed() -> None:
    wanted = nn.Linear(2, 2)
    state = {"weight": torch.zeros(2, 2), "other": torch.zeros(1)}
    with pytest.raises(CheckpointError, match=r"misses 'bias' and has, and .* does not, 'other'"):
        check_fit(wanted, state)


def test_a_wrapper_in_front_of_all_names_is_told_and_one_in_front_of_some_is_not() -> None:
    state = {"net.weight": torch.zeros(2, 2), "net.bias": torch.zeros(2), "loss.weight": torch.zeros(2)}
    with pytest.raises(CheckpointError, match=r"with 'net\.' in front .* --prefix net\."):
        check_fit(nn.Linear(2, 2), state)
    del state["net.weight"]
    with pytest.raises(CheckpointError, match=r"'loss.weight', 'net.bias'$"):
        check_fit(nn.Linear(2, 2), state)


def test_a_long_list_of_names_is_cut() -> None:
    state = {f"name{k}": torch.zeros(1) for k in range(9)}
    with pytest.raises(CheckpointError, match=r"'name4' and 4 more"):
        check_fit(nn.Module(), state)


def test_a_wrong_shape_names_both() -> None:
    state = {"weight": torch.zeros(2, 3), "bias": torch.zeros(2)}
    with pytest.raises(CheckpointError, match=r"'weight' must have shape \(2, 2\), got \(2, 3\)"):
        check_fit(nn.Linear(2, 2), state)


def test_a_buffer_of_another_kind_of_number_is_refused() -> None:
    weights = module_weights(Tied())
    weights.tensors["count"] = torch.zeros((), dtype=torch.float32)
    with pytest.raises(CheckpointError, match=r"'count' must be torch\.int64, got torch.float32"):
        load_into(Tied(), weights)


def test_mixed_precision_is_not_cast_silently() -> None:
    weights = module_weights(Tied())
    weights.tensors["first.bias"] = weights.tensors["first.bias"].half()
    with pytest.raises(CheckpointError, match=r"'first.bias' must be torch.float32, got torch.float16"):
        load_into(Tied(), weights)


def test_a_header_of_any_length_is_read_also_if_it_begins_as_a_pickle_does() -> None:
    begun = set()
    for size in range(1, 260):
        name = "w" * size
        contents = weights_bytes(Weights({name: torch.ones(1)}, {}))
        begun.add(contents[:1])
        assert list(parse_weights(contents, {}).tensors) == [name]
    assert len(begun) == 32  # every multiple of 8, and so 0x80


@pytest.mark.parametrize("contents", [b"\x80\x02}q\x00.      ", b"PK\x03\x04 and more", b"\x80"])
def test_pickles_and_archives_are_told_from_it(contents: bytes) -> None:
    with pytest.raises(CheckpointError, match="must be a safetensors file, got a pickle or zip archive"):
        parse_weights(contents, {})
