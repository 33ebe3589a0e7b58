"""The networks that are timed, with the least ratios that we want."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from itertools import pairwise

import torch
from torch import Tensor, nn

from benchmarks.rivals.packages import transformers

__all__ = ["Case", "base_bert", "case_named", "cases", "cnn", "mlp"]


@dataclass(frozen=True)
class Case:
    """A network and a batch.

    Attributes:
        name: Of the network, and N.
        model: In eval mode.
        x: (N, ...).
        bar: How many times as fast as the fastest rival we want to be.
        cache_bar: The same against baal's cache, where it is another; that rival then does not count above.
    """

    name: str
    model: nn.Module
    x: Tensor
    bar: float
    cache_bar: float | None = None


def mlp(*widths: int, p: float) -> nn.Sequential:
    """Linear layers with ReLU and dropout between them."""
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(widths[:-1]):
        layers += [nn.Linear(inputs, outputs), nn.ReLU(), nn.Dropout(p)]
    return nn.Sequential(*layers, nn.Linear(widths[-2], widths[-1])).eval()


def cnn(*, channel_p: float) -> nn.Sequential:
    """Three convolutions on 3 x 32 x 32; dropout in the head, and on the channels if `channel_p` is not 0."""
    blocks: list[nn.Module] = []
    for inputs, outputs, pool in ((3, 32, False), (32, 64, True), (64, 64, True)):
        blocks += [nn.Conv2d(inputs, outputs, 3, padding=1), nn.ReLU()]
        blocks += [nn.Dropout2d(channel_p)] * (channel_p > 0) + [nn.MaxPool2d(2)] * pool
    head = [nn.Flatten(), nn.Linear(64 * 64, 128), nn.ReLU(), nn.Dropout(0.5), nn.Linear(128, 10)]
    return nn.Sequential(*blocks, *head).eval()


class Encoder(nn.Module):
    """A TransformerEncoder of 4 layers with a linear head on the mean token."""

    def __init__(self) -> None:
        super().__init__()
        layer = nn.TransformerEncoderLayer(64, 4, 128, dropout=0.1, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 4)
        self.head = nn.Linear(64, 5)

    def forward(self, x: Tensor) -> Tensor:
        """(N, T, 64) -> (N, 5)."""
        out: Tensor = self.head(self.encoder(x).mean(1))
        return out


class Recurrent(nn.Module):
    """An LSTM of 2 layers with a linear head on the last step."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(32, 128, 2, dropout=0.3, batch_first=True)
        self.head = nn.Linear(128, 5)

    def forward(self, x: Tensor) -> Tensor:
        """(N, T, 32) -> (N, 5)."""
        out: Tensor = self.head(self.lstm(x)[0][:, -1])
        return out


class Logits(nn.Module):
    """The logits of a classifier of transformers, which returns a structure."""

    def __init__(self, classifier: nn.Module) -> None:
        super().__init__()
        self.classifier = classifier

    def forward(self, ids: Tensor) -> Tensor:
        """(N, T) whole numbers -> (N, C)."""
        out: Tensor = self.classifier(ids).logits
        return out


def cases() -> list[Case]:
    """Every case, with the same numbers in every process; those of transformers if it is installed."""
    torch.manual_seed(0)
    return list(_cases())


def case_named(name: str) -> Case:
    """One of them."""
    return next(case for case in cases() if case.name == name)


def base_bert() -> tuple[nn.Module, Tensor]:
    """BERT of its first size (12 layers, 768 wide) with one row of 128 tokens."""
    return _bert(), torch.randint(0, 1000, (1, 128))


def _cases() -> Iterator[Case]:
    image, small = partial(torch.randn, 16, 3, 32, 32), torch.randn(256, 32)
    head, narrow = cnn(channel_p=0), mlp(32, 256, 256, 10, p=0.3)
    yield Case("CNN, dropout in its head, 1", head, image()[:1], 10, 5)
    yield Case("CNN, dropout in its head, 16", head, image(), 25, 8)
    yield Case("MLP 32-256-256-10, 1", narrow, small[:1], 0.9)
    yield Case("MLP 32-256-256-10, 256", narrow, small, 2)
    yield Case("MLP 256-1024-1024-10, p=.5, 64", mlp(256, 1024, 1024, 10, p=0.5), torch.randn(64, 256), 2)
    yield Case("TransformerEncoder, 4 layers, 16", Encoder().eval(), torch.randn(16, 32, 64), 2.5)
    yield from _berts()
    yield Case("LSTM, 2 layers, 16", Recurrent().eval(), torch.randn(16, 50, 32), 1.5)
    yield Case("CNN, stochastic everywhere, 16", cnn(channel_p=0.2), image(), 0.9)


def _berts() -> Iterator[Case]:
    if transformers is None:
        return
    sizes = {"hidden_size": 256, "num_hidden_layers": 4, "num_attention_heads": 4, "intermediate_size": 1024}
    model, ids = _bert(vocab_size=1000, **sizes), torch.randint(0, 1000, (8, 32))
    yield Case("BERT, 4 layers, 256 wide, 1", model, ids[:1], 1.2)
    yield Case("BERT, 4 layers, 256 wide, 8", model, ids, 1.3)


def _bert(**sizes: int) -> nn.Module:
    return Logits(transformers.BertForSequenceClassification(transformers.BertConfig(**sizes))).eval()
