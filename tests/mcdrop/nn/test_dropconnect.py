from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

import mcdrop
from mcdrop.errors import DomainError, InputError, UnsupportedModelError
from mcdrop.nn import DropConnect, WeightDrop, check_untied
from tests.support.tolerances import EXACT, FLOAT32


class Doubled(nn.Linear):
    """A linear layer with a forward of its own."""

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - torch's name
        return 2 * super().forward(input)


class Tied(nn.Module):
    """Input and output embedding share their weights."""

    def __init__(self, *, tie: bool = True) -> None:
        super().__init__()
        self.embedding = nn.Embedding(5, 4)
        head = nn.Linear(4, 5, bias=False)
        if tie:
            head.weight = self.embedding.weight
        self.head = DropConnect(head, 0.3)

    def forward(self, ids: Tensor) -> Tensor:
        out: Tensor = self.head(self.embedding(ids))
        return out


def test_the_weights_that_are_kept_are_scaled_and_the_bias_is_whole() -> None:
    linear = nn.Linear(6, 4)
    dropped = DropConnect(linear, 0.5).train()(torch.eye(6)) - linear.bias
    kept = dropped.T != 0
    torch.testing.assert_close(dropped.T[kept], 2 * linear.weight[kept], **FLOAT32)


def test_layers_that_are_wrapped_share_their_weights_with_the_user() -> None:
    linear, rnn = nn.Linear(6, 4), nn.LSTM(4, 3)
    assert [id(p) for p in DropConnect(linear).parameters()] == [id(p) for p in linear.parameters()]
    assert [id(p) for p in WeightDrop(rnn).parameters()] == [id(p) for p in rnn.parameters()]


@pytest.mark.parametrize("kind", [nn.RNN, nn.GRU, nn.LSTM])
def test_without_dropping_a_recurrent_layer_is_what_it_was(kind: Callable[..., nn.RNNBase]) -> None:
    rnn, x = kind(4, 3, 2, bidirectional=True), torch.ones(5, 2, 4)
    for got, wanted in zip(_leaves(WeightDrop(rnn, 0.0).train()(x)), _leaves(rnn(x)), strict=True):
        torch.testing.assert_close(got, wanted, **EXACT)


def test_a_packed_sequence_is_taken() -> None:
    rnn, x = nn.LSTM(4, 3, batch_first=True), torch.ones(2, 5, 4)
    packed = pack_padded_sequence(x, torch.tensor([5, 3]), batch_first=True)
    out, _ = WeightDrop(rnn, 0.5).eval()(packed)
    torch.testing.assert_close(pad_packed_sequence(out)[0], pad_packed_sequence(rnn(packed)[0])[0], **EXACT)


@pytest.mark.filterwarnings("ignore:LSTM with projections is not supported with oneDNN")
@pytest.mark.parametrize("options", [{}, {"proj_size": 2, "num_layers": 2, "bias": False}])
def test_a_sequence_without_rows_and_a_projection_are_taken(options: dict[str, Any]) -> None:
    rnn, x = nn.LSTM(4, 3, **options), torch.ones(5, 4)
    for got, wanted in zip(_leaves(WeightDrop(rnn, 0.0).train()(x)), _leaves(rnn(x)), strict=True):
        torch.testing.assert_close(got, wanted, **EXACT)
    assert not torch.equal(WeightDrop(rnn, 0.5).train()(x)[0], rnn(x)[0])


def test_a_pass_leaves_the_recurrent_layer_as_it_was() -> None:
    rnn = nn.LSTM(4, 3)
    before = [id(weight) for weight in rnn._flat_weights]
    WeightDrop(rnn, 0.5).train()(torch.ones(5, 2, 4))
    assert [id(weight) for weight in rnn._flat_weights] == before


def test_all_rows_share_the_mask_of_a_weight_even_if_masks_are_independent() -> None:
    mc = mcdrop.MCDropout(DropConnect(nn.Linear(6, 4), 0.5), masks="independent")
    samples = mc.sample(torch.ones(3, 6))
    torch.testing.assert_close(samples[:, 0], samples[:, 2], **FLOAT32)


