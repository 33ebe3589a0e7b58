"""Means under masks where the output is not linear in them: of weights, of inputs, and of the first step.

The masks are read where they are made, and what comes out is computed again with torch's own layers.
"""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from mcdrop.nn import VariationalGRU, VariationalLSTM, WeightDrop
from tests.support.tolerances import FLOAT64, monte_carlo

DRAWS = 3000
RATES: dict[str, Any] = {"input_dropout": 0.2, "recurrent_dropout": 0.3, "output_dropout": 0.4}


@pytest.fixture(autouse=True)
def _the_same_draws_each_time() -> Iterator[None]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


class Read(TorchFunctionMode):
    """Notes what comes of `F.dropout` and `F.linear`, in order."""

    def __init__(self) -> None:
        super().__init__()
        self.dropped: list[Tensor] = []
        self.linear: list[Tensor] = []

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if func is F.dropout:
            self.dropped.append(result.detach())
        if func is F.linear:
            self.linear.append(result.detach())
        return result


def read(layer: nn.Module, *inputs: Any) -> tuple[Any, Read]:
    with torch.no_grad(), Read() as reading:
        out = layer(*inputs)
    return out, reading


def assert_mean(drawn: Tensor, wanted: Tensor) -> None:
    """The mean over the first axis is what was wanted, within five standard errors."""
    assert ((drawn.mean(0) - wanted).abs() <= monte_carlo(len(drawn)) * drawn.std(0) + 1e-12).all()


def leaves(output: Any) -> list[Tensor]:
    return [leaf for leaf in torch.utils._pytree.tree_leaves(output) if isinstance(leaf, Tensor)]


# --- dropped weights -------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU, nn.RNN])
def test_the_expectation_of_a_dropped_weight_is_the_weight(kind: Callable[..., nn.RNNBase]) -> None:
    layer = WeightDrop(kind(4, 3, 2), 0.3).double().train()
    x = torch.randn(2, 1, 4, dtype=torch.float64)
    drawn = [read(layer, x)[1].dropped for _ in range(DRAWS)]
    for number, weight in enumerate(layer.dropped_weights):
        masked = torch.stack([each[number] for each in drawn])
        assert_mean(masked, weight.detach())
        products = masked[1:] * masked[:-1]  # of draws that follow each other: independent, so E = weight^2
        assert_mean(products[::2], weight.detach().square())


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU, nn.RNN])
def test_one_dropped_weight_serves_all_time_steps_and_rows(kind: Callable[..., nn.RNNBase]) -> None:
    layer = WeightDrop(kind(4, 3, 2, bidirectional=True), 0.5).double().train()
    x = torch.randn(7, 5, 4, dtype=torch.float64)
    out, reading = read(layer, x)
    names = [name for name, _ in layer.rnn.named_parameters() if name.startswith("weight_hh")]
    assert len(reading.dropped) == len(names) == 4
    weights = dict(layer.rnn.named_parameters()) | dict(zip(names, reading.dropped, strict=True))
    wanted = torch.func.functional_call(layer.rnn, weights, (x,))
    for a, b in zip(leaves(out), leaves(wanted), strict=True):
        torch.testing.assert_close(a, b, **FLOAT64)


def test_what_enters_the_first_activation_has_the_mean_of_evaluation() -> None:
    """h_1 = tanh(W_i x_1 + W_h h_0 + b): what is under the tanh is linear in the mask of W_h."""
    layer = WeightDrop(nn.RNN(4, 3), 0.4).double()
    x, state = torch.randn(1, 1, 4, dtype=torch.float64), torch.randn(1, 1, 3, dtype=torch.float64)
    wanted = leaves(layer.eval()(x, state))[0].atanh().detach()
    layer.train()
    drawn = torch.stack([read(layer, x, state)[0][0].atanh() for _ in range(DRAWS)])
    assert_mean(drawn, wanted)
    assert drawn.std(0).min() > 0


# --- masks of inputs, states and outputs -----------------------------------------------------------

Variational = Callable[..., VariationalLSTM | VariationalGRU]
both = pytest.mark.parametrize("make", [VariationalLSTM, VariationalGRU])


