"""Ways to sample a network that are not ours: written by hand, and those of torch-uncertainty and baal.

Each is a function of a model and a number of samples that returns a function x -> (S, N, ...).
"""

import copy
from collections.abc import Callable
from typing import Any, Final

import torch
from torch import Tensor, nn

from benchmarks.rivals.packages import baal_caching, baal_dropout, baal_wrapper, torch_uncertainty

__all__ = ["CACHE", "IN_A_LOOP", "WAYS", "Sample", "Way"]

Sample = Callable[[Tensor], Tensor]
Way = Callable[[nn.Module, int], Sample]

CACHE: Final = "baal cache"
IN_A_LOOP: Final = ("loop", "TU loop", "baal loop", CACHE)


def loop(model: nn.Module, samples: int) -> Sample:
    """One pass in train mode for each sample."""
    model = copy.deepcopy(model).train()

    def sample(x: Tensor) -> Tensor:
        with torch.inference_mode():
            return torch.stack([model(x) for _ in range(samples)])

    return sample


def replication(model: nn.Module, samples: int) -> Sample:
    """One pass in train mode over S copies of the rows."""
    model = copy.deepcopy(model).train()

    def sample(x: Tensor) -> Tensor:
        with torch.inference_mode():
            out: Tensor = model(x.repeat(samples, *[1] * (x.dim() - 1))).unflatten(0, (samples, -1))
        return out

    return sample


def _torch_uncertainty(*, on_batch: bool) -> Way:
    def way(model: nn.Module, samples: int) -> Sample:
        wrapped = torch_uncertainty.mc_dropout(copy.deepcopy(model), samples, on_batch=on_batch).eval()

        def sample(x: Tensor) -> Tensor:
            with torch.inference_mode():
                out: Tensor = wrapped(x).unflatten(0, (samples, -1))
            return out

        return sample

    return way


def _baal(*, replicate: bool, cache: bool = False) -> Way:
    def way(model: nn.Module, samples: int) -> Sample:
        patched: Any = baal_dropout.MCDropoutModule(copy.deepcopy(model))
        patched = baal_caching.MCCachingModule(patched) if cache else patched
        arguments = baal_wrapper.TrainingArgs(use_cuda=False, replicate_in_memory=replicate)
        wrapper = baal_wrapper.ModelWrapper(patched.eval(), arguments)

        def sample(x: Tensor) -> Tensor:
            out: Tensor = wrapper.predict_on_batch(x, iterations=samples)
            return out.movedim(-1, 0)

        return sample

    return way


WAYS: Final[dict[str, Way]] = {
    "loop": loop,
    "replication": replication,
    **(
        {"TU loop": _torch_uncertainty(on_batch=False), "TU batch": _torch_uncertainty(on_batch=True)}
        if torch_uncertainty
        else {}
    ),
    **(
        {
            "baal loop": _baal(replicate=False),
            "baal batch": _baal(replicate=True),
            CACHE: _baal(replicate=False, cache=True),
        }
        if baal_wrapper
        else {}
    ),
}
"""By name; those of packages that are installed."""
