"""Weights: from a module to the bytes of a safetensors file, and from these bytes back into a module.

Tensors that are one and the same are written once and the other names recorded as aliases. What is loaded
must fit the module to the last name, shape and dtype; only a module that was cast as a whole (to float16,
say) is followed.
"""

import struct
from collections.abc import Mapping
from typing import Final, NamedTuple

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from mcdrop.checkpoint.manifest import WEIGHTS_FILE
from mcdrop.checkpoint.strict_json import parse_strict_json
from mcdrop.errors import CheckpointError

__all__ = [
    "Weights",
    "check_fit",
    "check_plain_tensors",
    "load_into",
    "module_weights",
    "parse_weights",
    "weights_bytes",
]

_PICKLE_STARTS: Final = (b"PK\x03\x04", b"\x80")
_LENGTH: Final = struct.Struct("<Q")
_SHOWN: Final = 5
"""Names that an error lists before it says how many more there are."""


class Weights(NamedTuple):
    """All tensors of a module that its state dict names.

    Attributes:
        tensors: By name, each with memory of its own.
        aliases: Further names, and the name in `tensors` that stands for the same memory.
    """

    tensors: dict[str, Tensor]
    aliases: dict[str, str]

    def by_name(self) -> dict[str, Tensor]:
        """All names with their tensors; an alias shares the tensor of its target."""
        shared = {alias: self.tensors[target] for alias, target in self.aliases.items()}
        return {**self.tensors, **shared}


def module_weights(model: nn.Module) -> Weights:
    """The parameters and persistent buffers of a module, on the CPU, contiguous.

    Raises:
        CheckpointError: If its state dict holds anything but plain dense tensors.
    """
    state = model.state_dict()
    check_plain_tensors(state)
    first_name: dict[object, str] = {}
    names = {name: first_name.setdefault(_memory(name, tensor), name) for name, tensor in state.items()}
    kept = {name: _own_copy(state[name]) for name, first in names.items() if name == first}
    return Weights(kept, {name: first for name, first in names.items() if name != first})


def check_plain_tensors(state: Mapping[str, object]) -> None:
    """See that every leaf of a state dict is a dense tensor with memory behind it.

    Raises:
        CheckpointError: At the first one that is not, by name.
    """
    for name, leaf in state.items():
        problem = _not_plain(leaf)
        if problem:
            raise CheckpointError(f"{name!r} must be a dense tensor, got {problem}")


def weights_bytes(weights: Weights) -> bytes:
    """The safetensors file, the same bytes for equal weights."""
    contents: bytes = safetensors.torch.save(weights.tensors)
    return contents


def parse_weights(contents: bytes, aliases: Mapping[str, str]) -> Weights:
    """The weights in the bytes of a safetensors file.

    Args:
        contents: All of the file.
        aliases: From the manifest.

    Raises:
        CheckpointError: If it is another kind of file, is damaged, or an alias has no target.
    """
    _check_header(contents)
    try:
        tensors = safetensors.torch.load(contents)
    except (safetensors.SafetensorError, KeyError, ValueError, RuntimeError) as error:
        raise CheckpointError(f"{WEIGHTS_FILE} is not a valid safetensors file: {error}") from error
    for alias, target in aliases.items():
        if alias in tensors or target not in tensors:
            rule = f"the first must be a new name, the second a tensor in {WEIGHTS_FILE}"
            raise CheckpointError(f"aliases: {alias!r} stands for {target!r}; {rule}")
    return Weights(tensors, dict(aliases))


def load_into(model: nn.Module, weights: Weights) -> None:
    """Put the weights into a module that fits them; the module takes over their floating dtype.

    Raises:
        CheckpointError: If names, shapes or dtypes differ.
    """
    state = weights.by_name()
    check_fit(model, state)
    _follow_cast(model, weights)
    wrong = next((name for name, own in model.state_dict().items() if own.dtype != state[name].dtype), None)
    if wrong is not None:
        wanted, came = model.state_dict()[wrong].dtype, state[wrong].dtype
        raise CheckpointError(f"the tensor {wrong!r} must be {wanted}, got {came}")
    model.load_state_dict(state, strict=True)


def check_fit(model: nn.Module, state: Mapping[str, Tensor]) -> None:
    """See that a state dict has the names and shapes of a module, which may be on the meta device.

    Raises:
        CheckpointError: If names or shapes differ.
    """
    own = model.state_dict()
    check_plain_tensors({name: leaf for name, leaf in own.items() if not isinstance(leaf, Tensor)})
    _check_names(wanted=set(own), came=set(state))
    for name, tensor in own.items():
        if tensor.shape != state[name].shape:
            wanted, came = tuple(tensor.shape), tuple(state[name].shape)
            raise CheckpointError(f"the tensor {name!r} must have shape {wanted}, got {came}")


def _memory(name: str, tensor: Tensor) -> object:
    if tensor.numel() == 0:
        return name  # an empty tensor has no memory to share
    return (tensor.device, tensor.data_ptr(), tensor.shape, tensor.stride(), tensor.dtype)


def _own_copy(tensor: Tensor) -> Tensor:
    return tensor.detach().to("cpu", copy=True, memory_format=torch.contiguous_format)


def _not_plain(leaf: object) -> str | None:
    if not isinstance(leaf, Tensor):
        return f"a {type(leaf).__name__}"
    if leaf.is_meta:
        return "one on the meta device, which has no values"
    if leaf.is_quantized:
        return "a quantized one"
    return None if leaf.layout is torch.strided else f"one of layout {leaf.layout}"


def _check_header(contents: bytes) -> None:
    start = _LENGTH.size
    # the length of a header may begin with the very byte that a pickle begins with; then comes a brace
    if contents.startswith(_PICKLE_STARTS) and contents[start : start + 1] != b"{":
        todo = "make a checkpoint of a .pt file with: mcdrop pack"
        raise CheckpointError(
            f"{WEIGHTS_FILE} must be a safetensors file, got a pickle or zip archive; {todo}"
        )
    length = _LENGTH.unpack(contents[:start])[0] if len(contents) >= start else 0
    try:
        # The library's own reader lets the last of two equal names win.
        parse_strict_json(contents[start : start + length])
    except ValueError as error:
        raise CheckpointError(f"{WEIGHTS_FILE} is not a valid safetensors file: {error}") from error


def _follow_cast(model: nn.Module, weights: Weights) -> None:
    dtypes = {tensor.dtype for tensor in weights.tensors.values() if tensor.is_floating_point()}
    if len(dtypes) == 1:
        model.to(dtypes.pop())


def _check_names(*, wanted: set[str], came: set[str]) -> None:
    problems = {"misses": wanted - came, "has, and the architecture does not,": came - wanted}
    texts = [f"{verb} {_listing(names)}" for verb, names in problems.items() if names]
    if texts:
        raise CheckpointError(
            f"the weights do not fit the architecture: {WEIGHTS_FILE} {' and '.join(texts)}"
            f"{_other_names(wanted, came)}"
        )


def _other_names(wanted: set[str], came: set[str]) -> str:
    """What to do where a wrapper stands in front of all names, as in checkpoints of Lightning."""
    one = min(wanted, default="")
    for prefix in sorted(name.removesuffix(one) for name in came if name.endswith(f".{one}")):
        if {prefix + name for name in wanted} <= came:
            return f"; with {prefix!r} in front all of them are there: mcdrop pack takes --prefix {prefix}"
    return ""


def _listing(names: set[str]) -> str:
    shown = ", ".join(repr(name) for name in sorted(names)[:_SHOWN])
    return shown if len(names) <= _SHOWN else f"{shown} and {len(names) - _SHOWN} more"
