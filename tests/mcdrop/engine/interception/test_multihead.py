"""Self-attention of `nn.MultiheadAttention` beside the native function."""

import itertools
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mcdrop.engine.interception import multihead
from mcdrop.engine.interception.mode import Interception
from mcdrop.engine.interception.table import HANDLERS
from mcdrop.engine.sites import Law
from tests.support.tolerances import FLOAT32

ROWS, TOKENS, WIDTH, HEADS = 3, 5, 8, 2
GENERATOR = torch.Generator().manual_seed(0)


class Given:
    """A source of one mask, whatever shape is wanted; it keeps what was asked for."""

    def __init__(self, mask: Tensor) -> None:
        self.mask = mask
        self.asked: list[tuple[str, tuple[int, ...]]] = []

    def draw(self, kind: str, _p: float | None, _law: Law, shape: tuple[int, ...]) -> Tensor:
        self.asked.append((kind, shape))
        return self.mask.expand(shape)


def attention(*, batch_first: bool = True, p: float = 0.5, **options: Any) -> nn.MultiheadAttention:
    torch.manual_seed(1)
    return nn.MultiheadAttention(WIDTH, HEADS, dropout=p, batch_first=batch_first, **options).train()


def inputs(batch_first: bool) -> Tensor:
    x = torch.randn(ROWS, TOKENS, WIDTH, generator=GENERATOR)
    return x if batch_first else x.transpose(0, 1).contiguous()


def padding(kind: str) -> Tensor | None:
    padded = torch.zeros(ROWS, TOKENS, dtype=torch.bool)
    padded[1, 3:] = padded[2] = True  # and one row of nothing else
    if kind == "none":
        return None
    return padded if kind == "boolean" else torch.zeros(ROWS, TOKENS).masked_fill(padded, -torch.inf)


every_layout = pytest.mark.parametrize(
    ("batch_first", "kind"), list(itertools.product((False, True), ("none", "boolean", "float")))
)


@every_layout
def test_with_nothing_dropped_it_is_the_native_function(batch_first: bool, kind: str) -> None:
    module, x = attention(batch_first=batch_first), inputs(batch_first)
    with torch.no_grad():
        wanted, _ = attention(batch_first=batch_first, p=0.0)(
            x, x, x, key_padding_mask=padding(kind), need_weights=False
        )
        source = Given(torch.ones(1))
        with Interception(source, HANDLERS, lambda: ""):
            got, weights = module(x, x, x, key_padding_mask=padding(kind), need_weights=False)
    assert weights is None
    assert source.asked == [("attention", (ROWS, HEADS, TOKENS, TOKENS))]
    assert got.is_contiguous() or batch_first  # as the native one, of which networks make views
    torch.testing.assert_close(got, wanted, **FLOAT32)


@every_layout
@pytest.mark.parametrize("mapped", [False, True])
def test_under_vmap_each_sample_is_what_the_descent_computes_of_it(
    batch_first: bool, kind: str, mapped: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    module, x = attention(batch_first=batch_first), inputs(batch_first)
    x = torch.stack([x, 2 * x, -x]) if mapped else x
    masks = torch.rand(3, ROWS, HEADS, TOKENS, TOKENS, generator=GENERATOR)

    def one(x: Tensor, mask: Tensor) -> Tensor:
        with Interception(Given(mask), HANDLERS, lambda: ""):
            out: Tensor = module(x, x, x, key_padding_mask=padding(kind), need_weights=False)[0]
        return out

    with torch.no_grad():
        got = torch.func.vmap(one, in_dims=(0 if mapped else None, 0))(x, masks)
        monkeypatch.setattr(multihead, "_is_usual", lambda *_: False)
        wanted = torch.stack([one(x[s] if mapped else x, masks[s]) for s in range(3)])
    torch.testing.assert_close(got, wanted, **FLOAT32)


RARE: dict[str, Callable[[nn.MultiheadAttention, Tensor], Tensor]] = {
    "weights wanted": lambda module, x: module(x, x, x)[0],
    "a mask": lambda module, x: module(
        x, x, x, attn_mask=torch.ones(TOKENS, TOKENS).triu(1) == 1, need_weights=False
    )[0],
    "another query": lambda module, x: module(2 * x, x, x, need_weights=False)[0],
    "one row without its axis": lambda module, x: module(x[0], x[0], x[0], need_weights=False)[0],
    "evaluation": lambda module, x: module.eval()(x, x, x, need_weights=False)[0],
}


@pytest.mark.parametrize("options", [{}, {"add_bias_kv": True}, {"add_zero_attn": True}, {"bias": False}])
@pytest.mark.parametrize("name", RARE)
def test_what_is_not_usual_is_the_native_function_too(name: str, options: dict[str, bool]) -> None:
    x, module = inputs(batch_first=True), attention(**options)
    with torch.no_grad():
        wanted = RARE[name](attention(p=0.0, **options), x)
        with Interception(Given(torch.ones(1)), HANDLERS, lambda: ""):
            got = RARE[name](module, x)
    torch.testing.assert_close(got, wanted, **FLOAT32)


def test_a_width_that_does_not_fit_is_refused_by_the_function_itself() -> None:
    module, x = attention(), torch.ones(ROWS, TOKENS, WIDTH + 2)
    with (
        Interception(Given(torch.ones(1)), HANDLERS, lambda: ""),
        pytest.raises(AssertionError, match=f"expecting embedding dimension of {WIDTH}"),
    ):
        module(x, x, x, need_weights=False)


def test_the_projections_of_another_sample_are_not_taken_for_ones_own() -> None:
    module, x = attention(p=0.5), inputs(batch_first=True)
    weights = torch.stack([module.in_proj_weight, 2 * module.in_proj_weight]).detach()

    def one(weight: Tensor) -> Tensor:
        with Interception(Given(torch.ones(1)), HANDLERS, lambda: ""):
            out: Tensor = F.multi_head_attention_forward(
                x, x, x, WIDTH, HEADS, weight, None, None, None, False, 0.5,
                module.out_proj.weight, None, need_weights=False,
            )[0]  # fmt: skip
        return out

    with torch.no_grad():
        got = torch.func.vmap(one)(weights)
        torch.testing.assert_close(got, torch.stack([one(w) for w in weights]), **FLOAT32)
