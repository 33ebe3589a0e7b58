"""The minimum of a smooth function of a few numbers."""

from collections.abc import Callable
from typing import Final

import torch
from torch import Tensor

__all__ = ["minimise"]

_STEPS: Final = 200
_FLAT: Final = 1e-9


def minimise(loss: Callable[..., Tensor], start: Tensor, *data: Tensor) -> Tensor:
    """Where `loss` is smallest, downhill from `start`; never a worse place than that.

    Args:
        loss: Of (K,) numbers and the data, differentiable.
        start: (K,) float64.
        *data: What else it takes.

    Returns:
        (K,) the place.

    Source:
        Liu and Nocedal 1989, "On the limited memory BFGS method for large scale optimization".
    """
    # in inference mode nothing has a gradient, and tensors that were made in it have none outside either
    with torch.inference_mode(mode=False), torch.enable_grad():
        given = [each.clone() for each in data]
        place = start.detach().clone().requires_grad_()
        search = torch.optim.LBFGS(
            [place],
            max_iter=_STEPS,
            tolerance_grad=_FLAT,
            tolerance_change=0.0,
            line_search_fn="strong_wolfe",
        )

        def step() -> float:
            search.zero_grad()
            value = loss(place, *given)
            value.backward()
            return value.item()

        before = step()
        search.step(step)
        found = place.detach()
        better = found.isfinite().all() and loss(found, *given).item() <= before
    return found if better else start
