"""The one check that every layer makes."""

from mcdrop.errors import DomainError

__all__ = ["checked_rate"]


def checked_rate(p: object, name: str = "p") -> float:
    """A dropout rate.

    Args:
        p: What was given.
        name: Of the argument.

    Raises:
        DomainError: If it is not a number in [0, 1).
    """
    if isinstance(p, bool) or not isinstance(p, int | float) or not 0 <= p < 1:
        raise DomainError(f"{name} must be a number in [0, 1), got {p!r}")
    return float(p)
