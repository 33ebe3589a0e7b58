"""Small modules that draw in every way that a user's module might."""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Applied(nn.Module):
    """A body, then a function of (its output, whether to train), then a head."""

    def __init__(self, function: Callable[[Tensor, bool], Tensor], body: nn.Module, head: nn.Module) -> None:
        super().__init__()
        self.body, self.head = body, head
        self._function = function

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.head(self._function(self.body(x), self.training))
        return out


Drop = Callable[[Tensor, bool], Tensor]
"""A function of (x, whether to train)."""


def applied(function: Drop, features: int = 6) -> nn.Module:
    return Applied(function, nn.Linear(4, features), nn.Linear(features, 3))


class DropPath(nn.Module):
    """Stochastic depth as in timm: a residual branch of a row is dropped."""

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return x
        keep = 1 - self.p
        shape = (x.shape[0],) + (1,) * (x.ndim - 1)
        mask = x.new_empty(shape).bernoulli_(keep)
        mask.div_(keep)
        return x * mask


class StochasticDepth(nn.Module):
    """As in torchvision, by row or for the whole batch."""

    def __init__(self, p: float, mode: str) -> None:
        super().__init__()
        self.p, self.mode = p, mode

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return x
        size = [x.shape[0]] + [1] * (x.ndim - 1) if self.mode == "row" else [1] * x.ndim
        noise = torch.empty(size, dtype=x.dtype, device=x.device)
        noise = noise.bernoulli_(1 - self.p)
        noise.div_(1 - self.p)
        return x * noise


class Residual(nn.Module):
    """x + drop(branch(x))."""

    def __init__(self, branch: nn.Module, drop: nn.Module) -> None:
        super().__init__()
        self.branch, self.drop = branch, drop

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = x + self.drop(self.branch(x))
        return out


class DropConnect(nn.Module):
    """A linear layer whose weights are dropped: all rows share the mask."""

    def __init__(self, features: int, p: float) -> None:
        super().__init__()
        self.linear, self.p = nn.Linear(features, features), p

    def forward(self, x: Tensor) -> Tensor:
        weight = F.dropout(self.linear.weight, self.p, self.training)
        return F.linear(x, weight, self.linear.bias)


