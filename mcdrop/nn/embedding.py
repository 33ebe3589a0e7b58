"""Dropout of whole words."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mcdrop.errors import InputError
from mcdrop.nn.rate import checked_rate

__all__ = ["EmbeddingDropout"]


class EmbeddingDropout(nn.Module):
    """An embedding that loses whole words: one that is dropped is dropped wherever it stands in its row.

    Dropping elements of the embedded sequence would leave the same word whole at its next place.

    Args:
        embedding: `nn.Embedding`; its weights become those of this layer.
        p: Probability that a word is dropped from a row, in [0, 1).

    Raises:
        InputError: If the layer is of another kind.
        DomainError: If p lies outside its range.

    Source:
        Gal and Ghahramani 2016, arXiv:1512.05287, section 4.2.
    """

    def __init__(self, embedding: nn.Module, p: float = 0.1) -> None:
        super().__init__()
        if not isinstance(embedding, nn.Embedding):
            raise InputError(f"EmbeddingDropout wraps nn.Embedding, got {type(embedding).__name__}")
        self.embedding = embedding
        self.p = checked_rate(p)

    def forward(self, ids: Tensor) -> Tensor:
        """From (N, ...) indices to (N, ..., F)."""
        embedded: Tensor = self.embedding(ids)
        if not self.training or self.p == 0:
            return embedded
        words = torch.ones(
            ids.shape[0], self.embedding.num_embeddings, dtype=embedded.dtype, device=embedded.device
        )
        noise = F.dropout(words, self.p, training=True).gather(1, ids.reshape(ids.shape[0], -1))
        return embedded * noise.view(*ids.shape, 1)

    def extra_repr(self) -> str:
        """The arguments."""
        return f"p={self.p}"
