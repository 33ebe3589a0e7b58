"""What the rooms know about a model: plain data, without torch and without HTTP."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

__all__ = ["Array", "InputFacts", "ModelFacts", "PredictionAnswer", "PredictionRequest"]

Array = NDArray[np.generic]


@dataclass(frozen=True)
class InputFacts:
    """One input of a model.

    Attributes:
        name: Its name.
        dtype: NumPy's name of its dtype, such as `float32`.
        shape: Its shape without the row axis; -1 where any length will do.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]


@dataclass(frozen=True)
class ModelFacts:
    """What a served model takes and gives.

    Attributes:
        name: The name in the URL.
        version: The checkpoint's version.
        digest: `sha256:` and the digest of the checkpoint's manifest.
        fingerprint: 16 hex digits; equal fingerprints give equal bits.
        task: `classification`, `binary`, `regression` or `raw`.
        inputs: What it takes, in order.
        outputs: The attributes of its predictive that a request may ask for.
        default_outputs: Those that are given when a request names none.
        n_samples: Samples where a request does not say.
        seed: Seed where a request does not say.
        description: What else `GET /v1/models/{name}` tells, ready for JSON.
    """

    name: str
    version: str
    digest: str
    fingerprint: str
    task: str
    inputs: tuple[InputFacts, ...]
    outputs: tuple[str, ...]
    default_outputs: tuple[str, ...]
    n_samples: int
    seed: int
    description: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True)
class PredictionRequest:
    """One checked request, ready for the model.

    Attributes:
        inputs: (N, ...) array by input name, finite, in the dtype that the model takes.
        rows: N.
        n_samples: S, between 2 and the cap.
        seed: Between 0 and 2^63 - 1.
        outputs: Attributes of the predictive, in the order asked, without repeats.
        quantiles: Q levels in (0, 1), in the order asked; empty when none were.
    """

    inputs: Mapping[str, Array]
    rows: int
    n_samples: int
    seed: int
    outputs: tuple[str, ...]
    quantiles: tuple[float, ...] = ()


@dataclass(frozen=True)
class PredictionAnswer:
    """What came out, as arrays in the output's own dtype.

    Attributes:
        facts: The model that answered.
        n_samples: Samples that were taken.
        seed: The seed that replays them.
        outputs: (N, ...) array by output name, and `quantiles` (Q, N, ...) where they were asked.
    """

    facts: ModelFacts
    n_samples: int
    seed: int
    outputs: Mapping[str, Array]
