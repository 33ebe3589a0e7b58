"""Functions compiled by torch.compile run as they were written: what is compiled cannot be intercepted."""

import sys
from contextlib import AbstractContextManager, nullcontext
from typing import Final

import torch

from mcdrop.engine.processwide import ProcessWide

__all__ = ["compiled_functions_off"]

_STANCE: Final = ProcessWide(lambda: torch.compiler.set_stance("force_eager"))


def compiled_functions_off() -> AbstractContextManager[None]:
    """Run what was compiled uncompiled; compiled models of other threads run so too meanwhile.

    Nothing happens where nothing was ever compiled.
    """
    return _STANCE.held() if "torch._dynamo" in sys.modules else nullcontext()
