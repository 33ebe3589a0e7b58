"""How close is equal: the only place where the tests keep tolerances.

torch.testing.assert_close(actual, expected, **FLOAT32)
assert abs(estimate - truth) <= monte_carlo(n_draws, scale=standard_deviation)
"""

from math import sqrt
from typing import Final, TypedDict


class Tolerance(TypedDict):
    """The two numbers that `torch.testing.assert_close` and `numpy.testing.assert_allclose` take."""

    rtol: float
    atol: float


EXACT: Final = Tolerance(rtol=0.0, atol=0.0)
FLOAT32: Final = Tolerance(rtol=1e-5, atol=1e-5)
FLOAT64: Final = Tolerance(rtol=1e-9, atol=1e-9)


def monte_carlo(n: int, *, scale: float = 1.0) -> float:
    """Five standard errors of a mean of `n` draws whose standard deviation is `scale`."""
    return 5.0 * scale / sqrt(n)
