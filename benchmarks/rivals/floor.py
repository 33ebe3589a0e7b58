"""The least time that the arithmetic of a call can take on this machine.

Multiplications and additions of matrix products, convolutions and recurrent layers: those before the first
random call once for each row, the others once for each row and sample, at the rate at which this machine
multiplies matrices that stay in its cache.
"""

import math
import time
from typing import Any, Final

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from mcdrop.engine.inputs import Call
from mcdrop.engine.masks import BlockKey
from mcdrop.engine.network import Network
from mcdrop.engine.replay import BlockDraws, SampleDraws
from mcdrop.engine.sites import Law

__all__ = ["floor_ms", "matrix_rate"]

_SIZE: Final = 512
_REPEATS: Final = 50


def matrix_rate() -> float:
    """Operations per second of one thread, in float32."""
    a, b = torch.randn(_SIZE, _SIZE), torch.randn(_SIZE, _SIZE)
    return 2 * _SIZE**3 / min(_seconds_of_product(a, b) for _ in range(_REPEATS))


def floor_ms(network: Network, call: Call, samples: int, rate: float) -> float:
    """Milliseconds for all samples of a call.

    Args:
        network: As it is replayed.
        call: All rows.
        samples: S.
        rate: Of `matrix_rate`.
    """
    prefix, suffix = _operations(network, call.take(slice(0, 1)))
    return 1e3 * call.rows * (prefix + samples * suffix) / rate


def _seconds_of_product(a: Tensor, b: Tensor) -> float:
    start = time.thread_time()
    torch.mm(a, b)
    return time.thread_time() - start


def _operations(network: Network, row: Call) -> tuple[int, int]:
    """Before and after the first random call, for one row."""
    ours = {
        torch.ops.mcdrop.recurrent_layer: _recurrent_layer,
        torch.ops.mkldnn._linear_pointwise: _linear,  # noqa: SLF001
    }
    counter = FlopCounterMode(display=False, custom_mapping=ours)
    draws = BlockDraws(network.sites, [[BlockKey(0, 0, 0)]], "philox-1", network.cache)
    source = _Noting(SampleDraws(draws, 0, network.paths), counter)
    with torch.no_grad(), counter:
        network.outputs_for(row, source)
    return source.before, counter.get_total_flops() - source.before


class _Noting:
    """A source that notes the count at the first random call."""

    def __init__(self, source: SampleDraws, counter: FlopCounterMode) -> None:
        self._source, self._counter = source, counter
        self._asked = False
        self.before = 0

    def draw(self, kind: str, p: float | None, law: Law, shape: tuple[int, ...]) -> Tensor:
        """The draw of the site that is firing."""
        if not self._asked:
            self._asked, self.before = True, self._counter.get_total_flops()
        return self._source.draw(kind, p, law, shape)


def _linear(x: Any, weight: Any, *_: Any, **__: Any) -> int:
    """Of all rows; arguments are shapes."""
    rows: int = math.prod(x[:-1])
    return 2 * rows * int(x[-1]) * int(weight[0])


def _recurrent_layer(_kind: str, x: Any, _sizes: Any, _state: Any, weights: Any, *_: Any, **__: Any) -> int:
    """Of all time steps and rows; arguments are shapes."""
    return sum(2 * x[0] * x[1] * w[0] * w[1] for w in weights if len(w) == 2)
