"""Attention: `F.scaled_dot_product_attention`.

With dropout, attention is written out (softmax, mask, product), since no fused kernel takes a mask that was
drawn outside it. Without dropout it stays fused, behind a custom operator whose vmap rule folds the samples
into the batch.

Alphabet: (..., L, E) queries, (..., S, E) keys, (..., S, V) values.
"""

import math
from typing import Any, Final

import torch
import torch.nn.functional as F
from torch import Tensor

from mcdrop.engine.functorch import has_sample_axis, lifted, lowered
from mcdrop.engine.interception.mode import Handler, Interception
from mcdrop.engine.sites import Law
from mcdrop.errors import UnsupportedModelError

__all__ = ["HANDLERS", "masked_softmax", "mixed"]


def _attend(
    mode: Interception,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    if type(attn_mask).__module__ == "torch.nn.attention.bias":  # by name: to import it takes seconds
        raise UnsupportedModelError(
            f"{mode.place() or 'the model'} calls F.scaled_dot_product_attention with a CausalBias, which "
            "holds no mask that could be read; give it is_causal=True or a tensor of True and False"
        )
    if dropout_p == 0:
        return _fused(query, key, value, attn_mask, is_causal, scale, enable_gqa)  # type: ignore[no-any-return]
    rank = max(query.dim(), key.dim(), value.dim())
    q, k, v = (lifted(t, rank) for t in (query, key, value))
    mask = None if attn_mask is None else lifted(attn_mask, rank)
    weights = _probabilities(q, _repeat_heads(k, q, enable_gqa), mask, is_causal, scale)
    noise = mode.draw(
        "attention", Law("noise", dropout_p, weights.dtype), weights.shape[-rank:], like=weights, p=dropout_p
    )
    return lowered(mixed(weights, lifted(noise, rank), _repeat_heads(v, q, enable_gqa)), rank)


def _probabilities(
    query: Tensor, key: Tensor, mask: Tensor | None, is_causal: bool, scale: float | None
) -> Tensor:
    """(..., L, S); a query that may attend to nothing gets zeros, as in the fused kernel."""
    scores = query @ key.contiguous().transpose(-2, -1)  # which matmul would copy transposed, and slowly
    scores.mul_(1 / math.sqrt(query.shape[-1]) if scale is None else scale)
    if is_causal:
        allowed = torch.ones(scores.shape[-2:], dtype=torch.bool, device=scores.device).tril()
        scores.masked_fill_(~allowed, -math.inf)
    return scores.softmax(-1) if mask is None else masked_softmax(scores, mask)


def masked_softmax(scores: Tensor, mask: Tensor) -> Tensor:
    """Zeros where a query may attend to nothing; scores are ours, and are written in place."""
    boolean, whole = mask.dtype == torch.bool, _fits(mask, scores)
    if boolean:
        scores = (scores.masked_fill_ if whole else scores.masked_fill)(~mask, -math.inf)
    else:
        scores = scores.add_(mask) if whole and mask.dtype == scores.dtype else scores + mask
    weights = scores.softmax(-1)
    idle = ~mask.any(-1, keepdim=True) if boolean else (mask == -math.inf).all(-1, keepdim=True)
    # elsewhere than on the processor, to ask would be to wait for all that is computed
    unknown = has_sample_axis(idle) or idle.device.type != "cpu"
    return weights.masked_fill(idle, 0) if unknown or idle.any() else weights


def mixed(weights: Tensor, noise: Tensor, values: Tensor) -> Tensor:
    """Values by weights times noise; the weights are ours, and finer than the values if a mask was."""
    dropped = weights.mul_(noise) if _fits(noise, weights) else weights * noise
    return dropped.to(values.dtype) @ values


def _fits(other: Tensor, into: Tensor) -> bool:
    """Whether `into`, which is ours, can take the result of both: no larger, and wanted for no gradient."""
    if torch.is_grad_enabled() or has_sample_axis(other) or other.dim() > into.dim():
        return False
    sizes = zip(reversed(other.shape), reversed(into.shape), strict=False)
    return all(size in (1, whole) for size, whole in sizes)


def _repeat_heads(heads: Tensor, query: Tensor, enable_gqa: bool) -> Tensor:
    if not enable_gqa:
        return heads
    return heads.repeat_interleave(query.shape[-3] // heads.shape[-3], -3)


@torch.library.custom_op("mcdrop::attention", mutates_args=())
def _fused(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None,
    is_causal: bool,
    scale: float | None,
    enable_gqa: bool,
) -> Tensor:
    out = F.scaled_dot_product_attention(
        query, key, value, attn_mask, 0.0, is_causal, scale=scale, enable_gqa=enable_gqa
    )
    return out.contiguous()


def _fused_vmap(
    info: Any,
    in_dims: tuple[int | None, ...],
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None,
    is_causal: bool,
    scale: float | None,
    enable_gqa: bool,
) -> tuple[Tensor, int]:
    """Samples join the leading batch axis, and one fused call does them all."""
    samples = info.batch_size
    q, k, v = (
        _with_samples(t, axis, samples) for t, axis in zip((query, key, value), in_dims[:3], strict=True)
    )
    folded_mask = None if attn_mask is None else _fold_mask(attn_mask, in_dims[3], samples, q)
    if q.dim() == 3:  # (S, L, E): the samples are the only batch there is
        return _fused(q, k, v, folded_mask, is_causal, scale, enable_gqa), 0
    out = _fused(q.flatten(0, 1), k.flatten(0, 1), v.flatten(0, 1), folded_mask, is_causal, scale, enable_gqa)
    return out.unflatten(0, (samples, -1)), 0


def _with_samples(x: Tensor, axis: int | None, samples: int) -> Tensor:
    return x.unsqueeze(0).expand(samples, *x.shape) if axis is None else x.movedim(axis, 0)


def _fold_mask(mask: Tensor, axis: int | None, samples: int, query: Tensor) -> Tensor:
    rank = query.dim() - 1
    if axis is None and mask.dim() <= 2:
        return mask  # broadcasts over every leading axis
    mask = _with_samples(mask, axis, samples)
    mask = mask.reshape(samples, *[1] * (rank - mask.dim() + 1), *mask.shape[1:])
    if rank == 2:
        return mask
    return mask.expand(samples, query.shape[1], *mask.shape[2:]).flatten(0, 1)


torch.library.register_vmap(_fused, _fused_vmap)


@_fused.register_fake
def _fused_shape(query: Tensor, _key: Tensor, value: Tensor, *_options: Any) -> Tensor:
    return query.new_empty((*query.shape[:-1], value.shape[-1]))


HANDLERS: Final[dict[Any, Handler]] = {
    F.scaled_dot_product_attention: _attend,
}
