"""Recurrent layers with dropout of inputs, hidden state and outputs, the same masks at every time step.

Alphabet: T time steps, N rows, F features, H hidden units, L layers, G gates.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mcdrop.errors import InputError, ShapeError
from mcdrop.nn.rate import checked_rate
from mcdrop.nn.variational import feature_mask

__all__ = ["VariationalGRU", "VariationalLSTM"]

State = tuple[Tensor, ...]
"""What one layer remembers, (N, H) each: (h, c) for an LSTM, (h,) for a GRU."""

Cell = Callable[[Tensor, Tensor, State], State]
"""From the inputs' part of the gates, the hidden state's part, and the state: the next state."""


@dataclass(frozen=True)
class _Rates:
    input: float
    recurrent: float
    output: float


class _Variational(nn.Module):
    """A recurrent layer of torch, and three rates."""

    kind: type[nn.LSTM | nn.GRU]

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        *,
        input_dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        output_dropout: float = 0.0,
        bias: bool = True,
        batch_first: bool = False,
    ) -> None:
        super().__init__()
        self.rnn = self.kind(input_size, hidden_size, num_layers, bias=bias, batch_first=batch_first)
        self.input_dropout = checked_rate(input_dropout, "input_dropout")
        self.recurrent_dropout = checked_rate(recurrent_dropout, "recurrent_dropout")
        self.output_dropout = checked_rate(output_dropout, "output_dropout")

    @property
    def rates(self) -> _Rates:
        """The rates as they are now."""
        return _Rates(self.input_dropout, self.recurrent_dropout, self.output_dropout)

    def extra_repr(self) -> str:
        """The rates."""
        rates = self.rates
        return f"input={rates.input}, recurrent={rates.recurrent}, output={rates.output}"


class VariationalLSTM(_Variational):
    """An LSTM with one mask on its input, one on its hidden state and one on its output for all time steps.

    In eval mode it is the `nn.LSTM` in `rnn`, whose weights it has. In train mode it steps through time in
    Python, since torch's kernels take no mask for the hidden state.

    Args:
        input_size: F.
        hidden_size: H.
        num_layers: L.
        input_dropout: Rate on the input of the first layer, in [0, 1).
        recurrent_dropout: Rate on the hidden state as the gates of every layer see it; what the
            cell keeps is not masked.
        output_dropout: Rate on the output of every layer, which is the input of the next.
        bias: Whether the gates have one.
        batch_first: Whether sequences are (N, T, F) and not (T, N, F).

    Raises:
        DomainError: If a rate lies outside its range.

    Source:
        Gal and Ghahramani 2016, arXiv:1512.05287, eq. 7: tied masks, one for all gates.
    """

    kind = nn.LSTM

    def forward(
        self, x: Tensor, state: tuple[Tensor, Tensor] | None = None
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """What `nn.LSTM` takes and returns, packed and unbatched sequences excepted."""
        _check(x, self.rnn)
        if not self.training:
            return self.rnn(x, state)  # type: ignore[no-any-return]
        out, (h, c) = _run(self.rnn, _lstm, x, state, self.rates)
        return out, (h, c)


class VariationalGRU(_Variational):
    """A GRU with one mask on its input, one on its hidden state and one on its output for all time steps.

    In eval mode it is the `nn.GRU` in `rnn`, whose weights it has. In train mode it steps through time in
    Python, since torch's kernels take no mask for the hidden state.

    Args:
        input_size: F.
        hidden_size: H.
        num_layers: L.
        input_dropout: Rate on the input of the first layer, in [0, 1).
        recurrent_dropout: Rate on the hidden state as the gates of every layer see it; what is carried over
            unchanged is not masked.
        output_dropout: Rate on the output of every layer, which is the input of the next.
        bias: Whether the gates have one.
        batch_first: Whether sequences are (N, T, F) and not (T, N, F).

    Raises:
        DomainError: If a rate lies outside its range.

    Source:
        Gal and Ghahramani 2016, arXiv:1512.05287.
    """

    kind = nn.GRU

    def forward(self, x: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """What `nn.GRU` takes and returns, packed and unbatched sequences excepted."""
        _check(x, self.rnn)
        if not self.training:
            return self.rnn(x, state)  # type: ignore[no-any-return]
        out, (h,) = _run(self.rnn, _gru, x, None if state is None else (state,), self.rates)
        return out, h


def _check(x: Tensor, rnn: nn.RNNBase) -> None:
    if not isinstance(x, Tensor):
        raise InputError(f"x must be a tensor, got {type(x).__name__}; pad packed sequences first")
    if x.dim() != 3 or x.shape[2] != rnn.input_size:
        wanted = "(N, T, F)" if rnn.batch_first else "(T, N, F)"
        raise ShapeError(f"x must be {wanted} with F = {rnn.input_size}, got shape {tuple(x.shape)}")


# --- the recurrence --------------------------------------------------------------------------------


def _run(rnn: nn.RNNBase, cell: Cell, x: Tensor, state: State | None, rates: _Rates) -> tuple[Tensor, State]:
    """Outputs as `rnn` lays them out, and the last states (L, N, H)."""
    x = x.transpose(0, 1) if rnn.batch_first else x
    if state is None:
        zeros = x.new_zeros(rnn.num_layers, x.shape[1], rnn.hidden_size)
        state = (zeros, zeros) if isinstance(rnn, nn.LSTM) else (zeros,)
    x = _masked(x, rates.input)
    last: list[State] = []
    for layer in range(rnn.num_layers):
        first = tuple(part[layer] for part in state)
        weights = {name: w for name, w in rnn.named_parameters() if name.endswith(f"_l{layer}")}
        x, final = _layer(weights, cell, x, first, rates.recurrent)
        x = _masked(x, rates.output)
        last.append(final)
    states = tuple(torch.stack(parts) for parts in zip(*last, strict=True))
    return (x.transpose(0, 1) if rnn.batch_first else x), states


def _masked(x: Tensor, p: float) -> Tensor:
    return x * feature_mask(x, x.shape[1], x.shape[2], p) if p else x


def _layer(
    weights: Mapping[str, Tensor], cell: Cell, x: Tensor, state: State, p: float
) -> tuple[Tensor, State]:
    """One layer, (T, N, F) to (T, N, H); the input's part of all gates is one product."""
    named = {name.rpartition("_")[0]: weight for name, weight in weights.items()}
    inputs = F.linear(x, named["weight_ih"], named.get("bias_ih"))
    hidden = state[0]
    mask = feature_mask(hidden, hidden.shape[0], hidden.shape[1], p) if p else None
    outputs = []
    for gates in inputs.unbind(0):
        seen = state[0] if mask is None else state[0] * mask
        state = cell(gates, F.linear(seen, named["weight_hh"], named.get("bias_hh")), state)
        outputs.append(state[0])
    return torch.stack(outputs), state


def _lstm(inputs: Tensor, hidden: Tensor, state: State) -> State:
    enter, forget, candidate, leave = (inputs + hidden).chunk(4, -1)
    c = forget.sigmoid() * state[1] + enter.sigmoid() * candidate.tanh()
    return leave.sigmoid() * c.tanh(), c


def _gru(inputs: Tensor, hidden: Tensor, state: State) -> State:
    (x_reset, x_update, x_new), (h_reset, h_update, h_new) = inputs.chunk(3, -1), hidden.chunk(3, -1)
    update = (x_update + h_update).sigmoid()
    new = (x_new + (x_reset + h_reset).sigmoid() * h_new).tanh()
    return ((1 - update) * new + update * state[0],)
