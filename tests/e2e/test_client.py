"""The client against a real service: the predictive that the library gives, to the last bit."""

import asyncio
import hashlib
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import numpy.typing as npt
import pytest
import torch
from mcdrop_service.client import (
    AsyncClient,
    BadRequestError,
    Client,
    ConnectionFailedError,
    NotFoundError,
    Patience,
    RefusedError,
    TooLargeError,
    UnauthorizedError,
)
from torch import nn

import mcdrop
from mcdrop.calibrating import calibrate
from mcdrop.errors import DomainError, InputError, OptionError, SamplesNotKeptError
from mcdrop.predictive import Predictive
from tests.e2e import architectures
from tests.e2e.conftest import SERVE
from tests.e2e.test_company import save
from tests.support.predictives import assert_same_rows
from tests.support.wire import Server, running

KEY = "only-for-this-run"
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
SAMPLES = 40
LEVELS = (0.05, 0.3, 0.95)
CALIBRATED = {"digits": ("temperature", "sets", "selective"), "diabetes": ("std", "conformal-quantiles")}
pytestmark = pytest.mark.filterwarnings(
    "ignore::mcdrop.calibrating.FewErrorsWarning"
)  # of digits one is wrong
OF_TWO_NUMBERS = ("raw", "regression", "heteroscedastic", "classification", "multilabel")


