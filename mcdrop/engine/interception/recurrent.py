"""Recurrent layers: `torch.lstm`, `gru`, `rnn_tanh`, `rnn_relu`, whose dropout happens inside one call.

The call is made once for each layer, with a mask of ours between them: (T, B, H), time slowest. Each layer
is a custom operator whose vmap rule folds the samples into the batch. In a packed sequence rows are sorted
by length; of the same mask each gets what is its own.
"""

from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from mcdrop.engine.interception.mode import Handler, Interception
from mcdrop.engine.sites import Law

__all__ = ["HANDLERS"]

_KERNELS: Final[dict[str, Callable[..., Any]]] = {
    "lstm": torch.lstm,
    "gru": torch.gru,
    "rnn_tanh": torch.rnn_tanh,
    "rnn_relu": torch.rnn_relu,
}


class _Stack(NamedTuple):
    """The layers of one recurrent module."""

    kind: str
    state: list[Tensor]
    weights: list[Tensor]
    has_biases: bool
    layers: int
    dropout: float
    bidirectional: bool

    def layer_state(self, layer: int) -> list[Tensor]:
        """Initial states of one layer, (directions, B, H) each."""
        directions = 1 + self.bidirectional
        return [h[layer * directions : (layer + 1) * directions].contiguous() for h in self.state]

    def layer_weights(self, layer: int) -> list[Tensor]:
        """Weights of one layer, in the order in which the kernels take them."""
        per_layer = len(self.weights) // self.layers
        return self.weights[layer * per_layer : (layer + 1) * per_layer]


def _recurrent(kind: str) -> Handler:
    """Handler of one kernel: called with (input, hx, ...), or with (data, batch_sizes, hx, ...) if packed."""

    def handle(mode: Interception, *args: Any) -> tuple[Tensor, ...]:
        packed = not isinstance(args[3], bool)
        x, batch_sizes, hx, *options = args if packed else (args[0], None, *args[1:])
        weights, has_biases, layers, p, train, bidirectional, *batch_first = options
        state = [hx] if isinstance(hx, Tensor) else list(hx)
        stack = _Stack(kind, state, list(weights), has_biases, layers, p if train else 0.0, bidirectional)
        return _run(mode, stack, x, batch_sizes) if packed else _run_padded(mode, stack, x, *batch_first)

    return handle


def _run_padded(mode: Interception, stack: _Stack, x: Tensor, batch_first: bool) -> tuple[Tensor, ...]:
    out, *state = _run(mode, stack, x.transpose(0, 1) if batch_first else x, None)
    return (out.transpose(0, 1) if batch_first else out, *state)


def _run(mode: Interception, stack: _Stack, x: Tensor, batch_sizes: Tensor | None) -> tuple[Tensor, ...]:
    last: list[list[Tensor]] = []
    for layer in range(stack.layers):
        if layer and stack.dropout:
            x = x * _mask(mode, stack, x, batch_sizes)
        x, *state = _layer(
            stack.kind,
            x,
            batch_sizes,
            stack.layer_state(layer),
            stack.layer_weights(layer),
            stack.has_biases,
            stack.bidirectional,
        )
        last.append(state)
    return (x, *(torch.cat(parts) for parts in zip(*last, strict=True)))


def _mask(mode: Interception, stack: _Stack, x: Tensor, batch_sizes: Tensor | None) -> Tensor:
    law = Law("noise", stack.dropout, x.dtype)
    if batch_sizes is None:
        return mode.draw(stack.kind, law, x.shape, like=x, p=stack.dropout)
    shape = (len(batch_sizes), int(batch_sizes[0]), x.shape[-1])
    noise = mode.draw(f"{stack.kind}_packed", law, shape, like=x, p=stack.dropout)
    return noise.expand(shape)[_packed_places(batch_sizes.to(x.device), mode.row_order())]


def _packed_places(batch_sizes: Tensor, row_order: Tensor | None) -> tuple[Tensor, Tensor]:
    """Time step and row of each entry of a packed sequence: step by step, the longest rows first."""
    steps = torch.arange(len(batch_sizes), device=batch_sizes.device).repeat_interleave(batch_sizes)
    starts = (batch_sizes.cumsum(0) - batch_sizes)[steps]
    places = torch.arange(len(steps), device=batch_sizes.device) - starts
    return steps, places if row_order is None else row_order[places]


