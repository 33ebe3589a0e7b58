"""Promise 7 in company: whatever else is asked at the same time, an answer has the library's own bits."""

import random
import socket
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
from tests.support.wire import Answer, Server, connected, get, post, running

UNKNOWN_TOKEN = 99


@dataclass(frozen=True)
class Question:
    """A request, and what to compare its answer with."""

    model: str
    x: npt.NDArray[Any]
    n_samples: int
    seed: int

    @property
    def document(self) -> dict[str, Any]:
        """As JSON."""
        return {"inputs": self.x.tolist(), "n_samples": self.n_samples, "seed": self.seed}


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
    return directory


def save(place: Path, model: torch.nn.Module, factory: str, example: torch.Tensor, shape: list[int]) -> None:
    mc = mcdrop.MCDropout(model.eval(), task="raw")
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
    model = generator.choice(["plain", "shared", "tokens"])
    rows, seed = generator.randint(1, 20), generator.choice([0, 1, 2, 2**63 - 1])
    numbers = np.random.default_rng(generator.getrandbits(32))
    if model == "tokens":
        x: npt.NDArray[Any] = numbers.integers(0, 50, (rows, generator.choice([3, 4, 12])))
    else:
        x = numbers.standard_normal((rows, 5 if model == "plain" else 6)).astype(np.float32)
    return Question(model, x, generator.choice([2, 16, 30, 64, 100]), seed)


def disturb(server: Server, generator: random.Random) -> int:
    """A client that leaves in the middle of its work, or a request on which the model fails."""
    if generator.random() < 0.5:
        bad = {"inputs": [[1, UNKNOWN_TOKEN, 2]], "n_samples": 16}
        return post(server, "/v1/models/tokens/predict", bad).status
    body = b'{"n_samples":1000,"inputs":[' + b",".join([b"[1,2,3,4,5]"] * 200) + b"]}"
    head = f"POST /v1/models/plain/predict HTTP/1.1\r\nhost: x\r\ncontent-length: {len(body)}\r\n\r\n"
    with connected(server) as connection:
        connection.sendall(head.encode() + body)
        connection.shutdown(socket.SHUT_RDWR)
    return 0


def test_answers_in_any_company_have_the_librarys_own_bits(company: Server, made: Path) -> None:
    generator = random.Random(0)  # noqa: S311
    questions = [question(generator) for _ in range(60)]
    with ThreadPoolExecutor(12) as pool:
        asked = []
        for each in questions:
            asked.append(pool.submit(post, company, f"/v1/models/{each.model}/predict", each.document))
            if generator.random() < 0.3:
                pool.submit(disturb, company, random.Random(generator.random()))  # noqa: S311
        answers = [future.result() for future in asked]
    loaded = {name: mcdrop.load(made / name, allow=("tests",)) for name in ("plain", "shared", "tokens")}
    for each, answer in zip(questions, answers, strict=True):
        check(each, answer, loaded[each.model])


def check(asked: Question, answer: Answer, mc: mcdrop.MCDropout) -> None:
    """Every output, to the last bit."""
    assert answer.status == 200, answer.body
    wanted = mc.predict(asked.x, n_samples=asked.n_samples, seed=asked.seed, exact=True)
    assert answer.document["fingerprint"] == mc.fingerprint_id()
    for name, numbers in answer.document["outputs"].items():
        assert_same_bits(numbers, getattr(wanted, name))


def test_a_request_on_which_the_model_fails_is_a_fault_without_internals(company: Server) -> None:
    answer = post(company, "/v1/models/tokens/predict", {"inputs": [[1, UNKNOWN_TOKEN, 2]]})
    assert answer.status == 500
    assert answer.error == "the model tokens failed on this request"
    assert get(company, "/readyz").status == 200


def test_a_shape_that_the_model_cannot_take_is_refused_as_such(company: Server) -> None:
    answer = post(company, "/v1/models/tokens/predict", {"inputs": [[1] * 13]})
    assert answer.status == 400
    assert answer.error == "the model tokens cannot take inputs of this shape"
    assert post(company, "/v1/models/tokens/predict", {"inputs": [[1] * 12]}).status == 200
