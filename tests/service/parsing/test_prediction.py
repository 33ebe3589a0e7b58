"""Whole requests: defaults, limits, and every way to get one wrong."""

from typing import Any

import orjson
import pytest
from mcdrop_service.errors import BadRequestError, ServiceError, TooLargeError
from mcdrop_service.facts import PredictionRequest
from mcdrop_service.parsing import RequestLimits, parse_prediction

from tests.service.models import TWO_INPUTS, facts

ROW = [0.5, 1.0, -2.0]
LIMITS = RequestLimits(max_n_samples=100, max_units=20, max_quantiles=3)


def parsed(**fields: Any) -> PredictionRequest:
    body = orjson.dumps({"inputs": [ROW], **fields}, option=orjson.OPT_NON_STR_KEYS)
    return parse_prediction(body, facts(), LIMITS)


def test_a_request_that_says_little_gets_the_models_defaults() -> None:
    request = parsed()
    assert (request.rows, request.n_samples, request.seed) == (1, 32, 5)
    assert request.outputs == ("mean", "std")
    assert request.quantiles == ()
    assert request.inputs["x"].tolist() == [ROW]


def test_a_request_that_says_all_gets_what_it_says() -> None:
    request = parsed(n_samples=64, seed=2**63 - 1, outputs=["std", "samples"], quantiles=[0.95, 0.05, 0.5])
    assert (request.n_samples, request.seed) == (64, 2**63 - 1)
    assert request.outputs == ("std", "samples")
    assert request.quantiles == (0.95, 0.05, 0.5)


def test_with_a_tolerance_rows_take_what_they_need_and_the_answer_says_how_much() -> None:
    request = parsed(n_samples="auto", tolerance=1, outputs=["mean"], deterministic=True)
    assert (request.n_samples, request.tolerance) == (100, 1.0)
    assert request.outputs == ("mean", "deterministic", "samples_taken", "converged")
    named = parsed(n_samples="auto", tolerance=1e-3, max_samples=40, outputs=["samples_taken"])
    assert (named.n_samples, named.outputs) == (40, ("samples_taken", "converged"))
    assert parsed().tolerance is None


def test_the_deterministic_answer_comes_beside_what_is_asked() -> None:
    assert parsed(deterministic=True).outputs == ("mean", "std", "deterministic")
    assert parsed(deterministic=True, outputs=["std"]).outputs == ("std", "deterministic")
    assert parsed(deterministic=False).outputs == ("mean", "std")


def test_several_inputs_come_by_name() -> None:
    body = orjson.dumps({"inputs": {"mask": [[True, False]], "tokens": [[1, 2]]}})
    request = parse_prediction(body, facts(*TWO_INPUTS), LIMITS)
    assert list(request.inputs) == ["tokens", "mask"]
    assert request.inputs["tokens"].tolist() == [[1, 2]]


def test_the_only_input_may_come_by_name_too() -> None:
    assert parsed(inputs={"x": [ROW]}).inputs["x"].tolist() == [ROW]
    with pytest.raises(
        BadRequestError, match=r"rows as nested lists, or an object with the keys \['x'\], got the keys"
    ):
        parsed(inputs={"age": 59})


@pytest.mark.parametrize(
    ("inputs", "came"),
    [
        ([[1]], r"must be an object with the keys \['tokens', 'mask'\], got something else"),
        ({"tokens": [[1]]}, r"got the keys \['tokens'\]"),
        ({"tokens": [[1]], "mask": [[True]], "more": 1}, "must be an object with the keys"),
        ({"tokens": [[1]], "mask": [[True], [True]]}, "same number of rows, got {'tokens': 1, 'mask': 2}"),
    ],
)
def test_inputs_that_do_not_belong_together_are_refused(inputs: Any, came: str) -> None:
    with pytest.raises(BadRequestError, match=came):
        parse_prediction(orjson.dumps({"inputs": inputs}), facts(*TWO_INPUTS), LIMITS)


@pytest.mark.parametrize("value", [0, 1, -1, 101, 2**70, 16.0, 16.5, "16", True, None, [16]])
def test_a_number_of_samples_out_of_range_is_refused(value: Any) -> None:
    with pytest.raises(BadRequestError, match="n_samples must be a whole number from 2 to 100 or 'auto'"):
        parse_prediction(f'{{"inputs": [[1, 2, 3]], "n_samples": {_json(value)}}}'.encode(), facts(), LIMITS)


