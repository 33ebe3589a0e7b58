"""What a request costs, before it has run: its units of work, and the memory that is held for it."""

from math import prod
from typing import Final

import numpy as np

from mcdrop_service.errors import TooLargeError
from mcdrop_service.execution.servable import Lane
from mcdrop_service.facts import BLOCK, ModelFacts, PredictionRequest

__all__ = ["kind_of", "pieces_of", "size_bytes", "unit_bytes"]

# Of a unit's results, the objects around its numbers, roughly.
OBJECTS_BYTES: Final = 2048


def pieces_of(request: PredictionRequest, lane: Lane) -> int:
    """Pieces that its answer is made in, where that can take long: of other answers none is reckoned with."""
    return -(-request.rows // lane.tile) if request.quantiles or lane.apart else 0


def kind_of(request: PredictionRequest, lane: Lane) -> tuple[int, int, int]:
    """What decides how long a piece takes, to a factor of two: how many levels, blocks and rows it has."""
    rows = min(request.rows, lane.tile)
    return len(request.quantiles).bit_length(), request.blocks.bit_length(), rows.bit_length()


def unit_bytes(facts: ModelFacts, request: PredictionRequest) -> int:
    """Memory of one unit's results: 16 samples of the largest output, and the objects around them.

    Args:
        facts: Of the model. Where a length of its outputs varies, the longest of the inputs is taken.
        request: Any with the signature.
    """
    longest = max((size for array in request.inputs.values() for size in array.shape[1:]), default=1)
    sizes = (
        prod(longest if size == -1 else size for size in each.shape) * np.dtype(each.dtype).itemsize
        for each in facts.tensors
    )
    return OBJECTS_BYTES + BLOCK * max(sizes, default=0)


def size_bytes(request: PredictionRequest, each_row: int, most: int) -> int:
    """Memory that is held for a request until it is answered.

    Args:
        request: Checked.
        each_row: Memory of the results of one row.
        most: What all requests together may take.

    Raises:
        TooLargeError: If it is more: asking again later would not help.
    """
    size = sum([array.nbytes for array in request.inputs.values()])
    size += request.rows * each_row
    if size > most:
        raise TooLargeError(
            f"the request would take about {size} bytes of memory, and all together may take {most}; "
            "send fewer rows or samples at a time"
        )
    return size
