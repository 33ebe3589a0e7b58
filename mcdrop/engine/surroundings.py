"""What outside of a model may change the calls that its pass makes."""

from collections.abc import Hashable

import torch
from torch._C import _functorch
from torch.nn.modules import module as modules

from mcdrop.engine.precision import matmul_precision

__all__ = ["surroundings"]


def surroundings() -> Hashable | None:
    """Dtypes and flags; None under autocast, modes, hooks on all modules, or a transform of functions."""
    try:
        if (
            torch._C._len_torch_function_stack()  # noqa: SLF001 - no public function tells
            or torch._C._len_torch_dispatch_stack()  # noqa: SLF001
            or torch._C._is_any_autocast_enabled()  # noqa: SLF001
            or _functorch.maybe_current_level() is not None
            or modules._has_any_global_hook()  # noqa: SLF001
        ):
            return None
        return (
            torch.get_default_dtype(),
            matmul_precision(),
            torch.are_deterministic_algorithms_enabled(),
            torch._C._get_mkldnn_enabled(),  # noqa: SLF001
        )
    except AttributeError:  # another version of torch, of which it is not known how to ask
        return None
