"""Outputs (N, T, C) of a network that labels each token, read as (N, C, T): a law over the tokens.

Nothing fails then, and every number is of a law that nobody meant. The shapes tell mostly: what labels the T
tokens of an input has an axis of their length, and where that is axis 1 the classes are elsewhere.
"""

import torch
from torch import Tensor

from mcdrop.engine.generators import generators_restored
from mcdrop.engine.inputs import Call
from mcdrop.engine.network import Network
from mcdrop.errors import OptionError
from mcdrop.predictive.tasks import only_output

__all__ = ["refuse_tokens_for_classes"]


def refuse_tokens_for_classes(network: Network, call: Call) -> None:
    """Refuse outputs whose axis 1 is as long as that of an input and whose axis 2 is not.

    Args:
        network: What was traced; nobody said which axis its classes are on.
        call: Some rows.

    Raises:
        OptionError: If it returns such outputs.
    """
    if call.whole or 3 not in network.outputs.ranks:
        return
    row = call.take(slice(0, 1))
    try:
        with generators_restored(), network.inference():
            output = only_output(network.outputs.rebuild(network.deterministic_outputs(row)))
    except Exception:  # noqa: BLE001 - whoever needs this pass, or one output, tells why there is none
        return
    pairs = zip(row.leaves, row.axes, strict=True)
    inputs = [_of_a_row(leaf, axis) for leaf, axis in pairs if isinstance(leaf, Tensor) and axis is not None]
    for shape in inputs:
        places = (*shape, shape[-2:].numel())  # of maps, whose pixels may stand in one line
        if output.dim() == 3 and shape[:1] == output.shape[1:2] and output.shape[2] not in places:
            came, given = (", ".join(map(str, sizes)) for sizes in (output.shape[1:], shape))
            raise OptionError(
                f"the outputs (N, {came}) are as long as the input (N, {given}) on axis 1, where the classes "
                "are read: say class_axis=-1 (--class-axis -1 on the command line) if they are (N, T, C), or "
                "class_axis=1 if axis 1 does hold the classes"
            )


def _of_a_row(leaf: Tensor, axis: int) -> torch.Size:
    return leaf.select(axis, 0).shape
