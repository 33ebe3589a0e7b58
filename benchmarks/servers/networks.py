"""The networks that every server answers with."""

from torch import nn

from benchmarks.rivals.networks import mlp

__all__ = ["small_mlp"]


def small_mlp() -> nn.Module:
    """(N, 64) -> (N, 10) logits; its weights come from a checkpoint."""
    return mlp(64, 256, 256, 10, p=0.2)
