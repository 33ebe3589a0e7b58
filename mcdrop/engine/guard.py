"""A watch over the passes of a trace: no parameter is written, and no random operator runs natively.

It sees what reaches the dispatcher of PyTorch in this thread, whoever calls it: C++ and TorchScript as well.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from mcdrop.engine.operators import Watch, draws, storage_of, written_tensors
from mcdrop.errors import UnsupportedModelError

__all__ = ["Guard"]


class Guard(Watch):
    """Refuses in-place writes to the parameters of a model, before they happen, and notes random operators.

    Args:
        model: Whose parameters are protected.
        place: Says which module is running.

    Attributes:
        unseen: The random operators that ran: who called which.
        differentiates: Whether gradients were switched on inside, whatever was outside.
    """

    def __init__(self, model: nn.Module, place: Callable[[], str]) -> None:
        super().__init__()
        self._protected = {storage_of(parameter): name for name, parameter in model.named_parameters()}
        self._place = place
        self.unseen: list[str] = []
        self.differentiates = False

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        for tensor in written_tensors(func, args, kwargs or {}):
            self._check(tensor)
        if draws(func, args, kwargs or {}):
            self.unseen.append(f"{self._place() or 'the model'} calls {func.overloadpacket.__name__}")
        self.differentiates |= torch.is_grad_enabled()
        return func(*args, **(kwargs or {}))

    def _check(self, tensor: Tensor) -> None:
        name = self._protected.get(storage_of(tensor)) if tensor.numel() else None
        if name is not None:
            raise UnsupportedModelError(
                f"the forward pass writes to the parameter {name} in train mode, and sampling must not "
                "change the model; keep what changes in a buffer, or initialise it before sampling"
            )
