"""Requests of the Open Inference Protocol: what it allows, and every way to get one wrong."""

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from mcdrop_service.errors import BadRequestError, ServiceError, TooLargeError
from mcdrop_service.facts import DATATYPES, InferenceRequest, InputFacts
from mcdrop_service.parsing import RequestLimits, parse_inference

from tests.service.models import TWO_INPUTS, facts

LIMITS = RequestLimits(max_n_samples=100, max_units=20, max_quantiles=3)
X = {"name": "x", "shape": [2, 3], "datatype": "FP32", "data": [1, 2, 3, 4, 5, 6]}
NESTED = [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]


def parsed(
    *inputs: Any, raw: bytes = b"", wanted: tuple[InputFacts, ...] = (), **fields: Any
) -> InferenceRequest:
    text = json.dumps({"inputs": list(inputs) or [X], **fields}).encode()
    return parse_inference(text + raw, len(text) if raw else None, facts(*wanted), LIMITS)


def binary(array: np.ndarray[Any, Any], **changes: Any) -> dict[str, Any]:
    """The JSON part of an input whose data is raw."""
    described = {"name": "x", "shape": list(array.shape), "datatype": DATATYPES[array.dtype.name]}
    return {**described, "parameters": {"binary_data_size": array.nbytes}, **changes}


def test_a_request_that_says_little_gets_the_models_defaults_and_all_outputs() -> None:
    request = parsed()
    asked = request.prediction
    assert (asked.rows, asked.n_samples, asked.seed, asked.quantiles) == (2, 32, 5, ())
    assert asked.outputs == ("mean", "std", "standard_error")
    assert (request.id, request.binary, request.timeout_s) == (None, frozenset(), None)
    assert asked.inputs["x"].tolist() == NESTED


def test_a_request_that_says_all_gets_what_it_says() -> None:
    request = parsed(
        id="mine",
        model_name="what KServe's client adds",
        outputs=[
            {"name": "std"},
            {"name": "mean", "parameters": {"binary_data": True}},
            {"name": "quantiles"},
        ],
        parameters={
            "n_samples": 64,
            "seed": str(2**63 - 1),
            "quantiles": "0.95, 0.05",
            "return_samples": True,
            "timeout": 1500,
            "priority": 3,
        },
    )
    asked = request.prediction
    assert (asked.n_samples, asked.seed, asked.quantiles) == (64, 2**63 - 1, (0.95, 0.05))
    assert asked.outputs == ("std", "mean", "samples")
    assert (request.id, request.timeout_s) == ("mine", 0.0015)
    assert request.binary == {"mean"}


def test_as_many_samples_as_a_tolerance_takes_may_be_asked_for() -> None:
    auto = {"n_samples": "auto", "tolerance": 0.01}
    every = parsed(parameters={**auto, "max_samples": 64}).prediction
    assert (every.n_samples, every.tolerance) == (64, 0.01)
    assert every.outputs == ("mean", "std", "standard_error", "samples_taken", "converged")
    named = [{"name": "mean"}, {"name": "samples_taken"}]
    assert parsed(parameters=auto, outputs=named).prediction.outputs == ("mean", "samples_taken")
    assert parsed(parameters=auto, outputs=named[:1]).prediction.outputs == ("mean",)
    with pytest.raises(BadRequestError, match="samples cannot be had with n_samples='auto'"):
        parsed(parameters={**auto, "return_samples": True})


def test_an_output_overrides_the_default_of_the_request() -> None:
    outputs = [{"name": "mean"}, {"name": "std", "parameters": {"binary_data": False}}]
    request = parsed(outputs=outputs, parameters={"binary_data_output": True})
    assert request.binary == {"mean"}
    every = parsed(parameters={"binary_data_output": True, "quantiles": "0.5"})
    assert every.binary == {"mean", "std", "standard_error", "quantiles"}


