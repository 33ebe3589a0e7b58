"""The names of torch's vmap machinery that are not public, in this one place."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Final

from torch import Tensor
from torch._C import _functorch

from mcdrop.engine.processwide import ProcessWide

__all__ = [
    "has_sample_axis",
    "inside_vmap",
    "is_wrapped",
    "lifted",
    "lowered",
    "without_fallback_warnings",
]


def has_sample_axis(tensor: Tensor) -> bool:
    """Whether a tensor seen inside of vmap differs between its samples."""
    return bool(_functorch.is_batchedtensor(tensor))


def is_wrapped(tensor: Tensor) -> bool:
    """Whether a tensor stands for one of all samples, or for one whose gradient is computed."""
    return bool(_functorch.is_functorch_wrapped_tensor(tensor))


def lifted(tensor: Tensor, rank: int) -> Tensor:
    """All samples of a tensor seen inside of vmap: what is computed from it is one call for all of them.

    Args:
        tensor: (...) of one sample; outside of vmap it is returned as it is.
        rank: Of the largest tensor of the calculation; at least its own.

    Returns:
        (S, ...) with `rank` axes behind the first, so that it broadcasts; itself if all samples share it.
    """
    level = _functorch.maybe_current_level()
    if level is None or not has_sample_axis(tensor) or _functorch.maybe_get_level(tensor) != level:
        return tensor
    value, axis = _functorch._unwrap_batched(tensor, level)  # noqa: SLF001
    value = value.movedim(axis, 0) if axis else value
    missing = rank + 1 - value.dim()
    return value.reshape(len(value), *[1] * missing, *value.shape[1:]) if missing else value


def lowered(value: Tensor, rank: int) -> Tensor:
    """What vmap goes on with: one sample of what was computed from lifted tensors.

    Args:
        value: (S, ...), or (...) if nothing that it comes from was lifted.
        rank: How many axes it has in one sample.
    """
    if value.dim() == rank:
        return value
    level = _functorch.maybe_current_level()
    return _functorch._add_batch_dim(value, 0, level)  # type: ignore[arg-type]  # noqa: SLF001


def inside_vmap() -> bool:
    """Whether the code that runs is being mapped by vmap."""
    level = _functorch.maybe_current_level()
    return level is not None and _functorch.peek_interpreter_stack().key() == _functorch.TransformType.Vmap


def without_fallback_warnings() -> AbstractContextManager[None]:
    """Silences what vmap says of operators without a batching rule: how fast a strategy is, is measured."""
    return _QUIET.held()


@contextmanager
def _quiet() -> Iterator[None]:
    _warn_of_fallbacks(False)  # noqa: FBT003
    try:
        yield
    finally:
        _warn_of_fallbacks(True)  # noqa: FBT003


_warn_of_fallbacks: Final = _functorch._set_vmap_fallback_warning_enabled  # type: ignore[attr-defined]  # noqa: SLF001
_QUIET: Final = ProcessWide(_quiet)
