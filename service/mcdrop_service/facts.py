"""What the rooms know about a model: plain data, without torch and without HTTP.

Nothing here is changed once it is made. What is made for every request is not frozen all the same: a frozen
one takes seven times as long to make.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from math import prod
from types import MappingProxyType
from typing import Final

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "BLOCK",
    "DATATYPES",
    "SAMPLES",
    "STOPPED",
    "Array",
    "InferenceRequest",
    "InputFacts",
    "ModelFacts",
    "OutputFacts",
    "PredictionAnswer",
    "PredictionRequest",
]

Array = NDArray[np.generic]

BLOCK: Final = 16
"""Samples that a row takes at once: a row times a block is the unit of work."""

SAMPLES: Final = frozenset({"samples", "kept_samples"})
"""Outputs that hold every sample: for people, and the field of which a predictive is made."""

STOPPED: Final = ("samples_taken", "converged")
"""Outputs of a request with a tolerance: how many samples each row took, and whether its error came down."""

DATATYPES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "bool": "BOOL",
        "uint8": "UINT8",
        "uint16": "UINT16",
        "uint32": "UINT32",
        "uint64": "UINT64",
        "int8": "INT8",
        "int16": "INT16",
        "int32": "INT32",
        "int64": "INT64",
        "float16": "FP16",
        "float32": "FP32",
        "float64": "FP64",
    }
)
"""What the Open Inference Protocol calls NumPy's dtypes."""


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
class OutputFacts:
    """One output of a model.

    Attributes:
        name: The attribute of the predictive.
        dtype: NumPy's name of its dtype.
        shape: Its shape without the row axis; -1 where the length can vary with that of the inputs.
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
        tensors: The outputs with their dtypes and shapes.
        batch_invariance: `bitwise`: the same bits alone and in company. `tolerance`: up to rounding only.
        fields: What the predictive is made of beside, unrounded: together they are all of it.
        properties: What else the metadata of the Open Inference Protocol tells, as texts.
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
    tensors: tuple[OutputFacts, ...] = ()
    batch_invariance: str = "bitwise"
    fields: tuple[str, ...] = ()
    properties: Mapping[str, str] = field(default_factory=dict)
    description: Mapping[str, object] = field(default_factory=dict)

    @cached_property
    def row_bytes(self) -> Mapping[str, int]:
        """Of each output of one row, by name, where its shape does not vary."""
        return {
            each.name: prod(each.shape) * np.dtype(each.dtype).itemsize
            for each in self.tensors
            if -1 not in each.shape
        }

    @cached_property
    def widest_bytes(self) -> int:
        """Of the largest of them."""
        return max(self.row_bytes.values(), default=0)


@dataclass(slots=True)
class PredictionRequest:
    """One checked request, ready for the model.

    Attributes:
        inputs: (N, ...) array by input name, finite, in the dtype that the model takes.
        rows: N.
        n_samples: S, between 2 and the cap; with a tolerance the most that a row takes.
        seed: Between 0 and 2^63 - 1.
        outputs: Attributes of the predictive, in the order asked, without repeats; also `samples`.
        quantiles: Q levels in (0, 1), in the order asked; empty when none were.
        tolerance: Standard error of the mean at which a row stops, in units of the mean; None if every row
            takes S samples.
    """

    inputs: Mapping[str, Array]
    rows: int
    n_samples: int
    seed: int
    outputs: tuple[str, ...]
    quantiles: tuple[float, ...] = ()
    tolerance: float | None = None

    @property
    def blocks(self) -> int:
        """Blocks of each row; with a tolerance the most that it takes."""
        return -(-self.n_samples // BLOCK)


@dataclass(slots=True)
class InferenceRequest:
    """What a body of either form holds: the prediction that it asks for, and how to answer.

    Attributes:
        prediction: What is asked.
        id: To be repeated in the answer; None if there was none.
        binary: Names of the outputs that are sent as raw bytes behind the JSON.
        timeout_s: After which the answer is worth nothing to the client; None if it did not say.

    Only the Open Inference Protocol has words for the last three.
    """

    prediction: PredictionRequest
    id: str | None
    binary: frozenset[str]
    timeout_s: float | None


@dataclass(slots=True)
class PredictionAnswer:
    """What came out, as arrays in the output's own dtype.

    Attributes:
        facts: The model that answered.
        n_samples: Samples that were taken; with a tolerance the most that a row could take.
        seed: The seed that replays them.
        outputs: (N, ...) array by output name; where they were asked, `samples` (S, N, ...) and `quantiles`
            (Q, N, ...). With a tolerance also `samples_taken` and `converged`.
        notes: What the reader must know, such as that a calibration is void under these settings.
        tolerance: At which rows stopped; None if every row took S samples.
        passes: Samples of all rows together.
    """

    facts: ModelFacts
    n_samples: int
    seed: int
    outputs: Mapping[str, Array]
    notes: tuple[str, ...] = ()
    tolerance: float | None = None
    passes: int = 0
