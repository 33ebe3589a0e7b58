"""The same in BentoML: `bentoml serve benchmarks.servers.bento:Apart`, or `:Together` with its batching."""

import bentoml
import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.servers.by_hand import ByHand

Numbers = NDArray[np.float32]


@bentoml.service(workers=1, traffic={"timeout": 60}, logging={"access": {"enabled": False}})
class Apart:
    """Each request by itself."""

    def __init__(self) -> None:
        self.model = ByHand()

    @bentoml.api  # type: ignore[untyped-decorator]
    def predict(self, inputs: Numbers) -> Numbers:
        """(N, ...) -> (N, 2 C + 3)."""
        out: Numbers = self.model(torch.as_tensor(inputs, dtype=torch.float32)).numpy()
        return out


@bentoml.service(workers=1, traffic={"timeout": 60}, logging={"access": {"enabled": False}})
class Together:
    """Requests that wait at the same time in one batch."""

    def __init__(self) -> None:
        self.model = ByHand()

    @bentoml.api(batchable=True, max_batch_size=16, max_latency_ms=1000)  # type: ignore[untyped-decorator]
    def predict(self, inputs: Numbers) -> Numbers:
        """(N, ...) -> (N, 2 C + 3)."""
        out: Numbers = self.model(torch.as_tensor(inputs, dtype=torch.float32)).numpy()
        return out
