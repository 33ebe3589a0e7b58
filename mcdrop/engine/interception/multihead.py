"""Self-attention of `F.multi_head_attention_forward`, with as few passes over memory as it takes.

The function asks an override guard first, so that a mode sees one call and not the dropout inside; a copy
without guards would do for every case (`mcdrop.engine.interception.descent`), and does for all that is rare.
It moves the tokens in front of the rows and back, though, and copies queries, keys and values twice. Here
the usual case is computed in the order in which the rows lie in memory.

Alphabet: (T, N, E) tokens, rows, width; H heads.
"""

import math
from typing import Any, Final

import torch
import torch.nn.functional as F
from torch import Tensor

from mcdrop.engine.functorch import has_sample_axis, lifted, lowered
from mcdrop.engine.interception.attention import masked_softmax, mixed
from mcdrop.engine.interception.descent import descending
from mcdrop.engine.interception.mode import Handler, Interception
from mcdrop.engine.interception.products import product
from mcdrop.engine.sites import Law

__all__ = ["HANDLERS"]

_POSITIONAL: Final = 13
"""Arguments that `nn.MultiheadAttention` passes by position."""
_RARE: Final = ("attn_mask", "use_separate_proj_weight", "static_k", "static_v", "is_causal")

_Linear = tuple[Tensor, Tensor | None]
"""Weight and bias."""

_descend: Final = descending(F.multi_head_attention_forward)


def _multi_head(mode: Interception, *args: Any, **options: Any) -> tuple[Tensor, Tensor | None]:
    if len(args) != _POSITIONAL or not _is_usual(args, options):
        return _descend(mode, *args, **options)  # type: ignore[no-any-return]
    query, _, _, _, heads, w_in, b_in, _, _, _, p, w_out, b_out = args
    padding = options.get("key_padding_mask")
    return _self_attention(mode, query, heads, (w_in, b_in), p, (w_out, b_out), padding), None


def _is_usual(args: tuple[Any, ...], options: dict[str, Any]) -> bool:
    """Whether it is self-attention with dropout, no mask but that of the padding, and no weights wanted."""
    query, key, value, width, heads, w_in, b_in, bias_k, _, zero, p, w_out, b_out = args
    return (
        query is key is value
        and query.dim() == 3
        and query.numel() > 0
        and query.shape[-1] == width
        and width % heads == 0
        and bias_k is None
        and not zero
        and p > 0
        and options.get("training", True)
        and not options.get("need_weights", True)
        and all(options.get(name) is None or options[name] is False for name in _RARE)
        and not any(t is not None and has_sample_axis(t) for t in (w_in, b_in, w_out, b_out))
    )


def _self_attention(
    mode: Interception,
    query: Tensor,
    heads: int,
    into: _Linear,
    p: float,
    out_of: _Linear,
    padding: Tensor | None,
) -> Tensor:
    """(T, N, E)."""
    tokens_first = lifted(query, 3)
    q, k, v = _projected(tokens_first.transpose(-3, -2), heads, into)
    weights = _probabilities(q, k, None if padding is None else lifted(padding, 2))
    law = Law("noise", p, weights.dtype)
    noise = mode.draw("attention", law, weights.shape[-4:], like=weights, p=p)
    heads_joined = mixed(weights, lifted(noise, 4), v).transpose(-3, -2).flatten(-2)
    # of two axes, of which vmap makes one call, bias included, in the precision that autocast wants
    out = product(heads_joined.flatten(0, -2), *out_of).view_as(heads_joined).transpose(-3, -2)
    return lowered(out.contiguous() if tokens_first.is_contiguous() else out, 3)


def _projected(x: Tensor, heads: int, into: _Linear) -> Tensor:
    """Queries, keys and values, (3, ..., N, H, T, E / H), from (..., N, T, E)."""
    *rows, tokens, width = x.shape
    packed = product(x.reshape(-1, width), *into).view(-1, tokens, 3, heads, width // heads)
    split = packed.permute(2, 0, 3, 1, 4).contiguous()  # the only copy
    return split.view(3, *rows, *split.shape[2:])


def _probabilities(query: Tensor, key: Tensor, padding: Tensor | None) -> Tensor:
    """(..., N, H, T, T)."""
    scores = (query / math.sqrt(query.shape[-1])) @ key.transpose(-2, -1)
    return scores.softmax(-1) if padding is None else masked_softmax(scores, _allowed(padding))


def _allowed(padding: Tensor) -> Tensor:
    """(..., N, 1, 1, T) what may be attended to, or what is added to the scores."""
    mask = padding[..., None, None, :]
    return ~mask if mask.dtype == torch.bool else mask


HANDLERS: Final[dict[Any, Handler]] = {F.multi_head_attention_forward: _multi_head}
