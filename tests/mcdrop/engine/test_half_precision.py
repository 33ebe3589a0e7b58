"""Computations in half precision: under autocast, and with masks that are finer than what they mask."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mcdrop import MCDropout
from mcdrop.engine.strategies import STRATEGIES
from mcdrop.engine.verification import verify
from tests.support.networks import fixed
from tests.support.predictives import assert_same_rows
from tests.support.replaying import consistent, network_and_call, samples

X = torch.randn(4, 5, 8, generator=torch.Generator().manual_seed(0))
PADDING = torch.zeros(4, 5).masked_fill(torch.arange(5) > 3, -torch.inf)


class Heads(nn.Module):
    """Self-attention behind a dropout, by the module or by the function, with the padding added."""

    def __init__(self, *, written_out: bool) -> None:
        super().__init__()
        self.dropout, self.written_out = nn.Dropout(0.2), written_out
        self.attention = nn.MultiheadAttention(8, 2, dropout=0.3, batch_first=True)

    def forward(self, x: Tensor, padding: Tensor) -> Tensor:
        x = self.dropout(x)
        if self.written_out:
            p = 0.3 if self.training else 0.0
            return F.scaled_dot_product_attention(x, x, x, padding[:, None], p)
        out: Tensor = self.attention(x, x, x, key_padding_mask=padding, need_weights=False)[0]
        return out


written_out = pytest.mark.parametrize("written_out", [False, True])


@written_out
def test_a_float32_mask_of_half_precision_attention_is_added(written_out: bool) -> None:
    network, call = network_and_call(Heads(written_out=written_out).bfloat16().eval(), X.bfloat16(), PADDING)
    assert set(verify(network, call).differences) == {"vmap", "fold", "loop"}
    assert network.deterministic_outputs(call)[0].dtype == torch.bfloat16


@written_out
def test_under_autocast_each_strategy_gives_the_dtype_of_the_loop(written_out: bool) -> None:
    model = Heads(written_out=written_out).eval()
    with torch.autocast("cpu", torch.bfloat16):
        network, call = network_and_call(model, X, PADDING)
        outputs = [samples(name, network, call, consistent(call), 3)[0] for name in STRATEGIES]
    assert [output.dtype for output in outputs] == [torch.bfloat16] * 3


def test_under_autocast_a_model_agrees_up_to_the_rounding_of_half_precision() -> None:
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
    model = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False).eval()  # which returns float32
    with torch.autocast("cpu", torch.bfloat16):
        network, call = network_and_call(model, X)
        found = verify(network, call)
    assert found.oracle.difference is not None
    assert 1e-5 < found.oracle.difference < found.tolerance


class AutocastInside(nn.Module):
    """Encodes in half precision by itself; the head takes part in it, or not."""

    def __init__(self, *, head_too: bool, enabled: bool = True) -> None:
        super().__init__()
        layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True, dropout=0.2)
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.head, self.head_too, self.enabled = nn.Linear(8, 3), head_too, enabled

    def forward(self, x: Tensor) -> Tensor:
        """(N, 5, 8) -> (N, 3) log probabilities."""
        with torch.autocast("cpu", torch.bfloat16, enabled=self.enabled):
            encoded = self.encoder(x)
            found: Tensor = self.head(encoded.mean(1)).log_softmax(1)
        return found if self.head_too else F.log_softmax(self.head(encoded.float().mean(1)), 1)


@pytest.mark.parametrize("head_too", [False, True])
def test_autocast_inside_of_forward_is_allowed_its_rounding(head_too: bool) -> None:
    def made(*, enabled: bool) -> MCDropout:
        model = fixed(AutocastInside(head_too=head_too, enabled=enabled))
        return MCDropout(model, task="classification", output="log_probabilities", n_samples=32)

    mc = made(enabled=True)
    found = mc.predict(X)
    assert found.mean.dtype == (torch.bfloat16 if head_too else torch.float32)
    torch.testing.assert_close(found.mean.float(), made(enabled=False).predict(X).mean, rtol=0, atol=0.02)
    assert_same_rows(mc.predict(X[2:3], exact=True), mc.predict(X, exact=True)[2:3])
