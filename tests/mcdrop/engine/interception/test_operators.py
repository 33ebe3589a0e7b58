from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.export import Dim, export

from mcdrop.engine.interception.operators import by_full_name
from mcdrop.engine.interception.table import HANDLERS
from mcdrop.engine.oracle import native_oracle
from mcdrop.engine.verification import verify
from mcdrop.errors import UnsupportedModelError
from tests.support.replaying import by_row, independent, network_and_call, samples
from tests.support.tolerances import FLOAT32


class Everything(nn.Module):
    """Dropout of most kinds in one pass over (N, 6)."""

    def __init__(self) -> None:
        super().__init__()
        self.drop, self.alpha = nn.Dropout(0.3), nn.AlphaDropout(0.2)
        self.channels, self.features = nn.Dropout2d(0.3), nn.FeatureAlphaDropout(0.1)
        self.attention = nn.MultiheadAttention(6, 2, dropout=0.2, batch_first=True)
        self.lstm = nn.LSTM(6, 6, 2, dropout=0.3, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        x = self.channels(self.alpha(self.drop(x))[:, :, None, None]).squeeze(3)
        steps = self.features(x).transpose(1, 2).expand(-1, 3, -1)
        steps = steps + self.attention(steps, steps, steps, need_weights=False)[0]
        steps = steps + F.scaled_dot_product_attention(steps, steps, steps, dropout_p=0.2)
        out: Tensor = self.lstm(steps)[0][:, -1]
        return out * torch.empty_like(out).bernoulli_(0.9) * (1 + torch.rand_like(out))


X = torch.randn(4, 6, generator=torch.Generator().manual_seed(0))


def exported(model: nn.Module, *, rows: Any) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        program = export(model.train(), (X,), dynamic_shapes=({0: rows},))
    return program.module()


@pytest.mark.filterwarnings("ignore:The tensor attributes self.lstm._flat_weights")
def test_an_exported_program_is_sampled_though_it_calls_operators_by_their_full_names() -> None:
    network, call = network_and_call(
        nn.Sequential(nn.Dropout(0.2), exported(Everything(), rows=Dim("rows", min=2))), X
    )
    kinds = ["dropout", "dropout", "alpha_dropout", "dropout2d", "feature_alpha_dropout"]
    assert [site.kind for site in network.sites.values()] == [
        *kinds,
        "attention",
        "attention",
        "lstm",
        "bernoulli",
        "rand",
    ]
    oracle = native_oracle(network, call)
    assert oracle.explained == len(oracle.native_draws)
    assert oracle.difference is not None
    assert oracle.difference <= FLOAT32["atol"]
    assert verify(network, call).strategy == "vmap"
    keys = independent(call)
    for got, wanted in zip(samples("vmap", network, call, keys), by_row(network, call, keys), strict=True):
        torch.testing.assert_close(got, wanted, **FLOAT32)


def test_every_overload_of_an_operator_goes_where_its_function_goes() -> None:
    found = by_full_name(HANDLERS)
    assert found[torch.ops.aten.bernoulli_.Tensor] is HANDLERS[Tensor.bernoulli_]
    assert found[torch.ops.aten.lstm.data] is found[torch.ops.aten.lstm.input] is HANDLERS[torch.lstm]
    assert found[torch.ops.aten.dropout] is HANDLERS[torch.dropout]


def test_an_operator_without_a_handler_is_refused_by_its_name() -> None:
    class Low(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            leaky: Tensor = torch.ops.aten.rrelu_with_noise_functional.default(x, x, 0.1, 0.3, True)[0]
            return x + leaky

    with pytest.raises(UnsupportedModelError, match="calls rrelu_with_noise_functional"):
        network_and_call(nn.Sequential(nn.Dropout(0.3), Low()).eval(), X)