def given(make: Variational, rows: int, steps: int = 3, layers: int = 2) -> tuple[Any, Tensor, Any]:
    """A layer in train mode, sequences whose rows are all the same, and a state."""
    layer = make(4, 3, layers, **RATES).double().train()
    x = torch.randn(steps, 1, 4, dtype=torch.float64).expand(-1, rows, -1)
    h, c = (torch.randn(layers, 1, 3, dtype=torch.float64).expand(-1, rows, -1) for _ in range(2))
    return layer, x, (h, c) if make is VariationalLSTM else h


@both
def test_masks_have_mean_one_and_rows_have_masks_of_their_own(make: Variational) -> None:
    layer, x, state = given(make, DRAWS)
    _, reading = read(layer, x, state)
    assert len(reading.dropped) == 1 + 2 * 2  # one of the input, and for each layer of state and output
    for mask, p in zip(reading.dropped, (0.2, 0.3, 0.4, 0.3, 0.4), strict=True):
        assert_mean(mask, torch.ones(mask.shape[1], dtype=torch.float64))
        assert_mean(mask.square(), torch.full(mask.shape[1:], 1 / (1 - p), dtype=torch.float64))
        assert_mean((mask[1:] * mask[:-1])[::2], torch.ones(mask.shape[1], dtype=torch.float64))


@both
def test_the_masked_input_and_what_enters_the_first_gates_have_the_mean_of_evaluation(
    make: Variational,
) -> None:
    layer, x, state = given(make, DRAWS, layers=1)
    _, reading = read(layer, x, state)
    weights = dict(layer.rnn.named_parameters())
    h = state[0] if isinstance(state, tuple) else state
    from_inputs, from_state = reading.linear[:2]  # of all steps, and of the first
    assert_mean(from_inputs[0], F.linear(x[0, 0], weights["weight_ih_l0"], weights["bias_ih_l0"]).detach())
    assert_mean(from_state, F.linear(h[0, 0], weights["weight_hh_l0"], weights["bias_hh_l0"]).detach())
    assert_mean((x[0] * reading.dropped[0]), x[0, 0])


@both
def test_the_same_masks_multiply_at_every_step(make: Variational) -> None:
    """Computed again, a step at a time, with torch's own cells and the masks that were drawn."""
    layer, x, state = given(make, rows=4, steps=6)
    out, reading = read(layer, x, state)
    masks = iter(reading.dropped)
    kind = nn.LSTMCell if make is VariationalLSTM else nn.GRUCell
    sequence = list((x * next(masks)).unbind(0))
    for number in range(2):
        cell = kind(sequence[0].shape[1], 3).double()
        cell.load_state_dict(
            {
                name.removesuffix(f"_l{number}"): weight
                for name, weight in layer.rnn.state_dict().items()
                if name.endswith(f"_l{number}")
            }
        )
        parts = state if isinstance(state, tuple) else (state,)
        hidden, *memory = (part[number] for part in parts)
        of_state, of_output = next(masks), next(masks)
        outputs = []
        for step in sequence:
            if isinstance(cell, nn.LSTMCell):
                hidden, memory[0] = cell(step, (hidden * of_state, memory[0]))
            else:
                hidden = _gru_step(cell, step, hidden, of_state)
            outputs.append(hidden * of_output)
        sequence = outputs
    torch.testing.assert_close(out[0], torch.stack(sequence), **FLOAT64)


def _gru_step(cell: nn.GRUCell, x: Tensor, hidden: Tensor, mask: Tensor) -> Tensor:
    """The gates see the masked state; what is carried over is the whole one: put back what the cell loses."""
    seen: Tensor = cell(x, hidden * mask)
    update = F.linear(x, cell.weight_ih, cell.bias_ih) + F.linear(hidden * mask, cell.weight_hh, cell.bias_hh)
    lost: Tensor = update[:, 3:6].sigmoid() * (hidden - hidden * mask)
    return seen + lost


@both
def test_the_layout_of_the_sequences_does_not_matter(make: Variational) -> None:
    layer, x, state = given(make, rows=4)
    other = make(4, 3, 2, **RATES, batch_first=True).double().train()
    other.load_state_dict(layer.state_dict())
    torch.manual_seed(1)
    wanted = leaves(layer(x, state))
    torch.manual_seed(1)
    got = leaves(other(x.transpose(0, 1), state))
    torch.testing.assert_close(got[0].transpose(0, 1), wanted[0], **FLOAT64)
    for a, b in zip(got[1:], wanted[1:], strict=True):
        torch.testing.assert_close(a, b, **FLOAT64)
