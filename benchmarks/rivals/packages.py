"""The packages that the benchmark compares with; None where one is not installed.

torchvision, which torch-uncertainty brings along, is compiled for CUDA: beside another build of torch it can
only be imported if its operators are declared before. Nothing here calls them.
"""

from importlib import import_module
from importlib.util import find_spec
from typing import Any, Final

import torch

__all__ = ["baal_caching", "baal_dropout", "baal_wrapper", "torch_uncertainty", "transformers"]

_OPERATORS: Final = torch.library.Library("torchvision", "DEF") if find_spec("torchvision") else None
if _OPERATORS is not None:
    for name in ("nms", "qnms"):
        _OPERATORS.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")


def _package(name: str, module: str | None = None) -> Any:
    return import_module(module or name) if find_spec(name) else None


transformers: Final = _package("transformers")
torch_uncertainty: Final = _package("torch_uncertainty", "torch_uncertainty.methods")
baal_dropout: Final = _package("baal", "baal.bayesian.dropout")
baal_caching: Final = _package("baal", "baal.bayesian.caching_utils")
baal_wrapper: Final = _package("baal", "baal.modelwrapper")
