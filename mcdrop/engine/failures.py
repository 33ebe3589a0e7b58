"""What went wrong, in one line: for messages, and beside a strategy that is not used."""

__all__ = ["first_line", "reason"]


def first_line(error: Exception) -> str:
    """What an error says."""
    lines = str(error).splitlines() or [type(error).__name__]
    return lines[0][:200]


def reason(error: Exception) -> str:
    """Of which type an error is, and what it says."""
    return f"{type(error).__name__}: {first_line(error)}"
