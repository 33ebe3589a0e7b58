"""A small convolutional network for the 8 x 8 digits that scikit-learn bundles."""

from torch import Tensor, nn

from mcdrop.zoo.scaling import Standardise

__all__ = ["DigitsCNN"]


class DigitsCNN(nn.Module):
    """Three convolutions with channel-wise dropout before the last, two dense layers with plain dropout.

    The two convolutions before the first dropout are the same for every sample.

    Args:
        width: Channels of the first convolution; the second has twice as many, the third four times.
        hidden: Units of the dense layer.
        channel_p: Rate at which whole feature maps are dropped (Tompson et al. 2015, arXiv:1411.4280).
        p: Rate at which units are dropped.
    """

    def __init__(self, *, width: int = 16, hidden: int = 128, channel_p: float = 0.1, p: float = 0.1) -> None:
        super().__init__()
        self.width, self.hidden, self.channel_p, self.p = width, hidden, channel_p, p
        self.pixels = Standardise()
        self.features = nn.Sequential(
            nn.Conv2d(1, width, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(width, 2 * width, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Dropout2d(channel_p),
            nn.Conv2d(2 * width, 4 * width, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Flatten(),
        )
        self.head = nn.Sequential(
            nn.Dropout(p),
            nn.Linear(16 * width, hidden),
            nn.ReLU(),
            nn.Dropout(p),
            nn.Linear(hidden, 10),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Class scores.

        Args:
            x: (N, 1, 8, 8) pixels, 0 to 16.

        Returns:
            (N, 10) logits.
        """
        scores: Tensor = self.head(self.features(self.pixels(x)))
        return scores
