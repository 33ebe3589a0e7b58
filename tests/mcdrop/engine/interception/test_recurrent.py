from typing import Any

import pytest
import torch
from torch import Tensor, nn

from mcdrop import MCDropout
from mcdrop.engine.interception.mode import Interception
from mcdrop.engine.interception.table import HANDLERS
from mcdrop.engine.sites import Law
from tests.support.replaying import consistent, independent, network_and_call, samples
from tests.support.stochastic_modules import Recurrent
from tests.support.tolerances import EXACT, FLOAT32

GENERATOR = torch.Generator().manual_seed(0)
X = torch.randn(3, 6, 4, generator=GENERATOR)


class Ones:
    """A source of masks that keep everything."""

    def draw(self, _kind: str, _p: float | None, law: Law, shape: tuple[int, ...]) -> Tensor:
        return torch.ones(shape, dtype=law.dtype)


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU, nn.RNN])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_split_by_layer_with_nothing_dropped_all_outputs_are_those_of_one_call(
    kind: type[nn.LSTM], bidirectional: bool
) -> None:
    rnn = kind(4, 5, 3, dropout=0.5, batch_first=True, bidirectional=bidirectional)
    packed = nn.utils.rnn.pack_padded_sequence(
        X, torch.tensor([4, 6, 1]), batch_first=True, enforce_sorted=False
    )
    wanted, wanted_packed = rnn.eval()(X), rnn(packed)
    with torch.no_grad(), Interception(Ones(), HANDLERS, lambda: ""):
        got, got_packed = rnn.train()(X), rnn(packed)
    torch.testing.assert_close(got, wanted, **FLOAT32)
    torch.testing.assert_close(got_packed[0].data, wanted_packed[0].data, **FLOAT32)
    torch.testing.assert_close(got_packed[1], wanted_packed[1], **FLOAT32)


def packed_network() -> tuple[nn.Module, Tensor]:
    model = Recurrent(nn.LSTM)
    lengths = torch.tensor([5, 6, 3])
    model(X, lengths)
    return model.eval(), lengths


@pytest.mark.parametrize("strategy", ["loop", "vmap"])
def test_a_packed_row_has_the_same_samples_whatever_the_longest_row_of_its_batch_is(strategy: str) -> None:
    model, lengths = packed_network()
    network, call = network_and_call(model, X, lengths)
    (full,) = samples(strategy, network, call, consistent(call))
    for row in range(3):
        alone = call.take(slice(row, row + 1))
        (got,) = samples(strategy, network, alone, consistent(alone))
        torch.testing.assert_close(got[:, 0], full[:, row], **FLOAT32)
    assert (full.std(0) > 0).all()


def test_a_longer_sequence_keeps_the_masks_of_its_first_steps() -> None:
    torch.manual_seed(0)
    model = nn.LSTM(4, 5, 2, dropout=0.5, batch_first=True).eval()
    long, call = network_and_call(model, X)
    short, first_steps = network_and_call(model, X[:, :4])
    got = samples("vmap", short, first_steps, consistent(first_steps))[0]
    torch.testing.assert_close(got, samples("vmap", long, call, consistent(call))[0][:, :, :4], **FLOAT32)


@pytest.mark.parametrize("strategy", ["loop", "vmap"])
def test_equal_rows_of_a_packed_sequence_share_masks_or_have_their_own_as_is_asked(strategy: str) -> None:
    model, _ = packed_network()
    same, lengths = X[[1, 0, 1, 1]], torch.tensor([5, 3, 5, 5])
    network, call = network_and_call(model, same, lengths)
    (shared,) = samples(strategy, network, call, consistent(call))
    torch.testing.assert_close(shared[:, 0], shared[:, 2], **FLOAT32)
    keys = independent(call)
    (own,) = samples(strategy, network, call, keys)
    assert ((own[:, 0] - own[:, 2]).abs().amax(1) > 1e-4).all()
    (same_id,) = samples(strategy, network, call, [*keys[:2], keys[0], keys[3]])
    torch.testing.assert_close(same_id[:, 0], own[:, 0], **FLOAT32)
    torch.testing.assert_close(same_id[:, 2], own[:, 0], **FLOAT32)


@pytest.mark.parametrize("masks", ["consistent", "independent"])
def test_exact_answers_of_packed_rows_do_not_depend_on_how_long_their_neighbours_are(masks: Any) -> None:
    model, lengths = packed_network()
    mc = MCDropout(model, n_samples=32, masks=masks)
    ids: dict[str, Any] = {"row_ids": [4, 5, 6]} if masks == "independent" else {}
    exact = mc.sample(X, lengths, exact=True, **ids)
    torch.testing.assert_close(exact, mc.sample(X, lengths, **ids), **FLOAT32)
    for row in range(3):
        alone: dict[str, Any] = {"row_ids": [4 + row]} if ids else {}
        got = mc.sample(X[row : row + 1], lengths[row : row + 1], exact=True, **alone)
        torch.testing.assert_close(got, exact[:, row : row + 1], **EXACT)