@torch.library.custom_op("mcdrop::recurrent_layer", mutates_args=())
def _layer(
    kind: str,
    x: Tensor,
    batch_sizes: Tensor | None,
    state: list[Tensor],
    weights: list[Tensor],
    has_biases: bool,
    bidirectional: bool,
) -> list[Tensor]:
    """One layer, time first: [outputs, last hidden state(s)]."""
    whole = [each.contiguous() for each in state]  # as cuDNN wants them
    hx: Any = tuple(whole) if kind == "lstm" else whole[0]
    if batch_sizes is None:
        out = _KERNELS[kind](x, hx, weights, has_biases, 1, 0.0, False, bidirectional, False)
    else:
        out = _KERNELS[kind](x, batch_sizes, hx, weights, has_biases, 1, 0.0, False, bidirectional)
    return [part.clone() if part.data_ptr() == x.data_ptr() else part for part in out]


def _layer_vmap(
    info: Any,
    in_dims: Any,
    kind: str,
    x: Tensor,
    batch_sizes: Tensor | None,
    state: list[Tensor],
    weights: list[Tensor],
    has_biases: bool,
    bidirectional: bool,
) -> tuple[list[Tensor], list[int]]:
    """Samples join the batch axis, row by row; where the weights differ too, one call for each sample."""
    samples = info.batch_size
    if any(axis is not None for axis in in_dims[4]):
        return _layer_by_sample(
            samples, in_dims, kind, x, batch_sizes, state, weights, has_biases, bidirectional
        )
    batch_axis = 1 if batch_sizes is None else 0
    folded = _layer(
        kind,
        _fold(x, in_dims[1], samples, batch_axis),
        None if batch_sizes is None else batch_sizes * samples,
        [_fold(h, axis, samples, 1) for h, axis in zip(state, in_dims[3], strict=True)],
        weights,
        has_biases,
        bidirectional,
    )
    axes = [batch_axis + 1] + [2] * (len(folded) - 1)
    return [part.unflatten(axis - 1, (-1, samples)) for part, axis in zip(folded, axes, strict=True)], axes


def _fold(x: Tensor, sample_axis: int | None, samples: int, batch_axis: int) -> Tensor:
    """The samples of each row side by side: a packed sequence stays sorted."""
    if sample_axis is None:
        return x.repeat_interleave(samples, batch_axis)
    return x.movedim(sample_axis, batch_axis + 1).flatten(batch_axis, batch_axis + 1)


def _layer_by_sample(
    samples: int,
    in_dims: Any,
    kind: str,
    x: Tensor,
    batch_sizes: Tensor | None,
    state: list[Tensor],
    weights: list[Tensor],
    *options: bool,
) -> tuple[list[Tensor], list[int]]:
    def pick(tensor: Tensor, axis: int | None, sample: int) -> Tensor:
        return tensor if axis is None else tensor.select(axis, sample)

    outs = [
        _layer(
            kind,
            pick(x, in_dims[1], s),
            batch_sizes,
            [pick(h, axis, s) for h, axis in zip(state, in_dims[3], strict=True)],
            [pick(w, axis, s) for w, axis in zip(weights, in_dims[4], strict=True)],
            *options,
        )
        for s in range(samples)
    ]
    stacked = [torch.stack(parts) for parts in zip(*outs, strict=True)]
    return stacked, [0] * len(stacked)


torch.library.register_vmap(_layer, _layer_vmap)


@_layer.register_fake
def _layer_shapes(
    _kind: str,
    x: Tensor,
    _batch_sizes: Tensor | None,
    state: list[Tensor],
    _weights: list[Tensor],
    _has_biases: bool,
    bidirectional: bool,
) -> list[Tensor]:
    width = state[0].shape[-1] * (1 + bidirectional)
    return [x.new_empty((*x.shape[:-1], width)), *(torch.empty_like(part) for part in state)]


def _lstm_cell(
    _mode: Interception,
    x: Tensor,
    hx: Sequence[Tensor],
    w_ih: Tensor,
    w_hh: Tensor,
    b_ih: Tensor | None = None,
    b_hh: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """One step of an LSTM, written out: the operator draws nothing, but vmap has no rule for it."""
    hidden, cell = hx
    gates = F.linear(x, w_ih, b_ih) + F.linear(hidden, w_hh, b_hh)
    enter, forget, candidate, leave = gates.chunk(4, -1)
    cell = forget.sigmoid() * cell + enter.sigmoid() * candidate.tanh()
    return leave.sigmoid() * cell.tanh(), cell


HANDLERS: Final[dict[Any, Handler]] = {
    **{kernel: _recurrent(kind) for kind, kernel in _KERNELS.items()},
    torch.lstm_cell: _lstm_cell,
}
