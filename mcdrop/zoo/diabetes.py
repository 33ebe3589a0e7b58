"""A multilayer perceptron for the diabetes table that scikit-learn bundles."""

from torch import Tensor, nn

from mcdrop.zoo.scaling import Standardise

__all__ = ["DiabetesMLP"]


class DiabetesMLP(nn.Module):
    """Two hidden layers with dropout after each; takes and gives the table's own units.

    Args:
        hidden: Units of each hidden layer.
        p: Rate at which they are dropped.
    """

    def __init__(self, *, hidden: int = 32, p: float = 0.3) -> None:
        super().__init__()
        self.hidden, self.p = hidden, p
        self.columns = Standardise((10,))
        self.progression = Standardise((1,))
        self.layers = nn.Sequential(
            nn.Linear(10, hidden),
            nn.ReLU(),
            nn.Dropout(p),
            nn.Linear(hidden, hidden),
            nn.ReLU(),
            nn.Dropout(p),
            nn.Linear(hidden, 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Disease progression one year after the baseline.

        Args:
            x: (N, 10) as `load_diabetes(scaled=False)` gives them: age, sex, bmi, bp, s1 to s6.

        Returns:
            (N, 1) on the scale of the data, 25 to 346.
        """
        return self.progression.inverse(self.layers(self.columns(x)))
