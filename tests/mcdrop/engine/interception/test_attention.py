import itertools

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.attention.bias import causal_lower_right

from mcdrop.engine.interception.mode import Interception
from mcdrop.engine.interception.table import HANDLERS
from mcdrop.engine.sites import Law
from mcdrop.errors import UnsupportedModelError
from tests.support.replaying import network_and_call
from tests.support.tolerances import FLOAT32


class Ones:
    """A source of masks that keep everything."""

    def draw(self, _kind: str, _p: float | None, law: Law, shape: tuple[int, ...]) -> Tensor:
        return torch.ones(shape, dtype=law.dtype)


def under() -> Interception:
    return Interception(Ones(), HANDLERS, lambda: "")


def masks() -> list[Tensor | None]:
    allowed = torch.rand(2, 1, 5, 5, generator=torch.Generator().manual_seed(0)) < 0.6
    allowed[:, :, 0] = False
    return [None, allowed, torch.zeros(2, 1, 5, 5).masked_fill(~allowed, -torch.inf), allowed[0, 0]]


@pytest.mark.parametrize(("mask", "scale"), list(itertools.product(masks(), (None, 0.7))))
def test_written_out_attention_with_nothing_dropped_is_the_fused_one(
    mask: Tensor | None, scale: float | None
) -> None:
    query, key, value = torch.randn(3, 2, 3, 5, 4, generator=torch.Generator().manual_seed(1))
    wanted = F.scaled_dot_product_attention(query, key, value, mask, scale=scale)
    with under():
        got = F.scaled_dot_product_attention(query, key, value, mask, 0.5, scale=scale)
    torch.testing.assert_close(got, wanted, **FLOAT32)


@pytest.mark.parametrize(("causal", "grouped"), list(itertools.product((False, True), (False, True))))
def test_causal_and_grouped_attention_are_written_out_right(causal: bool, grouped: bool) -> None:
    query, key, value = torch.randn(3, 2, 4, 5, 4, generator=torch.Generator().manual_seed(1))
    key, value = (key[:, :2], value[:, :2]) if grouped else (key, value)
    wanted = F.scaled_dot_product_attention(query, key, value, is_causal=causal, enable_gqa=grouped)
    with under():
        got = F.scaled_dot_product_attention(
            query, key, value, dropout_p=0.5, is_causal=causal, enable_gqa=grouped
        )
    torch.testing.assert_close(got, wanted, **FLOAT32)


@pytest.mark.parametrize("rank", [2, 3, 4])
@pytest.mark.parametrize("batched", list(itertools.product((False, True), repeat=3))[1:], ids=str)
def test_fused_attention_under_vmap_is_that_of_each_sample(rank: int, batched: tuple[bool, ...]) -> None:
    shape = (2, 3, 5, 4)[4 - rank :]
    generator = torch.Generator().manual_seed(2)
    tensors = [
        torch.randn(6, *shape, generator=generator) if b else torch.randn(shape, generator=generator)
        for b in batched
    ]
    mask = torch.randn(6, 5, 5, generator=generator) if batched[0] else torch.randn(5, 5, generator=generator)
    axes = tuple(0 if b else None for b in (*batched, batched[0]))

    def attend(query: Tensor, key: Tensor, value: Tensor, mask: Tensor) -> Tensor:
        with under():
            return F.scaled_dot_product_attention(query, key, value, mask)

    query, key, value = tensors
    got = torch.func.vmap(attend, in_dims=axes)(query, key, value, mask)
    for s in range(6):
        query, key, value, one_mask = (
            _sample(t, axis, s) for t, axis in zip((*tensors, mask), axes, strict=True)
        )
        wanted = F.scaled_dot_product_attention(query, key, value, one_mask)
        torch.testing.assert_close(got[s], wanted, **FLOAT32)


class Given:
    """A source of one mask."""

    def __init__(self, mask: Tensor) -> None:
        self.mask = mask

    def draw(self, _kind: str, _p: float | None, _law: Law, shape: tuple[int, ...]) -> Tensor:
        assert shape == (2, 4, 5, 5)
        return self.mask


@pytest.mark.parametrize("batched", list(itertools.product((False, True), repeat=4)), ids=str)
@pytest.mark.parametrize("masking", ["none", "causal", "allowed", "added"])
def test_attention_with_dropout_under_vmap_is_that_of_each_sample(
    batched: tuple[bool, ...], masking: str
) -> None:
    generator = torch.Generator().manual_seed(3)
    shapes = ((2, 4, 5, 4), (2, 2, 5, 4), (2, 2, 5, 4), (5, 5))
    *tensors, mask = (
        torch.randn(*((6,) if b else ()), *shape, generator=generator)
        for b, shape in zip(batched, shapes, strict=True)
    )
    mask = _mask_like(masking, mask)
    noise = torch.rand(6, 1, 4, 5, 5, generator=generator)
    axes = (*(0 if b else None for b in batched), 0)

    def attend(query: Tensor, key: Tensor, value: Tensor, mask: Tensor, noise: Tensor) -> Tensor:
        with Interception(Given(noise), HANDLERS, lambda: ""):
            given = None if masking in ("none", "causal") else mask
            return F.scaled_dot_product_attention(
                query, key, value, given, 0.5, masking == "causal", scale=0.7, enable_gqa=True
            )

    inputs = [*tensors, mask, noise]
    before = [t.clone() for t in inputs]
    got = torch.func.vmap(attend, in_dims=axes)(*inputs)
    for s in range(6):
        one = [_sample(t, axis, s) for t, axis in zip(inputs, axes, strict=True)]
        torch.testing.assert_close(got[s], _written_out(one, masking), **FLOAT32)
    for tensor, its_copy in zip(inputs, before, strict=True):
        assert torch.equal(tensor, its_copy)  # nothing of the network's own was written to


def _mask_like(masking: str, mask: Tensor) -> Tensor:
    """With a query that may attend to nothing."""
    allowed = mask > -1
    allowed[..., 2, :] = False
    return allowed if masking == "allowed" else mask.masked_fill(~allowed, -torch.inf)


def _written_out(inputs: list[Tensor], masking: str) -> Tensor:
    query, key, value, mask, noise = inputs
    key, value = key.repeat_interleave(2, 1), value.repeat_interleave(2, 1)
    scores = query @ key.transpose(-2, -1) * 0.7
    if masking == "causal":
        scores = scores.masked_fill(torch.ones(5, 5).triu(1) == 1, -torch.inf)
    elif masking == "allowed":
        scores = scores.masked_fill(~mask, -torch.inf)
    elif masking == "added":
        scores = scores + mask
    return (scores.softmax(-1).nan_to_num(0) * noise) @ value


def _sample(tensor: Tensor, axis: int | None, sample: int) -> Tensor:
    return tensor if axis is None else tensor.select(axis, sample)


def test_a_causal_bias_is_refused_with_what_to_give_instead() -> None:
    bias = causal_lower_right(5, 5)

    class Biased(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return F.scaled_dot_product_attention(x, x, x, bias)

    model = nn.Sequential(nn.Dropout(0.3), Biased()).eval()
    with pytest.raises(UnsupportedModelError, match=r"^1 calls F.scaled.* a CausalBias, .* is_causal=True"):
        network_and_call(model, torch.randn(4, 5, 4))
