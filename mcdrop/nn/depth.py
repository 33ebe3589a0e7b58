"""Stochastic depth: the residual branch of a row is dropped as a whole."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mcdrop.nn.rate import checked_rate

__all__ = ["StochasticDepth"]


class StochasticDepth(nn.Module):
    """Drops all of a row's values at once: `x + StochasticDepth(p)(branch(x))`.

    The same as `torchvision.ops.StochasticDepth(p, "row")` and timm's `DropPath(p)`, both of which
    `MCDropout` samples: use those where you have the package. Depth d of D usually gets the rate p d / D.

    Args:
        p: Probability that a row's branch is dropped, in [0, 1).

    Raises:
        DomainError: If p lies outside its range.

    Source:
        Huang et al. 2016, "Deep networks with stochastic depth", arXiv:1603.09382; scaled in training, not in
        evaluation as there.
    """

    def __init__(self, p: float = 0.1) -> None:
        super().__init__()
        self.p = checked_rate(p)

    def forward(self, x: Tensor) -> Tensor:
        """The shape of x, rows first."""
        if not self.training or self.p == 0:
            return x
        ones = torch.ones(x.shape[0], *[1] * (x.dim() - 1), dtype=x.dtype, device=x.device)
        return x * F.dropout(ones, self.p, training=True)

    def extra_repr(self) -> str:
        """The arguments."""
        return f"p={self.p}"