def test_what_gateways_add_is_taken_and_a_text_may_reach_its_limit() -> None:
    request = parsed(id="x" * 256, parameters={"triton_enable_empty_final_response": True})
    assert request.id == "x" * 256


def test_the_json_part_may_be_the_whole_body() -> None:
    text = json.dumps({"inputs": [X]}).encode()
    assert parse_inference(text, len(text), facts(), LIMITS).prediction.rows == 2
    with pytest.raises(BadRequestError, match="must be one JSON object"):
        parse_inference(text, 1, facts(), LIMITS)


@pytest.mark.parametrize("data", [X["data"], NESTED])
def test_data_may_be_flat_or_nested(data: Any) -> None:
    assert parsed({**X, "data": data}).prediction.inputs["x"].tolist() == NESTED


DTYPES = st.sampled_from([name for name in DATATYPES if name != "bool"])


@given(
    DTYPES.flatmap(
        lambda name: hnp.arrays(
            name, (2, 3), elements={"allow_nan": False, "allow_infinity": False} if "float" in name else None
        )
    )
)
def test_binary_data_arrives_to_the_last_bit_in_every_datatype(array: np.ndarray[Any, Any]) -> None:
    little = array.astype(array.dtype.newbyteorder("<")).tobytes()
    wanted = (InputFacts("x", array.dtype.name, (3,)),)
    came = parsed(binary(array), raw=little, wanted=wanted).prediction.inputs["x"]
    assert (came.dtype, came.shape) == (array.dtype, array.shape)
    assert came.tobytes() == array.tobytes()


def test_integers_beyond_2_to_53_keep_every_digit_in_json() -> None:
    wanted = (InputFacts("x", "int64", (1,)),)
    document = {"name": "x", "shape": [1, 1], "datatype": "INT64", "data": [2**63 - 1]}
    assert parsed(document, wanted=wanted).prediction.inputs["x"].tolist() == [[2**63 - 1]]


def test_binary_and_json_inputs_may_stand_side_by_side_in_any_order() -> None:
    mask = {"name": "mask", "shape": [1, 2], "datatype": "BOOL", "parameters": {"binary_data_size": 2}}
    tokens = {"name": "tokens", "shape": [1, 2], "datatype": "INT64", "data": [7, 8]}
    request = parsed(mask, tokens, raw=b"\x01\x00", wanted=TWO_INPUTS)
    assert list(request.prediction.inputs) == ["tokens", "mask"]
    assert request.prediction.inputs["mask"].tolist() == [[True, False]]


def test_the_data_of_several_inputs_lies_in_their_order() -> None:
    tokens = binary(np.array([[7, 8]]), name="tokens")
    mask = {"name": "mask", "shape": [1, 2], "datatype": "BOOL", "parameters": {"binary_data_size": 2}}
    raw = np.array([[7, 8]]).tobytes() + b"\x01\x00"
    inputs = parsed(tokens, mask, raw=raw, wanted=TWO_INPUTS).prediction.inputs
    assert (inputs["tokens"].tolist(), inputs["mask"].tolist()) == ([[7, 8]], [[True, False]])
    assert inputs["mask"].dtype == np.bool_
    with pytest.raises(BadRequestError, match="at most the 1 that are left, got 2"):
        parsed(tokens, mask, raw=raw[:-1], wanted=TWO_INPUTS)
    with pytest.raises(BadRequestError, match="inputs must be tokens, mask, each once"):
        parsed(tokens, raw=raw, wanted=TWO_INPUTS)


ROW = np.ones((1, 3), np.float32)


