from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_sequence

from mcdrop.errors import DomainError, InputError, ShapeError
from mcdrop.nn import VariationalDropout, VariationalGRU, VariationalLSTM
from tests.support.tolerances import EXACT, FLOAT32

X = torch.randn(5, 2, 4, generator=torch.Generator().manual_seed(0))

Recurrent = Callable[..., VariationalLSTM | VariationalGRU]


@pytest.fixture(autouse=True)
def _the_same_draws_each_time() -> Iterator[None]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


@pytest.mark.parametrize("batch_first", [False, True])
def test_a_feature_is_dropped_at_every_step_or_at_none(batch_first: bool) -> None:
    time = 1 if batch_first else 0
    out = VariationalDropout(0.5, batch_first=batch_first).train()(torch.ones(6, 7, 20))
    assert (out == out.select(time, 0).unsqueeze(time)).all()
    assert set(out.unique().tolist()) == {0.0, 2.0}


def test_it_drops_what_dropout1d_drops_where_features_come_before_time() -> None:
    x = X.transpose(0, 1)
    torch.manual_seed(1)
    ours = VariationalDropout(0.5, batch_first=True).train()(x)
    torch.manual_seed(1)
    torch.testing.assert_close(ours, nn.Dropout1d(0.5).train()(x.mT).mT, **EXACT)


@pytest.mark.parametrize(("ours", "theirs"), [(VariationalLSTM, nn.LSTM), (VariationalGRU, nn.GRU)])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("given", [True, False])
def test_without_dropping_the_steps_compute_what_torch_computes(
    ours: Recurrent, theirs: Callable[..., nn.RNNBase], bias: bool, given: bool
) -> None:
    layer = ours(4, 3, 2, bias=bias).train()
    rnn = theirs(4, 3, 2, bias=bias)
    rnn.load_state_dict(layer.rnn.state_dict())
    state: Any = torch.randn(2, 2, 3)
    state = (state, torch.randn(2, 2, 3)) if theirs is nn.LSTM else state
    arguments = (X, state) if given else (X,)
    for got, wanted in zip(_leaves(layer(*arguments)), _leaves(rnn(*arguments)), strict=True):
        torch.testing.assert_close(got, wanted, **FLOAT32)


def test_the_output_mask_is_the_same_at_every_step() -> None:
    out, _ = VariationalLSTM(4, 30, output_dropout=0.5).train()(X)
    assert ((out == 0) == (out[0] == 0)).all()
    assert (out == 0).any()


def test_the_hidden_state_that_is_returned_is_not_masked() -> None:
    _, (h, _) = VariationalLSTM(4, 30, output_dropout=0.5, recurrent_dropout=0.5).train()(X)
    assert (h != 0).all()


def test_a_recurrent_mask_leaves_the_first_step_alone() -> None:
    """The state is 0 then, so there is nothing to drop; later steps move."""
    layer = VariationalGRU(4, 30, recurrent_dropout=0.5).train()
    dropped, kept = layer(X)[0], layer.eval()(X)[0]
    torch.testing.assert_close(dropped[0], kept[0], **FLOAT32)
    assert not torch.allclose(dropped[1], kept[1])


@pytest.mark.parametrize(
    "make", [VariationalDropout, lambda _: VariationalLSTM(4, 3), lambda _: VariationalGRU(4, 3)]
)
def test_packed_sequences_and_other_shapes_are_refused(make: Callable[[float], nn.Module]) -> None:
    layer = make(0.5).train()
    with pytest.raises(InputError, match="pad packed sequences first"):
        layer(pack_sequence([torch.ones(5, 4)]))
    with pytest.raises(ShapeError, match=r"x must be \(T, N, F\).*, got shape \(5, 4\)"):
        layer(torch.ones(5, 4))


@pytest.mark.parametrize("name", ["input_dropout", "recurrent_dropout", "output_dropout"])
@pytest.mark.parametrize("make", [VariationalLSTM, VariationalGRU])
def test_a_rate_outside_its_range_is_refused_by_name(make: Recurrent, name: str) -> None:
    with pytest.raises(DomainError, match=rf"{name} must be a number in \[0, 1\), got 1.0"):
        make(4, 3, **{name: 1.0})


def _leaves(output: tuple[Tensor, Any]) -> list[Tensor]:
    out, state = output
    return [out, *(state if isinstance(state, tuple) else (state,))]
