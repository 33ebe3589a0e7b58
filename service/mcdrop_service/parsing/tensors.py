"""The tensors of the Open Inference Protocol: in JSON, nested or flat, or as raw bytes behind it."""

import math
from collections.abc import Sequence

import numpy as np

from mcdrop_service.errors import BadRequestError, shown
from mcdrop_service.facts import DATATYPES, Array, InputFacts
from mcdrop_service.parsing.arrays import array_from_bytes, array_from_values

__all__ = ["RawData", "tensor_of"]

MAX_AXES = 16
NOT_IN_JSON = frozenset({"FP16", "BF16"})


class RawData:
    """The bytes behind the JSON, taken piece by piece in the order of the inputs.

    Args:
        data: All of them.
    """

    def __init__(self, data: memoryview) -> None:
        self._data = data
        self._taken = 0

    def take(self, size: object, name: str) -> memoryview:
        """The next piece.

        Args:
            size: What the input says that it has.
            name: Of the input.

        Raises:
            BadRequestError: If it is no size, or there is not as much left.
        """
        left = len(self._data) - self._taken
        if type(size) is not int or not 0 <= size <= left:
            raise BadRequestError(
                f"binary_data_size of {name} must be a whole number of bytes, at most the {left} "
                f"that are left, got {shown(size)}"
            )
        self._taken += size
        return self._data[self._taken - size : self._taken]

    def check_empty(self) -> None:
        """Refuse bytes that belong to no input.

        Raises:
            BadRequestError: If some are left.
        """
        left = len(self._data) - self._taken
        if left:
            raise BadRequestError(
                f"the binary data must end with that of the last input, got {left} bytes more"
            )


def tensor_of(document: dict[str, object], wanted: InputFacts, raw: RawData) -> Array:
    """The array of one input.

    Args:
        document: The entry of `inputs`; its name is that of `wanted`.
        wanted: Name, dtype and row shape that the model takes.
        raw: Where binary data is taken from.

    Returns:
        (N, *wanted.shape) array in `wanted.dtype`, finite.

    Raises:
        BadRequestError: If it is not such an array.
    """
    datatype = DATATYPES[wanted.dtype]
    if document.get("datatype") != datatype:
        raise BadRequestError(f"{wanted.name} must be {datatype}, got {shown(document.get('datatype'))}")
    shape = _shape(document.get("shape"), wanted)
    parameters = _parameters(document, wanted)
    if "binary_data_size" not in parameters:
        return _from_json(document, shape, wanted)
    if "data" in document:
        raise BadRequestError(f"{wanted.name} must have either data or binary_data_size, got both")
    return _from_bytes(raw.take(parameters["binary_data_size"], wanted.name), shape, wanted)


def _shape(value: object, wanted: InputFacts) -> tuple[int, ...]:
    if not isinstance(value, list) or len(value) > MAX_AXES or not all(map(_is_length, value)):
        raise BadRequestError(
            f"shape of {wanted.name} must be a list of at most {MAX_AXES} whole numbers from 0 on, "
            f"got {shown(value)}"
        )
    return tuple(value)


def _is_length(size: object) -> bool:
    return type(size) is int and 0 <= size < 2**63


def _parameters(document: dict[str, object], wanted: InputFacts) -> dict[str, object]:
    parameters = document.get("parameters", {})
    if not isinstance(parameters, dict):
        raise BadRequestError(f"parameters of {wanted.name} must be an object, got {shown(parameters)}")
    if any(str(name).startswith("shared_memory") for name in parameters):
        raise BadRequestError("shared memory is not taken; send the data in the request")
    return parameters


def _from_json(document: dict[str, object], shape: Sequence[int], wanted: InputFacts) -> Array:
    if DATATYPES[wanted.dtype] in NOT_IN_JSON:
        raise BadRequestError(f"{wanted.name} is {DATATYPES[wanted.dtype]}, which must come as binary data")
    if "data" not in document:
        raise BadRequestError(f"{wanted.name} must have data, or binary_data_size in its parameters")
    return array_from_values(document["data"], tuple(shape), wanted)


def _from_bytes(data: memoryview, shape: tuple[int, ...], wanted: InputFacts) -> Array:
    size = math.prod(shape) * np.dtype(wanted.dtype).itemsize
    if size != len(data):
        raise BadRequestError(
            f"{wanted.name} of shape {shown(list(shape))} must have {size} bytes, got {len(data)}"
        )
    return array_from_bytes(data, shape, wanted)
