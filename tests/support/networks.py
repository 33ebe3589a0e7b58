"""Small networks with fixed weights, for tests of what is done with networks."""

import torch
from torch import Tensor, nn

__all__ = ["Pair", "classifier", "features", "fixed", "regressor", "segmenter"]


class Pair(nn.Module):
    """Two inputs, an option, and a mapping of two outputs."""

    def __init__(self) -> None:
        super().__init__()
        self.left = nn.Linear(4, 8)
        self.right = nn.Linear(2, 8)
        self.drop = nn.Dropout(0.4)
        self.head = nn.Linear(8, 3)

    def forward(self, left: Tensor, right: Tensor, *, scale: float = 1.0, seed: int = 0) -> dict[str, Tensor]:
        """Logits from both inputs, and the hidden units; `seed` is a name that mcdrop's calls have too."""
        hidden = self.drop(torch.relu(self.left(left) + scale * self.right(right)) + seed)
        return {"hidden": hidden, "logits": self.head(hidden)}


def fixed(model: nn.Module) -> nn.Module:
    """The same, with weights that are the same everywhere, in eval mode."""
    generator = torch.Generator().manual_seed(20)
    for parameter in model.parameters():
        scale = max(parameter.shape[-1], 1) ** -0.5 if parameter.dim() > 1 else 0.1
        parameter.data.copy_(torch.randn(parameter.shape, generator=generator) * scale)
    return model.eval()


def classifier(*, last: nn.Module | None = None, width: int = 16, p: float = 0.3) -> nn.Module:
    """From (N, 6) to (N, 3) logits."""
    layers = [nn.Linear(6, width), nn.ReLU(), nn.Dropout(p), nn.Linear(width, width), nn.ReLU()]
    return fixed(nn.Sequential(*layers, nn.Dropout(0.5), nn.Linear(width, 3), *([last] if last else [])))


def regressor() -> nn.Module:
    """From (N, 6) to (N, 1)."""
    return fixed(nn.Sequential(nn.Linear(6, 16), nn.Tanh(), nn.Dropout(0.2), nn.Linear(16, 1)))


def segmenter() -> nn.Module:
    """From (N, 2, H, W) to (N, 3, H, W)."""
    convolution = nn.Conv2d(2, 5, 3, padding=1)
    return fixed(nn.Sequential(convolution, nn.ReLU(), nn.Dropout2d(0.5), nn.Conv2d(5, 3, 1)))


def features(rows: int, *shape: int, seed: int = 0) -> Tensor:
    """Standard normal inputs (N, 6), or of another shape."""
    return torch.randn(rows, *(shape or (6,)), generator=torch.Generator().manual_seed(seed))
