"""From arrays to the body of a request: the Open Inference Protocol with its binary extension.

Numbers travel as the bytes that the model takes and gives: nothing is rounded, NaN and infinity are numbers
as others, a float32 costs 4 bytes where its decimals cost ten, and neither side spends time on writing and
reading digits. The time that is left travels with the request, so that the service computes nothing that
comes too late.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, TypedDict

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from mcdrop.errors import InputError, OptionError
from mcdrop.predictive.predictive import check_levels, is_number
from mcdrop_service.client.description import InputDescription, ModelDescription
from mcdrop_service.client.wire import HttpRequest
from mcdrop_service.facts import DATATYPES, STOPPED

__all__ = ["Inputs", "PredictOptions", "Question", "inference_request"]

Inputs = ArrayLike | torch.Tensor | Mapping[str, ArrayLike | torch.Tensor]
"""N rows; for a model with several inputs by name."""

_SAMPLING: Final = ("n_samples", "tolerance", "max_samples", "seed")
_JSON_LENGTH: Final = "Inference-Header-Content-Length"


class PredictOptions(TypedDict, total=False):
    """What a prediction can be told; the names are those of `MCDropout.predict`.

    Attributes:
        version: Of the model; the highest by default.
        n_samples: S, at least 2, or `auto` for as many as each row needs; by default the checkpoint's.
        tolerance: With `auto`: the standard error of the mean at which a row stops, in units of the mean.
        max_samples: With `auto`: what a row takes at most.
        seed: 0 to 2^63 - 1; by default the checkpoint's.
        quantiles: Levels in (0, 1) that the predictive is to hold.
        keep_samples: Whether it is to hold the samples, which are S times as many numbers; by default not.
        timeout_s: For this call, in place of the client's own.
        traceparent: The W3C trace that this call belongs to; its id is then the service's request id.
    """

    version: str | None
    n_samples: int | Literal["auto"] | None
    tolerance: float | None
    max_samples: int | None
    seed: int | None
    quantiles: Sequence[float] | None
    keep_samples: bool
    timeout_s: float | None
    traceparent: str | None


@dataclass(frozen=True)
class Question:
    """What is asked of a model, whichever it is.

    Attributes:
        inputs: N rows.
        sampling: `n_samples`, `tolerance`, `max_samples` and `seed`, those that were said.
        quantiles: Levels.
        keep_samples: Whether the samples are to come too.
    """

    inputs: Inputs
    sampling: Mapping[str, int | float | str]
    quantiles: tuple[float, ...]
    keep_samples: bool

    @classmethod
    def of(cls, inputs: Inputs, options: PredictOptions) -> "Question":
        """The checked form of what the user says.

        Raises:
            DomainError: If a quantile level is not between 0 and 1.
            OptionError: If an option does not exist, or a number is none.
        """
        known = PredictOptions.__annotations__
        if unknown := [name for name in options if name not in known]:
            raise OptionError(f"unknown option {unknown[0]!r}; known are {', '.join(known)}")
        levels = options.get("quantiles")
        return cls(
            inputs,
            {name: _number(name, value) for name in _SAMPLING if (value := options.get(name)) is not None},
            check_levels(() if levels is None else levels),
            options.get("keep_samples", False),
        )


def inference_request(
    path: str, question: Question, model: ModelDescription, headers: Mapping[str, str], timeout_s: float
) -> HttpRequest:
    """The request of a prediction.

    Args:
        path: Of the model.
        question: What is asked.
        model: The model as it describes itself.
        headers: To be sent too.
        timeout_s: After which nobody waits for the answer.

    Raises:
        InputError: If an input cannot become the dtype that the model takes.
        OptionError: If inputs are missing or unknown.
    """
    arrays = _arrays(question.inputs, model)
    levels = model.levels(question.quantiles)
    document = {
        "inputs": [_tensor(name, array) for name, array in arrays.items()],
        "outputs": [{"name": name} for name in _outputs(question, model, levels)],
        "parameters": {**_parameters(question, levels), "timeout": max(1, int(timeout_s * 1e6))},
    }
    text = json.dumps(document, allow_nan=False).encode()
    extra = {"Content-Type": "application/octet-stream", _JSON_LENGTH: str(len(text))}
    content = b"".join([text, *(array.tobytes() for array in arrays.values())])
    return HttpRequest("POST", f"{path}/infer", {**headers, **extra}, content)


def _outputs(question: Question, model: ModelDescription, levels: Sequence[float]) -> list[str]:
    samples = ["kept_samples"] if question.keep_samples else []
    stopped = STOPPED if question.sampling.get("n_samples") == "auto" else ()
    return [*model.fields, *samples, *stopped, *(["quantiles"] if levels else [])]


def _parameters(question: Question, levels: Sequence[float]) -> dict[str, Any]:
    quantiles = {"quantiles": ",".join(map(repr, levels))} if levels else {}
    return {**question.sampling, **quantiles, "binary_data_output": True}


def _number(name: str, value: object) -> int | float | str:
    """As JSON can say it; which numbers will do is for the service to say."""
    if name == "n_samples" and value == "auto":
        return "auto"
    if name == "tolerance" and is_number(value) and math.isfinite(value):
        return float(value)
    if name == "tolerance" or isinstance(value, bool) or not isinstance(value, int | np.integer):
        kind = "number" if name == "tolerance" else "whole number"
        raise OptionError(f"{name} must be a {kind}, got {value!r}")
    return int(value)


def _tensor(name: str, array: NDArray[Any]) -> dict[str, Any]:
    return {
        "name": name,
        "shape": list(array.shape),
        "datatype": DATATYPES[array.dtype.name],
        "parameters": {"binary_data_size": array.nbytes},
    }


def _arrays(inputs: Inputs, model: ModelDescription) -> dict[str, NDArray[Any]]:
    """Arrays (N, ...) by name, in the model's order, little-endian."""
    wanted = {each.name: each for each in model.inputs}
    given = inputs if isinstance(inputs, Mapping) else {next(iter(wanted)): inputs}
    if set(given) != set(wanted):
        raise OptionError(
            f"{model.name} takes the inputs {', '.join(wanted)}, by name, got {', '.join(map(str, given))}"
        )
    return {name: _array(given[name], each) for name, each in wanted.items()}


def _array(value: ArrayLike | torch.Tensor, wanted: InputDescription) -> NDArray[Any]:
    try:
        array = _from_tensor(value) if isinstance(value, torch.Tensor) else np.asarray(value)
    except ValueError as error:
        raise InputError(f"the input {wanted.name} must be an array of {wanted.dtype}: {error}") from error
    dtype = np.dtype(wanted.dtype)
    whole = array.dtype.kind in "iu" and dtype.kind in "iu"
    if not whole and (array.dtype.kind not in "biuf" or not np.can_cast(array.dtype, dtype, "same_kind")):
        raise InputError(f"the input {wanted.name} must be {wanted.dtype}, got an array of {array.dtype}")
    found = np.ascontiguousarray(array, dtype.newbyteorder("<"))
    if whole and array.dtype != dtype and not np.array_equal(found, array):
        raise InputError(f"the input {wanted.name} holds a number that does not fit {wanted.dtype}")
    return found


def _from_tensor(tensor: torch.Tensor) -> NDArray[Any]:
    values = tensor.float() if tensor.dtype is torch.bfloat16 else tensor
    array: NDArray[Any] = values.numpy(force=True)
    return array