@pytest.mark.parametrize("value", [-1, 2**63, 1.0, "7", False, None])
def test_a_seed_out_of_range_is_refused(value: Any) -> None:
    with pytest.raises(BadRequestError, match=f"seed must be a whole number from 0 to {2**63 - 1}, got"):
        parse_prediction(f'{{"inputs": [[1, 2, 3]], "seed": {_json(value)}}}'.encode(), facts(), LIMITS)


def _json(value: Any) -> str:
    return str(value) if type(value) is int else orjson.dumps(value).decode()


@pytest.mark.parametrize(
    ("fields", "came"),
    [
        ({"outputs": []}, "outputs must be a list of at least one, got an empty list"),
        ({"outputs": "mean"}, "outputs must be a list of at least one, got 'mean'"),
        ({"outputs": None}, "outputs must be a list"),
        (
            {"outputs": ["median"]},
            "unknown output 'median'; this model has mean, std, standard_error, samples$",
        ),
        ({"outputs": ["samples_taken"]}, "the output samples_taken belongs to n_samples='auto'"),
        ({"outputs": ["__class__"]}, "unknown output '__class__'"),
        ({"outputs": [["mean"]]}, r"unknown output \['mean'\]"),
        ({"outputs": ["mean", "mean"]}, "'mean' is asked for twice"),
        ({"quantiles": []}, "quantiles must be a list of at least one"),
        ({"quantiles": 0.5}, "quantiles must be a list"),
        ({"quantiles": [0]}, "between 0 and 1, both excluded, got 0"),
        ({"quantiles": [1.0]}, "between 0 and 1, both excluded, got 1.0"),
        ({"quantiles": [0.5, "0.9"]}, "between 0 and 1, both excluded, got '0.9'"),
        ({"quantiles": [True]}, "between 0 and 1, both excluded, got True"),
        ({"quantiles": [0.1, 0.2, 0.3, 0.4]}, "at most 3 levels, got 4"),
        ({"samples": 3}, "unknown field 'samples'; known are inputs, n_samples, tolerance"),
        ({"deterministic": 1}, "deterministic must be true or false, got 1"),
    ],
)
def test_each_wrong_field_is_refused_by_name(fields: dict[str, Any], came: str) -> None:
    with pytest.raises(BadRequestError, match=came):
        parsed(**fields)


def test_a_request_without_inputs_is_refused() -> None:
    with pytest.raises(BadRequestError, match="'inputs' is wanted and missing"):
        parse_prediction(b'{"n_samples": 16}', facts(), LIMITS)


@pytest.mark.parametrize(("rows", "n_samples"), [(20, 16), (10, 17), (1, 100)])
def test_rows_times_blocks_of_samples_may_reach_the_limit(rows: int, n_samples: int) -> None:
    assert parsed(inputs=[ROW] * rows, n_samples=n_samples).rows == rows


@pytest.mark.parametrize(("rows", "n_samples", "units"), [(21, 16, 21), (11, 17, 22), (3, 100, 21)])
def test_rows_times_blocks_over_the_limit_are_refused(rows: int, n_samples: int, units: int) -> None:
    came = (
        rf"20 rows times blocks of 16 samples, got {units} \({rows} rows, {n_samples} samples\); send fewer"
    )
    with pytest.raises(TooLargeError, match=f"{came} rows at a time$"):
        parsed(inputs=[ROW] * rows, n_samples=n_samples)


def test_rows_that_could_come_to_too_much_are_refused() -> None:
    auto: dict[str, Any] = {"inputs": [ROW] * 10, "n_samples": "auto", "tolerance": 0.1}
    assert parsed(**auto, max_samples=32).rows == 10
    with pytest.raises(TooLargeError, match=r"up to 100 samples.*or name a smaller max_samples"):
        parsed(**auto)


def test_a_refusal_never_repeats_more_than_a_little_of_what_came() -> None:
    for fields in ({"n_samples": "9" * 10_000}, {"outputs": ["m" * 10_000]}, {"z" * 10_000: 1}):
        with pytest.raises(ServiceError) as caught:
            parsed(**fields)
        assert len(caught.value.message) < 300