@pytest.mark.parametrize(
    ("document", "raw", "came"),
    [
        (
            binary(ROW, parameters={"binary_data_size": 13}),
            ROW.tobytes(),
            "binary_data_size of x must be a whole number of bytes, at most the 12 that are left, got 13",
        ),
        (binary(ROW, parameters={"binary_data_size": -1}), ROW.tobytes(), "got -1"),
        (binary(ROW, parameters={"binary_data_size": True}), ROW.tobytes(), "got True"),
        (binary(ROW, parameters={"binary_data_size": 12.0}), ROW.tobytes(), r"got 12\.0"),
        (binary(ROW), ROW.tobytes() + b"!", "got 1 bytes more"),
        (binary(ROW, shape=[2, 3]), ROW.tobytes(), r"of shape \[2, 3\] must have 24 bytes, got 12"),
        (binary(ROW, shape=[2**62, 4]), ROW.tobytes(), f"must have {2**66} bytes, got 12"),
        (binary(ROW, shape=[-1, -3]), ROW.tobytes(), r"whole numbers from 0 on, got \[-1, -3\]"),
        (binary(ROW, shape=[1, 3, 0]), b"", "must have data"),
        (binary(ROW, shape=[2**63]), ROW.tobytes(), "whole numbers from 0 on, got"),
        (binary(ROW[:0]), b"", "at least one row, got none"),
        (binary(ROW, data=[1, 2, 3]), ROW.tobytes(), "either data or binary_data_size, got both"),
        (binary(ROW * np.float32(np.nan)), (ROW * np.float32(np.nan)).tobytes(), "finite numbers only"),
        (binary(ROW, datatype="FP64"), ROW.tobytes(), "x must be FP32, got 'FP64'"),
        (binary(ROW, parameters={"shared_memory_region": "r"}), b"", "shared memory is not taken"),
    ],
)
def test_binary_data_that_does_not_fit_is_refused(document: Any, raw: bytes, came: str) -> None:
    if "must have data" in came:
        document = {key: value for key, value in document.items() if key != "parameters"}
    with pytest.raises(BadRequestError, match=came):
        parsed(document, raw=raw)


def test_bytes_that_are_no_booleans_are_refused() -> None:
    wanted = (InputFacts("x", "bool", (1,)),)
    with pytest.raises(BadRequestError, match="bytes 0 and 1 only"):
        parsed(binary(np.zeros((1, 1), np.bool_)), raw=b"\x02", wanted=wanted)


@pytest.mark.parametrize("length", [0, 10**6])
def test_a_json_part_that_is_empty_or_longer_than_the_body_is_refused(length: int) -> None:
    with pytest.raises(BadRequestError, match="Inference-Header-Content-Length must be at least 1"):
        parse_inference(b"{}", length, facts(), LIMITS)


@pytest.mark.parametrize(
    ("inputs", "came"),
    [
        ([{**X, "name": "y"}], r"inputs must be x, each once, got \['y'\]"),
        ([X, X], r"inputs must be x, each once, got \['x', 'x'\]"),
        ([{key: value for key, value in X.items() if key != "name"}], r"got \[None\]"),
        ([{**X, "shape": [3, 2]}], r"x must be \(N, 3\), got shape \(3, 2\)"),
        ([{**X, "shape": [3]}], r"data of x must be nested as its shape \[3\] says or flat, got \[6\]"),
        ([{**X, "shape": "2,3"}], "shape of x must be a list"),
        ([{**X, "shape": [2.0, 3]}], "shape of x must be a list"),
        ([{**X, "shape": [1] * 17}], "shape of x must be a list of at most 16"),
        ([{**X, "shape": [1] * 16, "data": [1]}], r"x must be \(N, 3\), got shape"),
        ([{**X, "shape": [0, 3], "data": []}], "at least one row, got none"),
        ([{**X, "data": [[1, 2], [3, 4], [5, 6]]}], r"got \[3, 2\]"),
        ([{**X, "data": "123456"}], r"got \[\]"),
        ([{**X, "data": [[1, 2, 3], [4]]}], "x is ragged"),
        ([{**X, "data": [1, 2, 3, 4, 5, "6"]}], "numbers only, got a string in row 1"),
        ([{**X, "datatype": "BYTES"}], "x must be FP32, got 'BYTES'"),
        ([{**X, "datatype": ["FP32"]}], "x must be FP32, got"),
        ([{**X, "parameters": []}], r"parameters of x must be an object, got \[\]"),
        (["x"], r"at least one object with name, shape, datatype and data, got \['x'\]"),
        ([], "inputs must be a list of at least one object"),
    ],
)
def test_an_input_that_is_not_what_was_wanted_is_refused(inputs: list[Any], came: str) -> None:
    with pytest.raises(BadRequestError, match=came):
        parse_inference(json.dumps({"inputs": inputs}).encode(), None, facts(), LIMITS)


