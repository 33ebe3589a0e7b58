from collections.abc import Iterator

import pytest
import torch
from torch import nn

from mcdrop.errors import DomainError, InputError
from mcdrop.nn import EmbeddingDropout, StochasticDepth


@pytest.fixture(autouse=True)
def _the_same_draws_each_time() -> Iterator[None]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


def test_a_word_is_dropped_wherever_it_stands_in_its_row() -> None:
    ids = torch.randint(0, 6, (40, 30))
    dropped = (EmbeddingDropout(nn.Embedding(6, 4), 0.5).train()(ids) == 0).all(-1)
    for row, words in zip(dropped, ids, strict=True):
        for word in range(6):
            assert len(set(row[words == word].tolist())) <= 1


def test_rows_lose_words_apart_and_words_as_a_whole() -> None:
    embedded = EmbeddingDropout(nn.Embedding(6, 4), 0.5).train()(torch.zeros(40, 1, dtype=torch.long))
    zeros = embedded == 0
    assert torch.equal(zeros.all(-1), zeros.any(-1))
    assert 0 < int(zeros.all(-1).sum()) < 40


@pytest.mark.parametrize("shape", [(5,), (5, 3), (5, 3, 2)])
def test_indices_of_any_rank_are_embedded(shape: tuple[int, ...]) -> None:
    layer = EmbeddingDropout(nn.Embedding(6, 4), 0.5).train()
    assert layer(torch.ones(shape, dtype=torch.long)).shape == (*shape, 4)


def test_a_branch_is_dropped_as_a_whole() -> None:
    out = StochasticDepth(0.5).train()(torch.ones(50, 3, 4)).flatten(1)
    assert (out == out[:, :1]).all()
    assert set(out[:, 0].tolist()) == {0.0, 2.0}


def test_what_is_no_embedding_or_no_rate_is_refused() -> None:
    with pytest.raises(InputError, match=r"EmbeddingDropout wraps nn\.Embedding, got Linear"):
        EmbeddingDropout(nn.Linear(2, 2))
    with pytest.raises(DomainError, match="p must be"):
        EmbeddingDropout(nn.Embedding(2, 2), 1.0)
    with pytest.raises(DomainError, match="p must be"):
        StochasticDepth(-0.1)