@pytest.fixture(scope="module")
def repository(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Calibrated models, and a small one for every task."""
    directory = tmp_path_factory.mktemp("repository")
    for name, methods in CALIBRATED.items():
        mc = mcdrop.load(models / name)
        data = np.load(models / name / "validation.npz")
        for method in methods:
            pred = mc.predict(data["x"], n_samples=SAMPLES, seed=0, exact=True, keep_samples=True)
            mc = mc.calibrated(calibrate(pred, data["y"], method))
        mc.save(directory / name, inputs=mcdrop.load(models / name).manifest.inputs)  # type: ignore[union-attr]
    with torch.random.fork_rng():
        torch.manual_seed(0)
        for task in OF_TWO_NUMBERS:
            save(directory / task, architectures.plain(), "plain", torch.zeros(2, 5), [5], task=task)
        save(directory / "sure", sure(), "plain", torch.zeros(2, 5), [5], task="classification")
        tokens = torch.zeros(2, 4, dtype=torch.int64)
        save(directory / "binary", architectures.tokens(), "tokens", tokens, [-1], task="binary")
    return directory


def sure() -> nn.Module:
    """A network whose softmax is saturated whatever is dropped."""
    model = architectures.plain()
    for name, parameter in model.named_parameters():
        parameter.data.fill_(1e3 if name == "2.weight" else 1)
    model.get_parameter("2.weight").data[1] *= -1
    return model


@pytest.fixture(scope="module")
def server(repository: Path) -> Iterator[Server]:
    keys = repository.parent / "keys"
    keys.write_text(f"tests:{hashlib.sha256(KEY.encode()).hexdigest()}\n")
    options = ["--port", "0", "--allow-package", "tests", "--api-keys-file", str(keys)]
    with running([*SERVE, str(repository), *options]) as started:
        yield started


@pytest.fixture(scope="module")
def url(server: Server) -> str:
    return f"http://127.0.0.1:{server.port}"


@pytest.fixture(scope="module")
def client(url: str) -> Iterator[Client]:
    with Client(url, api_key=KEY) as opened:
        yield opened


def rows(name: str, count: int) -> npt.NDArray[Any]:
    generator = np.random.default_rng(count)
    if name == "binary":
        return generator.integers(0, 50, (count, 6))
    shape = {"digits": (1, 8, 8), "diabetes": (10,)}.get(name, (5,))
    return generator.random((count, *shape), dtype=np.float32) * np.float32(10)


def library(repository: Path, name: str, x: npt.NDArray[Any], **options: Any) -> Predictive:
    mc = mcdrop.load(repository / name, allow=["tests"])
    return mc.predict(x, exact=True, **{"keep_samples": False, **options})


def assert_same_predictive(came: Predictive, wanted: Predictive) -> None:
    """Every field and every output, to the last bit."""
    assert type(came) is type(wanted)
    assert_same_rows(replace(came, origin=None), replace(wanted, origin=None))
    assert came.notes == wanted.notes
    assert came.available_outputs() == wanted.available_outputs()
    for name, array in wanted.numpy().items():
        assert came.numpy()[name].tobytes() == array.tobytes(), name


@pytest.mark.parametrize("name", [*CALIBRATED, *OF_TWO_NUMBERS, "binary"])
def test_the_predictive_is_the_librarys(client: Client, repository: Path, name: str) -> None:
    x = rows(name, 19)
    options: dict[str, Any] = {"n_samples": SAMPLES, "seed": 3, "quantiles": LEVELS}
    came = client.predict(name, x, **options)
    wanted = library(repository, name, x, **options)
    assert_same_predictive(came, wanted)
    assert torch.equal(came.quantile(LEVELS), wanted.quantile(LEVELS))


@pytest.mark.parametrize("name", ["diabetes", "heteroscedastic"])
def test_samples_come_where_they_are_asked_for(client: Client, repository: Path, name: str) -> None:
    x = rows(name, 5)
    came = client.predict(name, torch.from_numpy(x), keep_samples=True)
    wanted = library(repository, name, x, keep_samples=True)
    assert_same_predictive(came, wanted)
    assert torch.equal(came.samples, wanted.samples)
    assert torch.equal(came.quantile(0.123), wanted.quantile(0.123))


@pytest.mark.parametrize("name", ["digits", "regression", "heteroscedastic"])
def test_a_tolerance_takes_what_it_takes_in_the_library(client: Client, repository: Path, name: str) -> None:
    x = rows(name, 19)
    auto: dict[str, Any] = {"n_samples": "auto", "tolerance": 0.02, "max_samples": 80, "quantiles": LEVELS}
    came = client.predict(name, x, **auto)
    wanted = library(repository, name, x, **auto)
    assert_same_predictive(came, wanted)
    assert torch.equal(came.samples_taken, wanted.samples_taken)
    assert torch.equal(came.quantile(LEVELS), wanted.quantile(LEVELS))
    with pytest.raises(BadRequestError, match="samples cannot be had with n_samples='auto'"):
        client.predict(name, x, **auto, keep_samples=True)


def test_what_was_not_asked_for_says_so(client: Client) -> None:
    pred = client.predict("raw", rows("raw", 2))
    with pytest.raises(SamplesNotKeptError, match="pass keep_samples=True to predict"):
        _ = pred.samples
    with pytest.raises(SamplesNotKeptError, match="pass quantiles= or keep_samples=True to predict"):
        pred.quantile(0.1)


def test_a_promise_keeps_its_bits_and_is_void_where_the_librarys_is(client: Client, repository: Path) -> None:
    x = rows("diabetes", 3)
    for n_samples in (SAMPLES, 16):
        came = client.predict("diabetes", x, n_samples=n_samples, seed=0)
        assert_same_predictive(came, library(repository, "diabetes", x, n_samples=n_samples, seed=0))
        assert bool(came.notes) == (n_samples != SAMPLES)


def test_a_prediction_in_which_nothing_moves_has_the_librarys_note(client: Client, repository: Path) -> None:
    x = np.zeros((3, 5), dtype=np.float32)
    wanted = library(repository, "sure", x)
    assert wanted.notes == ("zero_variance",)
    assert_same_predictive(client.predict("sure", x), wanted)


def test_the_origin_says_who_answered(client: Client, repository: Path) -> None:
    traceparent = f"00-{TRACE}-00f067aa0ba902b7-01"
    origin = client.predict("digits", rows("digits", 1), traceparent=traceparent, version="1").origin
    mc = mcdrop.load(repository / "digits")
    assert origin is not None
    assert (origin.model, origin.version, origin.request_id) == ("digits", "1", TRACE)
    assert (origin.digest, origin.fingerprint) == (mc.digest, mc.fingerprint_id())


def test_answers_of_one_service_are_joined_and_saved_with_their_origin(
    client: Client, tmp_path: Path
) -> None:
    x = rows("regression", 6)
    parts = [client.predict("regression", part, n_samples=32) for part in (x[:2], x[2:])]
    joined = type(parts[0]).concatenate(parts)
    whole = client.predict("regression", x, n_samples=32)
    assert_same_rows(joined, whole)
    joined.save(tmp_path / "p.npz")
    assert mcdrop.load_predictions(tmp_path / "p.npz").origin == whole.origin


def test_asyncio_and_threads_get_the_same(url: str, client: Client) -> None:
    asked = [(name, rows(name, 1 + seed % 3), seed) for seed, name in enumerate(OF_TWO_NUMBERS * 3)]

    async def all_at_once() -> list[Predictive]:
        async with AsyncClient(url, api_key=KEY) as other:
            assert await other.is_ready()
            assert set(OF_TWO_NUMBERS) < set(await other.models())
            assert (await other.model("raw")).task == "raw"
            return await asyncio.gather(*(other.predict(name, x, seed=seed) for name, x, seed in asked))

    with ThreadPoolExecutor(4) as pool:
        in_threads = list(pool.map(lambda each: client.predict(each[0], each[1], seed=each[2]), asked))
    for one, other in zip(asyncio.run(all_at_once()), in_threads, strict=True):
        assert_same_predictive(one, other)


def test_what_is_served_is_described(client: Client) -> None:
    assert client.is_ready()
    assert client.models() == tuple(sorted([*CALIBRATED, *OF_TWO_NUMBERS, "binary", "sure"]))
    model = client.model("digits")
    assert model.task == "classification"
    assert [(each.name, each.dtype, each.shape) for each in model.inputs] == [("x", "float32", (-1, 1, 8, 8))]
    assert [each.kind for each in model.calibrators] == [
        "temperature",
        "adaptive_sets",
        "selective_threshold",
    ]
    assert client.model("digits", version="1") == model


def test_a_refusal_has_the_services_words_its_status_and_its_id(client: Client) -> None:
    with pytest.raises(BadRequestError, match=r"x must be \(N, 5\), got shape \(1, 2\)") as refused:
        client.predict("raw", [[1.0, 2.0]])
    assert refused.value.status == 400
    assert refused.value.request_id is not None
    assert refused.value.request_id in str(refused.value)


@pytest.mark.parametrize(
    ("wrong", "error", "words"),
    [
        (("none", [[1]], {}), NotFoundError, "unknown model 'none'"),
        (("raw", [[1] * 5], {"version": "7"}), NotFoundError, "7"),
        (("../raw", [[1]], {}), NotFoundError, "there is no page|unknown model"),
        (("raw", [[1] * 5], {"n_samples": 1}), BadRequestError, "n_samples must be a whole number from 2"),
        (("raw", np.zeros((9999, 5)), {"n_samples": 1000}), TooLargeError, "send fewer rows at a time"),
        (("raw", [["a"] * 5], {}), InputError, "the input x must be float32, got an array of <U1"),
        (("binary", [[0.5]], {}), InputError, "the input x must be int64, got an array of float64"),
        (("raw", [[1, 2], [1]], {}), InputError, "the input x must be an array of float32"),
        (("raw", {"z": [[1]]}, {}), OptionError, "raw takes the inputs x, by name, got z"),
        (("raw", [[1] * 5], {"quantiles": [0.5, 1]}), DomainError, "a level must be a number between"),
        (("raw", [[1] * 5], {"n_samples": "auto"}), BadRequestError, "n_samples='auto' needs tolerance"),
        (("raw", [[1] * 5], {"tolerance": "x"}), OptionError, "tolerance must be a number, got 'x'"),
        (("raw", [[1] * 5], {"seed": 1.5}), OptionError, "seed must be a whole number, got 1.5"),
    ],
)
def test_what_is_asked_wrongly_is_told(
    client: Client, wrong: tuple[str, Any, Any], error: type[Exception], words: str
) -> None:
    name, inputs, options = wrong
    with pytest.raises(error, match=words):
        client.predict(name, inputs, **options)


@pytest.mark.parametrize("key", [None, "another"])
def test_without_a_known_key_nothing_is_told(url: str, key: str | None) -> None:
    with Client(url, api_key=key) as stranger:
        assert stranger.is_ready()
        with pytest.raises(UnauthorizedError, match="a key is wanted") as refused:
            stranger.models()
    assert isinstance(refused.value, RefusedError | PermissionError)
    assert KEY not in repr(stranger)


def test_the_greeting_has_a_place_for_the_key(server: Server) -> None:
    assert server.process.stdout is not None
    assert "-H 'authorization: Bearer KEY'" in server.process.stdout.readline()


def test_a_client_of_httpx_that_was_passed_is_used_and_left_open(url: str) -> None:
    with httpx.Client(headers={"x-api-key": KEY}) as own:
        with Client(f"{url}/", http=own) as client:
            assert "digits" in client.models()
        assert not own.is_closed


def test_where_nothing_answers_it_is_asked_again_and_then_told() -> None:
    with socket.socket() as deaf:  # the port is its own, and refuses connections
        deaf.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{deaf.getsockname()[1]}"
        with Client(url, patience=Patience(max_attempts=2, first_pause_s=0.01)) as client:
            assert not client.is_ready()
            with pytest.raises(ConnectionFailedError, match=url):
                client.models()


@pytest.mark.parametrize("url", ["127.0.0.1:8000", "ftp://host", "http://", "http://host/?a=1"])
def test_an_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(OptionError, match="url must be an address such as 'http:"):
        Client(url)