def test_tied_weights_are_refused_when_they_are_sampled() -> None:
    with pytest.raises(
        UnsupportedModelError, match=r"head \(DropConnect\) drops a weight that embedding uses as well"
    ):
        mcdrop.MCDropout(Tied()).sample(torch.ones(2, 3, dtype=torch.long))


def test_tied_weights_are_found_before_training() -> None:
    said = r"head \(DropConnect\) drops a weight that embedding uses as well, .*; untie the two"
    with pytest.raises(UnsupportedModelError, match=said):
        check_untied(Tied())
    check_untied(Tied(tie=False))


def test_a_layer_that_stands_in_two_places_is_tied_too() -> None:
    linear, lstm = nn.Linear(4, 4), nn.LSTM(4, 4)
    for tied in (
        nn.Sequential(linear, nn.ReLU(), DropConnect(linear, p=0.3)),
        nn.Sequential(DropConnect(linear, p=0.3), nn.Sequential(linear)),
        nn.ModuleList([WeightDrop(lstm, p=0.3), lstm]),
    ):
        with pytest.raises(UnsupportedModelError, match=r"drops a weight that [01](\.0)? uses as well"):
            check_untied(tied)
    with pytest.raises(UnsupportedModelError, match="drops a weight that 0 uses as well"):
        mcdrop.MCDropout(nn.Sequential(linear, DropConnect(linear, p=0.3)).eval()).sample(torch.ones(2, 4))


def test_the_doctor_says_that_weights_are_tied_and_not_that_a_part_is_closed() -> None:
    (found,) = mcdrop.inspect(Tied().eval(), torch.ones(2, 3, dtype=torch.long)).findings
    assert found.code == "MC003"
    assert "drops a weight that embedding uses as well" in found.message


def test_a_weight_under_two_layers_is_refused() -> None:
    first, second = nn.Linear(4, 4), nn.Linear(4, 4)
    second.weight = first.weight
    model = nn.Sequential(DropConnect(first), DropConnect(second))
    with pytest.raises(UnsupportedModelError, match=r"0 \(DropConnect\) drops a weight that 1.layer uses"):
        mcdrop.MCDropout(model).sample(torch.ones(2, 4))


def test_weights_that_are_not_tied_are_sampled() -> None:
    assert mcdrop.MCDropout(Tied(tie=False)).sample(torch.ones(2, 3, dtype=torch.long)).std(0).max() > 0


REFUSED: list[tuple[Callable[[Any], nn.Module], object, str]] = [
    (DropConnect, nn.LSTM(4, 3), "DropConnect wraps nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d, got LSTM"),
    (DropConnect, nn.ConvTranspose2d(1, 1, 1), "got ConvTranspose2d"),
    (DropConnect, Doubled(2, 2), "got Doubled"),
    (DropConnect, 0.5, "got float"),
    (DropConnect, weight_norm(nn.Linear(2, 2)), "is computed by a parametrization"),
    (WeightDrop, nn.Linear(2, 2), "WeightDrop wraps nn.RNN, nn.LSTM, nn.GRU, got Linear"),
]


@pytest.mark.parametrize(("wrap", "layer", "why"), REFUSED)
def test_layers_that_cannot_be_wrapped_are_refused(
    wrap: Callable[[Any], nn.Module], layer: object, why: str
) -> None:
    with pytest.raises(InputError, match=why):
        wrap(layer)


@pytest.mark.filterwarnings("ignore:Lazy modules are a new feature")
def test_a_layer_without_weights_yet_is_refused() -> None:
    with pytest.raises(InputError, match="has no weights yet"):
        DropConnect(nn.LazyLinear(3))


@pytest.mark.parametrize("p", [1.0, -0.1, True])
def test_a_rate_outside_its_range_is_refused(p: float) -> None:
    for make in (lambda p: DropConnect(nn.Linear(2, 2), p), lambda p: WeightDrop(nn.LSTM(2, 2), p)):
        with pytest.raises(DomainError, match=r"p must be a number in \[0, 1\)"):
            make(p)


def _leaves(output: tuple[Tensor, Any]) -> list[Tensor]:
    out, state = output
    return [out, *(state if isinstance(state, tuple) else (state,))]
