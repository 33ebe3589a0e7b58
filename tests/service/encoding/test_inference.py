"""Answers of the Open Inference Protocol as bytes."""

import json
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from mcdrop_service.encoding import encode_inference
from mcdrop_service.errors import BadRequestError, ModelFaultError
from mcdrop_service.facts import InferenceRequest, PredictionAnswer, PredictionRequest

from tests.service.models import facts

ASKED = PredictionRequest({}, 2, 64, 7, ("mean", "label"))
MEAN = np.array([[0.1, 1e-40], [2 / 3, 4.0]], dtype=np.float32).T
LABEL = np.array([1, 2**53 + 1])


def encoded(
    *binary: str, name: str | None = None, **outputs: npt.NDArray[Any]
) -> tuple[dict[str, Any], bytes]:
    """The JSON part, and the bytes behind it."""
    request = InferenceRequest(ASKED, name, frozenset(binary), None)
    model = replace(facts(), batch_invariance="tolerance")
    body, length = encode_inference(PredictionAnswer(model, 64, 7, outputs), request)
    return json.loads(body[:length]), b"" if length is None else body[length:]


def test_json_is_flat_in_row_major_order_and_keeps_every_bit() -> None:
    document, rest = encoded(mean=MEAN, label=LABEL, name="mine")
    mean, label = document.pop("outputs")
    assert rest == b""
    assert document == {
        "model_name": "toy",
        "model_version": "1",
        "id": "mine",
        "parameters": {
            "n_samples": 64,
            "seed": 7,
            "model_digest": "sha256:00",
            "fingerprint": "0123456789abcdef",
            "batch_invariance": "tolerance",
        },
    }
    assert (mean["name"], mean["datatype"], mean["shape"]) == ("mean", "FP32", [2, 2])
    assert np.array(mean["data"]).astype(np.float32).tobytes() == np.ascontiguousarray(MEAN).tobytes()
    assert label == {"name": "label", "datatype": "INT64", "shape": [2], "data": [1, 2**53 + 1]}


def test_an_id_is_repeated_only_if_there_was_one() -> None:
    assert "id" not in encoded(mean=MEAN)[0]


def test_binary_outputs_follow_the_json_in_their_order() -> None:
    document, rest = encoded("mean", "label", label=LABEL, std=MEAN, mean=MEAN)
    label, std, mean = document["outputs"]
    assert label["parameters"] == {"binary_data_size": 16}
    assert mean["parameters"] == {"binary_data_size": 16}
    assert "data" in std
    assert "data" not in mean
    assert rest == LABEL.astype("<i8").tobytes() + np.ascontiguousarray(MEAN, "<f4").tobytes()


def test_numbers_that_are_not_finite_are_sent_as_binary_data_only() -> None:
    strange = np.array([np.nan], dtype=np.float32)
    with pytest.raises(ModelFaultError, match="mean is not finite in 1 of 1"):
        encoded(mean=strange)
    assert encoded("mean", mean=strange)[1] == strange.tobytes()


def test_numbers_of_16_bits_are_sent_as_binary_data_only() -> None:
    half = np.ones(2, np.float16)
    with pytest.raises(BadRequestError, match="mean is FP16, which is sent as binary data only"):
        encoded(mean=half)
    assert encoded("mean", mean=half)[1] == half.tobytes()
