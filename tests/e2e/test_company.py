"""Promise 7 in company: whatever else is asked at the same time, an answer has the library's own bits."""

import random
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch

import mcdrop
from mcdrop.checkpoint import InputSpec
from tests.e2e import architectures
from tests.e2e.conftest import SERVE
from tests.e2e.test_same_bits import assert_same_bits
from tests.support.scraping import changes, samples
from tests.support.wire import PATIENCE_S, Answer, Server, connected, get, post, running

UNKNOWN_TOKEN = 99
AUTO: dict[str, Any] = {"n_samples": "auto", "tolerance": 0.1, "max_samples": 200}
COUNTS: list[dict[str, Any]] = [
    *({"n_samples": number} for number in (2, 16, 30, 64, 100)),
    *(AUTO | {"tolerance": tolerance} for tolerance in (0.3, 0.1, 0.05, 0.02)),
]


@dataclass(frozen=True)
class Question:
    """A request, and what to compare its answer with."""

    model: str
    x: npt.NDArray[Any]
    sampling: dict[str, Any]

    @property
    def document(self) -> dict[str, Any]:
        """As JSON."""
        return {"inputs": self.x.tolist(), **self.sampling}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One model that mixes requests in a batch, one that cannot, and one that takes any length."""
    directory = tmp_path_factory.mktemp("made")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        save(directory / "shared", architectures.shared_weights(), "shared_weights", torch.zeros(2, 6), [6])
        tokens = torch.zeros(2, 4, dtype=torch.int64)
        save(directory / "tokens", architectures.tokens(), "tokens", tokens, [-1])
        save(directory / "plain", architectures.plain(), "plain", torch.zeros(2, 5), [5])
        rows, weights = torch.zeros(2, 5), torch.zeros(2, 6)
        save(directory / "rows", architectures.plain(), "plain", rows, [5], masks="independent")
        both = architectures.shared_weights()
        save(directory / "both", both, "shared_weights", weights, [6], masks="independent")
        mc = mcdrop.MCDropout(architectures.pair(), task="raw")
        mc.trace(torch.zeros(2, 2), torch.zeros(2, 2))
        specs = [InputSpec(name=name, dtype="float32", shape=[2]) for name in ("second", "first")]
        mc.save(directory / "pair", architecture="tests.e2e.architectures:pair", inputs=specs)
    return directory


def save(
    place: Path,
    model: torch.nn.Module,
    factory: str,
    example: torch.Tensor,
    shape: list[int],
    *,
    task: str = "raw",
    masks: str = "consistent",
) -> None:
    mc = mcdrop.MCDropout(model.eval(), task=task, masks=masks)
    mc.trace(example)
    dtype = str(example.dtype).removeprefix("torch.")
    spec = InputSpec(name="x", dtype=dtype, shape=shape)  # type: ignore[arg-type]
    mc.save(place, architecture=f"tests.e2e.architectures:{factory}", inputs=[spec])


@pytest.fixture(scope="module")
def company(made: Path) -> Iterator[Server]:
    with running([*SERVE, str(made), "--port", "0", "--allow-package", "tests"]) as started:
        yield started


def question(generator: random.Random) -> Question:
    """Any model, any few rows, any samples; few seeds, so that batches hold equal and different ones."""
    model = generator.choice(["plain", "shared", "tokens", "rows", "both"])
    rows, seed = generator.randint(1, 20), generator.choice([0, 1, 2, 2**63 - 1])
    numbers = np.random.default_rng(generator.getrandbits(32))
    if model == "tokens":
        x: npt.NDArray[Any] = numbers.integers(0, 50, (rows, generator.choice([3, 4, 12])))
    else:
        x = numbers.standard_normal((rows, 5 if model in {"plain", "rows"} else 6)).astype(np.float32)
    return Question(model, x, {**generator.choice(COUNTS), "seed": seed})


def disturb(server: Server, generator: random.Random) -> int:
    """A client that leaves in the middle of its work, or a request on which the model fails."""
    if generator.random() < 0.5:
        bad = {"inputs": [[1, UNKNOWN_TOKEN, 2]], **generator.choice(COUNTS)}
        return post(server, "/v1/models/tokens/predict", bad).status
    count = generator.choice([b"1000", b'"auto","tolerance":1e-9'])
    body = b'{"n_samples":' + count + b',"inputs":[' + b",".join([b"[1,2,3,4,5]"] * 200) + b"]}"
    head = f"POST /v1/models/plain/predict HTTP/1.1\r\nhost: x\r\ncontent-length: {len(body)}\r\n\r\n"
    with connected(server) as connection:
        connection.sendall(head.encode() + body)
        connection.shutdown(socket.SHUT_RDWR)
    return 0


def answer_to(server: Server, asked: Question) -> Answer:
    """Who is told to come back does: where the machine stalled, all take longer than is known of them."""
    limit = time.monotonic() + PATIENCE_S
    while (answer := post(server, f"/v1/models/{asked.model}/predict", asked.document)).status == 429:
        assert time.monotonic() < limit
        time.sleep(0.01)
    return answer


def test_answers_in_any_company_have_the_librarys_own_bits(company: Server, made: Path) -> None:
    generator = random.Random(0)  # noqa: S311
    questions = [question(generator) for _ in range(60)]
    with ThreadPoolExecutor(12) as pool:
        asked = []
        for each in questions:
            asked.append(pool.submit(answer_to, company, each))
            if generator.random() < 0.3:
                pool.submit(disturb, company, random.Random(generator.random()))  # noqa: S311
        answers = [future.result() for future in asked]
    loaded = {each.model: mcdrop.load(made / each.model, allow=("tests",)) for each in questions}
    for each, answer in zip(questions, answers, strict=True):
        check(each, answer, loaded[each.model])
    taken = {n for answer in answers for n in answer.document["outputs"].get("samples_taken", ())}
    assert len(taken) > 4  # rows stopped here and there


def check(asked: Question, answer: Answer, mc: mcdrop.MCDropout) -> None:
    """Every output, to the last bit."""
    assert answer.status == 200, answer.body
    wanted = mc.predict(asked.x, **asked.sampling, exact=True)
    document = answer.document
    assert {name: document[name] for name in asked.sampling} == asked.sampling
    assert (document["fingerprint"], document["notes"]) == (mc.fingerprint_id(), list(wanted.notes))
    assert ("samples_taken" in document["outputs"]) == (wanted.converged is not None)
    for name, numbers in document["outputs"].items():
        assert_same_bits(numbers, getattr(wanted, name))


@pytest.mark.parametrize("model", ["plain", "shared"])
def test_with_a_tolerance_quantiles_and_the_eval_pass_are_the_librarys_too(
    company: Server, made: Path, model: str
) -> None:
    x = np.random.default_rng(0).standard_normal((37, 5 if model == "plain" else 6)).astype(np.float32)
    wants = {"inputs": x.tolist(), **AUTO, "quantiles": [0.1, 0.5], "deterministic": True}
    answer = post(company, f"/v1/models/{model}/predict", {**wants, "outputs": ["mean", "standard_error"]})
    mc = mcdrop.load(made / model, allow=("tests",))
    wanted = mc.predict(x, **AUTO, exact=True, quantiles=[0.1, 0.5])
    outputs = answer.document["outputs"]
    assert_same_bits(outputs.pop("quantiles"), wanted.quantile([0.1, 0.5]))
    names = {"mean", "standard_error", "deterministic", "samples_taken", "converged"}
    assert set(outputs) == names
    for name in names:
        assert_same_bits(outputs[name], getattr(wanted, name))


def test_several_inputs_go_by_their_names_in_whatever_order(company: Server, made: Path) -> None:
    first, second = np.random.default_rng(2).standard_normal((2, 3, 2)).astype(np.float32)
    inputs = {"second": second.tolist(), "first": first.tolist()}
    answer = post(company, "/v1/models/pair/predict", {"inputs": inputs, "outputs": ["mean"]})
    mc = mcdrop.load(made / "pair", allow=("tests",))
    assert_same_bits(answer.document["outputs"]["mean"], mc.predict(first, second, exact=True).mean)


def test_the_open_inference_route_takes_a_tolerance_too(company: Server, made: Path) -> None:
    x = np.random.default_rng(1).standard_normal((3, 5)).astype(np.float32)
    tensor = {"name": "x", "shape": [3, 5], "datatype": "FP32", "data": x.tolist()}
    asked = {"inputs": [tensor], "parameters": {**AUTO, "seed": 4}}
    before = samples(company)
    document = post(company, "/v2/models/plain/infer", asked).document
    assert {name: document["parameters"][name] for name in AUTO} == AUTO
    found = {each["name"]: each for each in document["outputs"]}
    assert (found["samples_taken"]["datatype"], found["converged"]["datatype"]) == ("INT64", "BOOL")
    wanted = mcdrop.load(made / "plain", allow=("tests",)).predict(x, **AUTO, seed=4, exact=True)
    counted = changes(before, samples(company))
    assert counted["mcdrop_samples_total", "plain", "1"] == int(wanted.samples_taken.sum()) < 3 * 200
    for name, each in found.items():
        assert_same_bits(np.reshape(each["data"], each["shape"]), getattr(wanted, name))


def test_a_request_on_which_the_model_fails_is_a_fault_without_internals(company: Server) -> None:
    seen, never_seen = [[1, UNKNOWN_TOKEN, 2]], [[1, UNKNOWN_TOKEN, 2, 3, 4, 5, 6]]
    answers = [post(company, "/v1/models/tokens/predict", {"inputs": each}) for each in (seen, never_seen)]
    assert [answer.status for answer in answers] == [500, 500]
    answer = answers[1]
    assert answer.error == "the model tokens failed on this request"
    assert get(company, "/readyz").status == 200


def test_a_shape_that_the_model_cannot_take_is_refused_as_such(company: Server) -> None:
    answer = post(company, "/v1/models/tokens/predict", {"inputs": [[1] * 13]})
    assert answer.status == 400
    assert answer.error == "the model tokens cannot take inputs of this shape"
    assert post(company, "/v1/models/tokens/predict", {"inputs": [[1] * 12]}).status == 200
