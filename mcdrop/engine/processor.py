"""What the processor can do: libraries choose their kernels by it."""

from typing import Any

import torch

__all__ = ["has_features"]


def has_features(*names: str) -> bool:
    """Whether the processor has all of these; none is known where the version of torch cannot tell.

    Args:
        *names: As `torch.cpu.get_capabilities` has them, such as `avx512_f`.
    """
    features: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
    return all(features.get(name) for name in names)
