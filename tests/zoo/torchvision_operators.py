"""Declares compiled operators of torchvision, so that it can be imported beside another build of torch.

torchvision's wheel is compiled for CUDA. Beside a torch for the CPU its library does not load, and its import
then fails at two operators that it expects to be there. No model of the zoo calls them.
"""

from typing import Final

import torch

_LIBRARY: Final = torch.library.Library("torchvision", "FRAGMENT")
_BOXES: Final = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"

if torch.version.cuda is None:
    for name in ("nms", "qnms"):
        _LIBRARY.define(f"{name}{_BOXES}")