def test_numbers_of_16_bits_must_come_as_binary_data() -> None:
    with pytest.raises(BadRequestError, match="x is FP16, which must come as binary data"):
        parsed({**X, "datatype": "FP16"}, wanted=(InputFacts("x", "float16", (3,)),))


@pytest.mark.parametrize(
    ("fields", "came"),
    [
        ({"parameters": []}, r"parameters must be an object, got \[\]"),
        ({"parameters": {"n_sample": 8}}, "unknown parameter 'n_sample'; known are n_samples, tolerance"),
        (
            {"parameters": {"n_samples": "8"}},
            "n_samples must be a whole number from 2 to 100 or 'auto', got",
        ),
        ({"parameters": {"seed": "-1"}}, "seed must be a whole number"),
        ({"parameters": {"seed": "9" * 19}}, "seed must be a whole number"),
        ({"parameters": {"seed": 1.5}}, r"seed must be a whole number .* got 1\.5"),
        ({"parameters": {"quantiles": [0.5]}}, "quantiles must be levels with commas between"),
        ({"parameters": {"quantiles": "0.5;0.6"}}, "levels with commas between, .* got '0.5;0.6'"),
        ({"parameters": {"quantiles": "nan"}}, "between 0 and 1, both excluded, got nan"),
        ({"parameters": {"quantiles": "0.1,0.2,0.3,0.4"}}, "at most 3 levels, got 4"),
        ({"parameters": {"return_samples": 1}}, "return_samples must be true or false, got 1"),
        ({"parameters": {"binary_data_output": "no"}}, "binary_data_output must be true or false"),
        ({"parameters": {"timeout": -1}}, "timeout must be a whole number of microseconds, got -1"),
        ({"parameters": {"timeout": 1.5}}, "timeout must be a whole number of microseconds"),
        ({"outputs": [{"name": "median"}]}, "unknown output 'median'; this model has mean"),
        ({"outputs": [{"name": "mean"}, {"name": "mean"}]}, "'mean' is asked for twice"),
        ({"outputs": [{}]}, "unknown output None"),
        ({"outputs": ["mean"]}, r"outputs must be a list of at least one object with a name, got \['mean'\]"),
        ({"outputs": {}}, "outputs must be a list"),
        ({"outputs": [{"name": "quantiles"}]}, "needs the parameter quantiles"),
        ({"outputs": [{"name": "mean", "parameters": {"classification": 3}}]}, "classification extension"),
        (
            {"outputs": [{"name": "mean", "parameters": {"binary_data": 1}}]},
            "binary_data must be true or false",
        ),
        ({"id": 7}, "id must be text of at most 256 characters, got 7"),
        ({"id": "x" * 257}, "id must be text of at most 256 characters"),
    ],
)
def test_each_wrong_field_is_refused_by_name(fields: dict[str, Any], came: str) -> None:
    with pytest.raises(BadRequestError, match=came):
        parsed(**fields)


def test_work_over_the_limit_is_refused() -> None:
    with pytest.raises(TooLargeError, match="20 rows times blocks of 16 samples, got 21"):
        parsed({**X, "shape": [21, 3], "data": [0] * 63}, parameters={"n_samples": 16})


@given(st.binary(max_size=200), st.none() | st.integers(0, 300))
def test_any_bytes_are_refused_with_words(body: bytes, length: int | None) -> None:
    with pytest.raises(ServiceError):
        parse_inference(body, length, facts(), LIMITS)
