"""What someone writes who has no library: thirty passes in train mode, and what the samples come to."""

import os
from pathlib import Path
from typing import Final

import torch
from torch import Tensor

import mcdrop
from benchmarks.rivals.ways import WAYS

__all__ = ["MODEL", "WAY", "ByHand"]

MODEL: Final = "BENCHMARK_MODEL"
WAY: Final = "BENCHMARK_WAY"
SAMPLES: Final = 30


class ByHand:
    """Samples the network of the checkpoint that the environment names, in the way that it names."""

    def __init__(self) -> None:
        torch.set_num_threads(1)
        network = mcdrop.load(Path(os.environ[MODEL]), allow=["benchmarks"]).model
        self._sample = WAYS[os.environ[WAY]](network, SAMPLES)

    def __call__(self, x: Tensor) -> Tensor:
        """(N, 2 C + 3): mean and standard deviation of the probabilities, label, total and epistemic nats."""
        with torch.inference_mode():
            p = self._sample(x).softmax(-1)
            mean = p.mean(0)
            total = _entropy(mean)
            epistemic = total - _entropy(p).mean(0)
            columns = [mean, p.std(0), mean.argmax(-1, keepdim=True), total[:, None], epistemic[:, None]]
            return torch.cat(columns, -1)


def _entropy(p: Tensor) -> Tensor:
    entropy: Tensor = -torch.special.xlogy(p, p).sum(-1)
    return entropy
