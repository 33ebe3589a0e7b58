"""Inputs of a call: what is unpacked, what is cast, where the rows are, and how they are taken."""

from collections.abc import Callable
from dataclasses import replace
from functools import wraps
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.utils import _pytree as pytree
from torch.utils.data import TensorDataset

from mcdrop.engine.inputs import BatchAxis, Call, as_call, device_of
from mcdrop.errors import InputError, ShapeError
from tests.support.tolerances import EXACT


class Named(nn.Module):
    """Takes inputs by name."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1, dtype=torch.float64))

    def forward(
        self, ids: Tensor, mask: Tensor | None = None, scale: float = 1.0, *, flag: bool | None = None
    ) -> Tensor:
        return (-scale if flag else scale) * (ids if mask is None else ids * mask)


class Whole(nn.Module):
    """Takes one mapping."""

    def forward(self, batch: dict[str, Tensor]) -> Tensor:
        return batch["ids"]


class Open(nn.Module):
    """Takes whatever is named."""

    def forward(self, **inputs: Tensor) -> Tensor:
        return inputs["ids"]


def call(*args: Any, batch_axis: BatchAxis = 0, model: nn.Module | None = None, **kwargs: Any) -> Call:
    return as_call(model or Named(), args, kwargs, batch_axis)


def test_arguments_come_back_as_they_were_given() -> None:
    x, mask = torch.rand(3, 2), torch.ones(3, 2)
    args, kwargs = call(x, mask=mask, scale=2, flag=None).arguments()
    torch.testing.assert_close(args[0], x, **EXACT)
    torch.testing.assert_close(kwargs["mask"], mask, **EXACT)
    assert (kwargs["scale"], kwargs["flag"]) == (2, None)


def test_other_rows_are_held_as_they_lie_and_cast_to_what_the_model_takes() -> None:
    like, rows = call(torch.zeros(1, 2), ids=torch.zeros(1, dtype=torch.int64)), np.ones((3, 2), np.float32)
    held = like.holding([rows, np.arange(3, dtype=np.int32)], 3)
    assert (held.rows, held.signature) == (3, like.signature)
    assert np.shares_memory(held.leaves[0].numpy(), rows)
    assert held.leaves[1].tolist() == [0, 1, 2]


@pytest.mark.parametrize("array", [False, True])
def test_one_tensor_is_known_by_the_signature_of_the_general_way(array: bool) -> None:
    x = torch.rand(3, 2)
    one = call(x.numpy() if array else x)
    general = replace(
        one, spec=pytree.tree_structure(one.arguments())
    )  # equal, but not the one that is known
    assert general.spec is not one.spec
    assert (general.signature, general.kind) == (one.signature, one.kind)
    assert general.arguments()[1] == one.arguments()[1] == {}
    torch.testing.assert_close(general.arguments()[0], one.arguments()[0], **EXACT)


@pytest.mark.parametrize("axis", [0, 1])
def test_rows_are_repeated_one_copy_of_all_behind_the_other(axis: int) -> None:
    x = torch.arange(6.0).reshape(3, 2)
    repeated = call(x if axis == 0 else x.T, 7, batch_axis=axis).repeat(2)
    (leaf, number), _ = repeated.arguments()
    torch.testing.assert_close(leaf.movedim(axis, 0), torch.cat([x, x]), **EXACT)
    assert (number, repeated.rows) == (7, 6)


@pytest.mark.parametrize("model", [Named(), Open()])
def test_a_mapping_is_unpacked_if_forward_names_its_keys(model: nn.Module) -> None:
    args, kwargs = call({"ids": torch.zeros(3, 2), "mask": torch.ones(3, 2)}, model=model).arguments()
    assert (args, set(kwargs)) == ((), {"ids", "mask"})


def test_a_mapping_is_passed_whole_if_forward_does_not_name_its_keys() -> None:
    given_call = call({"ids": torch.zeros(3, 2), "mask": torch.ones(3, 4)}, model=Whole())
    args, kwargs = given_call.arguments()
    assert (set(args[0]), kwargs, given_call.rows) == ({"ids", "mask"}, {}, 3)


def test_a_keyword_is_added_to_a_mapping_and_wins() -> None:
    _, kwargs = call({"ids": torch.zeros(3, 2)}, ids=torch.ones(4, 2)).arguments()
    assert kwargs["ids"].shape == (4, 2)


@pytest.mark.parametrize("inputs", [([1.0, 2.0],), (torch.zeros(2, 1), [torch.zeros(2, 1)])])
def test_a_bare_list_is_refused(inputs: tuple[Any, ...]) -> None:
    with pytest.raises(InputError, match="an input is a list, which could be one input, several, or a batch"):
        call(*inputs)


def test_a_list_by_name_is_refused_too() -> None:
    with pytest.raises(InputError, match="an input is a list"):
        call(ids=[1, 2])


def test_no_input_at_all_is_refused() -> None:
    with pytest.raises(InputError, match="wanted at least one input for the model, got none"):
        call()


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", ">f4"])
def test_floats_of_an_array_take_the_dtype_of_the_parameters(dtype: str) -> None:
    (leaf,) = call(np.array([[1.5], [2.5]], dtype=dtype)).leaves
    assert leaf.dtype is torch.float64
    assert leaf.flatten().tolist() == [1.5, 2.5]


@pytest.mark.parametrize(
    ("dtype", "expected"), [("int32", torch.int32), ("bool", torch.bool), ("<i8", torch.int64)]
)
def test_integers_of_an_array_stay_what_they_are(dtype: str, expected: torch.dtype) -> None:
    (leaf,) = call(np.zeros((2, 3), dtype=dtype)).leaves
    assert leaf.dtype is expected


def test_without_parameters_floats_become_float32() -> None:
    (leaf,) = call(np.zeros((2, 3)), model=nn.Identity()).leaves
    assert leaf.dtype is torch.float32


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.int64])
def test_the_dtype_of_a_tensor_is_kept(dtype: torch.dtype) -> None:
    (leaf,) = call(torch.zeros(2, 3, dtype=dtype)).leaves
    assert leaf.dtype is dtype


def test_a_tensor_is_cut_from_its_history() -> None:
    (leaf,) = call(torch.zeros(2, 3, requires_grad=True) * 2).leaves
    assert not leaf.requires_grad


def test_a_read_only_or_strided_array_is_taken_without_a_warning() -> None:
    array = np.arange(12.0).reshape(3, 4)[:, ::-2]
    array.flags.writeable = False
    (leaf,) = call(array).leaves
    assert leaf.tolist() == array.tolist()


@pytest.mark.parametrize(
    "array", [np.array([["a"]]), np.array([[object()]]), np.zeros((1, 1), dtype=complex)]
)
def test_an_array_of_something_else_is_refused(array: np.ndarray[Any, Any]) -> None:
    with pytest.raises(InputError, match="an array input must hold numbers, got dtype"):
        call(array)


@pytest.mark.parametrize(
    ("batch_axis", "axes", "rows"),
    [
        (1, (1, 1), 5),
        (-1, (1, 1), 5),
        ((0, None), (0, None), 4),
        ((0,), (0, 0), 4),
        (None, (None, None), 1),
    ],
)
def test_the_row_axis_is_one_for_all_or_one_for_each(
    batch_axis: BatchAxis, axes: tuple[int | None, ...], rows: int
) -> None:
    found = call(torch.zeros(4, 5), torch.zeros(4, 5), batch_axis=batch_axis)
    assert (found.axes, found.rows) == (axes, rows)


def test_the_row_axis_can_be_given_by_name() -> None:
    found = call(ids=torch.zeros(7, 3), mask=torch.zeros(5, 7), batch_axis={"mask": 1})
    assert (found.axes, found.rows) == ((0, 1), 7)


def test_a_number_has_no_rows() -> None:
    assert call(torch.zeros(4, 5), torch.tensor(2.0), 3).axes == (0, None, None)


def test_a_model_without_tensors_of_its_own_is_where_its_inputs_are() -> None:
    assert device_of(nn.Dropout(0.3), [3, torch.zeros(4, device="meta")]).type == "meta"
    assert device_of(nn.BatchNorm1d(3, affine=False, device="meta"), [torch.zeros(4)]).type == "meta"
    assert device_of(nn.Dropout(0.3), []).type == "cpu"


def test_lengths_stay_on_the_cpu_beside_a_tensor_that_is_on_the_device_already() -> None:
    model, there = nn.Linear(5, 3, device="meta"), torch.zeros(4, 5, device="meta")
    lengths, mask = torch.tensor([2, 4, 5, 3]), torch.ones(4, 5, dtype=torch.int64)
    placed = call(there, lengths, mask, model=model)
    assert [leaf.device.type for leaf in placed.leaves] == ["meta", "cpu", "meta"]
    batch = call(torch.zeros(4, 5), lengths, model=model)
    assert [leaf.device.type for leaf in batch.leaves] == ["meta", "meta"]


def test_different_numbers_of_rows_are_refused() -> None:
    with pytest.raises(
        ShapeError, match=r"same number of rows, got shapes \(4, 5\), \(3, 5\); batch_axis= names"
    ):
        call(torch.zeros(4, 5), torch.zeros(3, 5))


def test_no_rows_are_refused() -> None:
    with pytest.raises(ShapeError, match=r"wanted at least one row, got an input of shape \(0, 5\)"):
        call(torch.zeros(0, 5))


def test_the_signature_is_that_of_other_rows_of_the_same_kind() -> None:
    signature = call(torch.zeros(4, 5), mask=torch.zeros(4, 2)).signature
    assert signature == call(torch.ones(9, 5), mask=torch.ones(9, 2)).signature
    assert hash(signature) is not None


@pytest.mark.parametrize(
    "other",
    [
        call(torch.zeros(4, 6), scale=1),
        call(torch.zeros(4, 5, dtype=torch.float64), scale=1),
        call(torch.zeros(4, 5), scale=2),
        call(torch.zeros(4, 5)),
        call(torch.zeros(4, 5), 1),
        call(torch.zeros(4, 5), scale=1, batch_axis=1),
    ],
)
def test_the_signature_tells_everything_else_apart(other: Call) -> None:
    assert call(torch.zeros(4, 5), scale=1).signature != other.signature


def test_a_negative_axis_leaves_the_rows_out_of_the_signature() -> None:
    assert (
        call(torch.zeros(5, 4), batch_axis=-1).signature == call(torch.zeros(5, 9), batch_axis=-1).signature
    )


def test_the_kind_leaves_out_every_length() -> None:
    assert call(torch.zeros(4, 5)).kind == call(torch.zeros(3, 8)).kind
    assert call(torch.zeros(4, 5)).kind != call(torch.zeros(4, 5, 1)).kind


@given(st.lists(st.integers(0, 5), min_size=1, max_size=9), st.integers(0, 1))
def test_rows_are_taken_from_every_input_that_has_them(rows: list[int], axis: int) -> None:
    x, scale = torch.arange(24).reshape((6, 4) if axis == 0 else (4, 6)), torch.tensor(3)
    taken = call(x, scale, batch_axis=(axis, None)).take(torch.tensor(rows))
    assert taken.rows == len(rows)
    torch.testing.assert_close(taken.leaves[0], x.index_select(axis, torch.tensor(rows)), **EXACT)
    assert taken.leaves[1].item() == 3


@given(st.integers(1, 4), st.integers(0, 1))
def test_one_by_one_every_row_is_a_call_of_its_own(rows: int, axis: int) -> None:
    x, scale = torch.arange(2 * rows).reshape((rows, 2) if axis == 0 else (2, rows)), torch.tensor(3)
    several = call(x, scale, batch_axis=(axis, None))
    for row, single in enumerate(several.one_by_one()):
        expected = several.take(slice(row, row + 1))
        assert (single.rows, single.signature) == (1, expected.signature)
        torch.testing.assert_close(single.leaves, expected.leaves, **EXACT)
    assert Call.join(several.one_by_one()).rows == rows
    whole = call(x, batch_axis=None)
    assert whole.one_by_one() == [whole]


@given(st.integers(1, 6), st.integers(0, 4), st.integers(0, 1))
def test_padding_puts_zeros_behind_the_rows(rows: int, more: int, axis: int) -> None:
    x = torch.ones((rows, 2) if axis == 0 else (2, rows))
    padded = call(x, batch_axis=axis).pad(rows + more)
    assert padded.rows == rows + more
    torch.testing.assert_close(padded.take(slice(0, rows)).leaves[0], x, **EXACT)
    assert padded.leaves[0].sum() == 2 * rows


def test_padded_rows_lie_in_memory_as_those_do_that_need_no_padding() -> None:
    images = call(torch.rand(4, 1, 5, 5).to(memory_format=torch.channels_last))
    rows = [images.take(slice(row, row + 1)) for row in range(4)]
    blocks = [images.pad(4), images.take(slice(0, 3)).pad(4), Call.join(rows, 4), Call.join(rows[:1], 4)]
    assert {block.leaves[0].stride() for block in blocks} == {(25, 25, 5, 1)}
    torch.testing.assert_close(blocks[2].leaves[0], images.leaves[0], **EXACT)


@given(st.lists(st.integers(1, 4), min_size=1, max_size=4))
def test_joining_the_parts_of_a_call_gives_the_call(sizes: list[int]) -> None:
    whole = call(torch.arange(2 * sum(sizes)).reshape(-1, 2), scale=2.0)
    stops = torch.tensor(sizes).cumsum(0).tolist()
    parts = [whole.take(slice(stop - size, stop)) for stop, size in zip(stops, sizes, strict=True)]
    joined = Call.join(parts)
    assert (joined.rows, joined.signature) == (whole.rows, whole.signature)
    torch.testing.assert_close(joined.leaves[0], whole.leaves[0], **EXACT)


X = torch.zeros(3, 2)


class Tokens(nn.Module):
    """Takes ids and perhaps a mask."""

    def forward(self, ids: Tensor, mask: Tensor | None = None) -> Tensor:
        return ids if mask is None else ids * mask


def test_a_mapping_with_more_than_forward_takes_is_told_what_is_too_much() -> None:
    batch = {"ids": X, "mask": X, "labels": X}
    with pytest.raises(InputError, match="forward takes ids, mask of the mapping and not labels; leave that"):
        as_call(Tokens(), (batch,), {})
    whole = as_call(Tokens(), (), {"ids": batch})
    assert (whole.rows, len(whole.leaves)) == (len(X), 3)


def test_a_mapping_of_which_forward_names_nothing_is_one_input() -> None:
    args, kwargs = as_call(Tokens(), ({"x": X, "y": X},), {}).arguments()
    assert (list(args[0]), kwargs) == (["x", "y"], {})


def test_frames_and_datasets_are_told_how_they_become_inputs() -> None:
    with pytest.raises(ShapeError, match=r"got DataFrame without any; frame\.to_numpy\(\)"):
        call(pd.DataFrame({"x": [1.0]}))
    with pytest.raises(ShapeError, match=r"got TensorDataset without any; DataLoader\(dataset"):
        call(TensorDataset(X))


def _scaled(forward: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """Takes an option that `forward` does not name, as decorators of Hugging Face do."""

    @wraps(forward)
    def scaled(*args: Any, factor: float = 1.0, **kwargs: Any) -> Tensor:
        return factor * forward(*args, **kwargs)

    return scaled


class Decorated(Tokens):
    """Its forward takes more than it names."""

    forward = _scaled(Tokens.forward)


class Preceded(Tokens):
    """Its call takes more than its forward."""

    def __call__(self, *args: Any, factor: float = 1.0, **kwargs: Any) -> Tensor:
        output: Tensor = super().__call__(*args, **kwargs)
        return factor * output


def hooked() -> Tokens:
    model = Tokens()
    model.register_forward_pre_hook(
        lambda _, args, kwargs: ((kwargs["factor"] * args[0],), {}), with_kwargs=True
    )
    return model


@pytest.mark.parametrize("model", [Decorated(), Preceded(), hooked()])
def test_what_runs_before_forward_may_take_names_of_its_own(model: nn.Module) -> None:
    args, kwargs = as_call(model, (X + 1,), {"factor": 2.0}).arguments()
    torch.testing.assert_close(model(*args, **kwargs), 2 * (X + 1), **EXACT)


@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")
def test_named_inputs_of_torchscript_do_not_hide_why_it_is_refused() -> None:
    traced = torch.jit.trace(Tokens(), X)
    assert as_call(traced, (), {"ids": X}).rows == len(X)
