"""A network that labels tokens is not read as one that classifies over them."""

import pytest
import torch
from torch import Tensor, nn

import mcdrop
from mcdrop import MCDropout
from mcdrop.errors import OptionError
from tests.support.predictions import normal

WORDS = torch.arange(21).reshape(3, 7) % 5


def tagger(classes: int = 4) -> nn.Module:
    """(N, T) words in, (N, T, C) logits out."""
    return nn.Sequential(nn.Embedding(5, 8), nn.Dropout(0.3), nn.Linear(8, classes))


class TimeFirst(nn.Module):
    """(T, N, F) in, (T, N, C) out."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(3, 8), nn.Dropout(0.3), nn.Linear(8, 4))

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.layers(x)
        return out


SEQUENCE = normal(3, 7, 3).float()


@pytest.mark.parametrize(
    ("model", "x", "batch_axis"),
    [(tagger(), WORDS, 0), (TimeFirst(), SEQUENCE, 0), (TimeFirst(), SEQUENCE.transpose(0, 1), 1)],
    ids=["words", "features", "time first"],
)
def test_tokens_on_the_axis_of_the_classes_are_refused(model: nn.Module, x: Tensor, batch_axis: int) -> None:
    mc = MCDropout(model, task="classification", batch_axis=batch_axis)
    with pytest.raises(OptionError, match=r"\(N, 7, 4\) are as long as the input \(N, 7.*say class_axis=-1 "):
        mc.predict(x)
    with pytest.raises(OptionError, match="as long as the input"):
        mcdrop.inspect(mc, x)


@pytest.mark.parametrize("axis", [1, -1])
def test_an_axis_that_is_named_is_taken(axis: int) -> None:
    pred = MCDropout(tagger(), task="classification", class_axis=axis).predict(WORDS)
    assert pred.mean.sum(axis).allclose(torch.ones(()))


@pytest.mark.parametrize(
    ("model", "x"),
    [
        (nn.Sequential(nn.Conv1d(3, 4, 3, padding=1), nn.Dropout1d(0.3)), normal(2, 3, 7).float()),
        (nn.Sequential(nn.Conv1d(3, 3, 3, padding=1), nn.Dropout1d(0.3)), normal(2, 3, 7).float()),
        (nn.Sequential(nn.Conv2d(3, 4, 1), nn.Dropout2d(0.3)), normal(2, 3, 5, 4).float()),
        (nn.Sequential(nn.Conv2d(3, 3, 1), nn.Dropout2d(0.3), nn.Flatten(2)), normal(2, 3, 5, 4).float()),
        (nn.Sequential(nn.Linear(7, 7), nn.Dropout(0.3)), normal(2, 7).float()),
    ],
    ids=["signals", "as many classes as channels", "images", "pixels in a line", "rows"],
)
def test_classes_on_axis_1_need_no_word(model: nn.Module, x: Tensor) -> None:
    pred = MCDropout(model, task="classification").predict(x)
    assert pred.mean.sum(1).allclose(torch.ones(()))
