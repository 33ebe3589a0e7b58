"""The directory that the user works in: what she names on the command line is found there too."""

import sys
from pathlib import Path

__all__ = ["look_here"]


def look_here() -> None:
    """Let modules of the working directory be imported, behind all that is installed.

    A command that is installed finds its own directory on the path, where `python -m` finds the working one.
    """
    if str(Path.cwd()) not in sys.path:
        sys.path.append(str(Path.cwd()))