class WeightDropped(nn.Module):
    """An RNN whose recurrent weights are dropped, as in AWD-LSTM."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn = nn.LSTM(4, 5, batch_first=True)
        self.drop = nn.Dropout(0.4)

    def forward(self, x: Tensor) -> Tensor:
        weights = [self.drop(w) if w.dim() == 2 else w for w in self.rnn.all_weights[0]]
        state = (x.new_zeros(1, x.shape[0], 5), x.new_zeros(1, x.shape[0], 5))
        return torch.lstm(x, state, weights, True, 1, 0.0, False, False, True)[0][:, -1]


class Recurrent(nn.Module):
    """A recurrent network that reads (N, T, 4); packed where lengths are given."""

    def __init__(self, kind: Callable[..., nn.RNNBase], *, layers: int = 2, **options: Any) -> None:
        super().__init__()
        self.rnn = kind(4, 5, layers, dropout=0.4, **{"batch_first": True, **options})
        self.head = nn.LazyLinear(3)

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        if lengths is None:
            axis = 1 if self.rnn.batch_first else 0
            out: Tensor = self.head(self.rnn(x)[0].select(axis, -1))
            return out
        packed = nn.utils.rnn.pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
        padded, _ = nn.utils.rnn.pad_packed_sequence(self.rnn(packed)[0], batch_first=True)
        summed: Tensor = self.head(padded.sum(1))
        return summed


class Stepwise(nn.Module):
    """A recurrent cell in a loop of Python over (N, T, 4), with dropout of what it reads."""

    def __init__(self, kind: Callable[..., nn.Module]) -> None:
        super().__init__()
        self.cell, self.drop, self.head = kind(4, 5), nn.Dropout(0.3), nn.Linear(5, 3)

    def forward(self, x: Tensor) -> Tensor:
        state: Any = None
        for step in x.unbind(1):
            state = self.cell(self.drop(step), state)
        out: Tensor = self.head(state[0] if isinstance(state, tuple) else state)
        return out


class DropBlock(nn.Module):
    """Drops stretches of (N, T) that are grown from seeds, as DropBlock does with squares of images.

    What is left is rescaled by the share that was kept, of each row or of the whole batch.
    """

    def __init__(self, p: float, *, by_batch: bool) -> None:
        super().__init__()
        self.p, self.by_batch = p, by_batch

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return x
        seeds = torch.empty_like(x).bernoulli_(self.p)
        kept = 1 - F.max_pool1d(seeds[:, None], 5, stride=1, padding=2)[:, 0]
        share = kept.mean() if self.by_batch else kept.mean(1, keepdim=True)
        return x * kept / share.clamp(min=1e-3)


class SelfAttention(nn.Module):
    """`nn.MultiheadAttention` on (N, T, 4) or, sequence first, on (T, N, 4)."""

    def __init__(
        self, *, need_weights: bool = False, causal: bool = False, per_head: bool = False, **options: Any
    ) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(4, 2, dropout=0.3, **options)
        self.need_weights, self.causal, self.per_head = need_weights, causal, per_head
        self.key_width = options.get("kdim"), options.get("vdim")

    def forward(self, x: Tensor, padding: Tensor | None = None) -> Any:
        length = x.shape[1] if self.attention.batch_first else x.shape[0]
        mask = nn.Transformer.generate_square_subsequent_mask(length) if self.causal else None
        key, value = (x if width is None else x[..., :width] for width in self.key_width)
        out, weights = self.attention(
            x,
            key,
            value,
            key_padding_mask=padding,
            attn_mask=mask,
            need_weights=self.need_weights,
            average_attn_weights=not self.per_head,
            is_causal=self.causal and not self.need_weights,
        )
        return (out, weights) if self.need_weights else out


class Encoder(nn.Module):
    """A `nn.TransformerEncoder` with an optional padding mask."""

    def __init__(self, *, layers: int = 2, **options: Any) -> None:
        super().__init__()
        layer = nn.TransformerEncoderLayer(4, 2, 8, dropout=0.3, **{"batch_first": True, **options})
        nested = bool(options.get("batch_first", True)) and not options.get("norm_first", False)
        self.encoder = nn.TransformerEncoder(layer, layers, enable_nested_tensor=nested)

    def forward(self, x: Tensor, padding: Tensor | None = None) -> Tensor:
        out: Tensor = self.encoder(x, src_key_padding_mask=padding)
        return out


class SequenceToSequence(nn.Module):
    """A `nn.Transformer` of one layer on either side, fed the same sequence twice."""

    def __init__(self, **options: Any) -> None:
        super().__init__()
        self.transformer = nn.Transformer(4, 2, 1, 1, 8, 0.3, **{"batch_first": True, **options})

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.transformer(x, x.roll(1, -1))
        return out


class ScaledDotProduct(nn.Module):
    """`F.scaled_dot_product_attention` with its options."""

    def __init__(
        self, *, heads: int = 2, key_heads: int | None = None, p: float = 0.3, **options: Any
    ) -> None:
        super().__init__()
        self.p = p
        self.heads, self.key_heads = heads, key_heads or heads
        self.options = options
        self.query = nn.Linear(4, heads * 4)
        self.key = nn.Linear(4, self.key_heads * 4)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        query, key = (
            linear(x).unflatten(-1, (heads, 4)).transpose(1, 2)
            for linear, heads in ((self.query, self.heads), (self.key, self.key_heads))
        )
        if self.heads == 1:
            query, key = query.squeeze(1), key.squeeze(1)
        dropout = self.p if self.training else 0.0
        return F.scaled_dot_product_attention(query, key, key, mask, dropout, **self.options)


class LayerDrop(nn.Module):
    """Layers that are skipped at random, decided in Python."""

    def __init__(self, layers: int, p: float) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Sequential(nn.Linear(4, 4), nn.Dropout(0.3)) for _ in range(layers))
        self.p = p

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            if not (self.training and bool(torch.rand([]) < self.p)):
                x = x + layer(x)
        return x


class ParentGuard(nn.Module):
    """The parent decides whether its child may drop."""

    def __init__(self) -> None:
        super().__init__()
        self.linear, self.drop = nn.Linear(4, 3), nn.Dropout(0.4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.linear(x)
        if self.training:
            x = self.drop(x)
        return x


class AuxiliaryHead(nn.Module):
    """A second output that exists in training alone, with a dropout of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(4, 6), nn.Dropout(0.4))
        self.head = nn.Linear(6, 3)
        self.auxiliary = nn.Sequential(nn.Dropout(0.7), nn.Linear(6, 3))

    def forward(self, x: Tensor) -> Any:
        hidden = self.body(x)
        if self.training:
            return self.head(hidden), self.auxiliary(hidden)
        return self.head(hidden)


class CounterInTraining(nn.Module):
    """A buffer that counts the passes in train mode, beside a dropout of the same module."""

    count: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 3)
        self.register_buffer("count", torch.zeros((), dtype=torch.long))

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            self.count += 1
        return F.dropout(self.linear(x), 0.4, self.training)
