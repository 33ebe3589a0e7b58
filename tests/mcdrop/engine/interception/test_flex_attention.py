import pytest
import torch
from torch import Tensor, nn
from torch.nn.attention.flex_attention import flex_attention

from mcdrop import MCDropout


@pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile")
def test_flex_attention_behind_dropout_is_sampled() -> None:
    class Flexible(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            heads = x[:, None]
            out: Tensor = flex_attention(heads, heads, heads)
            return out[:, 0]

    model = nn.Sequential(nn.Dropout(0.3), Flexible()).eval()
    x = torch.randn(4, 16, 4, generator=torch.Generator().manual_seed(0))
    assert MCDropout(model).sample(x, n_samples=16).std(0).min() > 0
