"""Models exchanged while the service runs: never an error for those who ask, never half of a change."""

import shutil
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from threading import Event

import pytest

import mcdrop
from tests.e2e.conftest import SERVE
from tests.support.checkpoints import small_checkpoint
from tests.support.wire import Answer, Server, get, post, running, until

TOKEN = "only-for-this-run"  # noqa: S105  of a server that lives for seconds, on loopback
PREDICT = "/v1/models/small/predict"
BEARER = {"authorization": f"Bearer {TOKEN}"}
REQUEST = {"inputs": [[59, 2, 32.1, 101, 157, 93.2, 38, 4, 4.8598, 87]], "n_samples": 16}


@dataclass(frozen=True)
class Managed:
    """A server, its repository, and its management port."""

    server: Server
    directory: Path
    management: Server

    def manage(self, act: str, name: str = "small", **headers: str) -> Answer:
        return post(self.management, f"/v2/repository/models/{name}/{act}", b"", **{**BEARER, **headers})

    def digest(self) -> str:
        """Of the model that answers."""
        found: str = post(self.server, PREDICT, REQUEST).document["digest"]
        return found


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Managed]:
    home = tmp_path_factory.mktemp("managed")
    directory, token = home / "models", home / "token"
    directory.mkdir()
    small_checkpoint(directory / "small")
    token.write_text(TOKEN)
    options = ["--management-port", "0", "--management-token-file", str(token), "--port", "0"]
    with running([*SERVE, str(directory), *options]) as server:
        port = int(server.greeting.partition("managed at http://127.0.0.1:")[2].partition(")")[0])
        yield Managed(server, directory, Server(server.process, port, ""))


@pytest.fixture
def managed(started: Managed) -> Managed:
    """The same server for each test, serving one checkpoint again."""
    place = started.directory / "small"
    shutil.rmtree(place)
    small_checkpoint(place)
    assert started.manage("load").status == 200
    return started


def add_version(directory: Path, number: int) -> str:
    """The same model, with other defaults, as another version; gives its digest."""
    mc = mcdrop.load(directory / "small@1")
    assert mc.manifest is not None
    sampling = mc.manifest.sampling.model_copy(update={"n_samples": 16 * number})
    place = directory / "small" / str(number)
    mc.save(place, name="small", version=str(number), inputs=mc.manifest.inputs, sampling=sampling)
    digest = mcdrop.load(directory / f"small@{number}").digest
    assert digest is not None
    return digest


def test_versions_come_and_go_under_load_without_an_error(managed: Managed) -> None:
    digests = {managed.digest(), add_version(managed.directory, 2)}
    done = Event()

    def ask() -> list[Answer]:
        answers = []
        while not done.is_set():
            answers.append(post(managed.server, PREDICT, REQUEST))
        return answers

    with ThreadPoolExecutor(3) as pool:
        asking = [pool.submit(ask) for _ in range(3)]
        try:
            for _ in range(2):
                assert managed.manage("load").status == 200
                shutil.move(managed.directory / "small" / "2", managed.directory.parent / "aside")
                assert managed.manage("load").status == 200
                shutil.move(managed.directory.parent / "aside", managed.directory / "small" / "2")
        finally:
            done.set()
        answers = [answer for each in asking for answer in each.result()]
    assert {answer.status for answer in answers} == {200}
    assert {answer.document["digest"] for answer in answers} == digests


def test_every_version_is_served_and_the_highest_is_meant(managed: Managed) -> None:
    first, second = managed.digest(), add_version(managed.directory, 2)
    assert managed.manage("load").status == 200
    assert get(managed.server, "/v2/models/small").document["versions"] == ["1", "2"]
    for version, digest, n_samples in (("1", first, "128"), ("2", second, "32")):
        place = f"/v2/models/small/versions/{version}"
        properties = get(managed.server, place).document["properties"]
        assert (properties["digest"], properties["n_samples"]) == (digest, n_samples)
        assert get(managed.server, place.replace("v2", "v1")).document["digest"] == digest
        tensor = {"name": "columns", "shape": [1, 10], "datatype": "FP32", "data": REQUEST["inputs"]}
        answer = post(managed.server, f"{place}/infer", {"inputs": [tensor]}).document
        assert (answer["model_version"], answer["parameters"]["model_digest"]) == (version, digest)
        (stats,) = get(managed.server, f"{place}/stats").document["model_stats"]
        assert (stats["version"], stats["inference_stats"]["success"]["count"] > 0) == (version, True)
    assert managed.digest() == second


def test_a_damaged_checkpoint_is_not_taken_and_the_old_one_still_serves(managed: Managed) -> None:
    before = managed.digest()
    weights = managed.directory / "small" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"!")
    answer = managed.manage("load")
    assert answer.status == 400
    assert answer.error == "the model small could not be loaded; the service's log says why"
    assert managed.digest() == before
    assert (
        b'mcdrop_model_loads_total{model="small",result="failure"} 1.0'
        in get(managed.server, "/metrics").body
    )


def test_a_model_is_unloaded_and_loaded_again(managed: Managed) -> None:
    assert managed.manage("unload").status == 200
    assert post(managed.server, PREDICT, REQUEST).status == 404
    assert get(managed.server, "/readyz").document == {"ready": False, "state": "empty"}
    ready = get(managed.server, "/v2/health/ready")
    assert (ready.status, ready.document) == (503, {"ready": False, "live": True})
    assert b"mcdrop_model_info{" not in get(managed.server, "/metrics").body
    assert post(managed.server, "/v2/repository/index", {"ready": True}).document == []
    index = post(managed.management, "/v2/repository/index", b"", **BEARER).document
    assert [(each["name"], each["state"]) for each in index] == [("small", "UNAVAILABLE")]
    assert managed.manage("unload").status == 404
    assert managed.manage("load").status == 200
    assert post(managed.server, PREDICT, REQUEST).status == 200
    assert get(managed.server, "/readyz").status == 200


def test_sighup_serves_what_the_directory_holds(managed: Managed) -> None:
    wanted = add_version(managed.directory, 2)
    managed.server.process.send_signal(signal.SIGHUP)
    until(lambda: managed.digest() == wanted)


def test_a_repository_that_cannot_be_read_changes_nothing(managed: Managed) -> None:
    away = managed.directory.rename(managed.directory.with_name("away"))
    try:
        answer = managed.manage("load")
        assert (answer.status, answer.error) == (
            503,
            "the repository cannot be read; the service's log says why",
        )
        managed.server.process.send_signal(signal.SIGHUP)
        (entry,) = post(managed.server, "/v2/repository/index", b"").document
        assert (entry["name"], entry["state"]) == ("small", "READY")
        assert post(managed.server, PREDICT, REQUEST).status == 200
    finally:
        away.rename(managed.directory)


def test_nothing_can_be_managed_without_the_token_or_on_the_public_port(managed: Managed) -> None:
    for headers in ({"authorization": ""}, {"authorization": "Bearer wrong"}, {"authorization": TOKEN}):
        for act in ("load", "unload"):
            assert managed.manage(act, **headers).status == 401
    assert get(managed.management, "/healthz").status == 401
    assert get(managed.server, "/v2").document["extensions"][-1] == "model_repository"
    public = post(managed.server, "/v2/repository/models/small/unload", b"", **BEARER)
    assert (public.status, get(managed.server, "/readyz").status) == (404, 200)


def test_no_name_or_parameter_leads_out_of_the_repository(managed: Managed) -> None:
    for name in ("..", "%2e%2e", "..%2fsmall", "none", "%00", "1"):
        assert managed.manage("load", name).status == 404
    for parameters in ({"config": "{}"}, {"file:1/model": "x"}):
        path = "/v2/repository/models/small/load"
        answer = post(managed.management, path, {"parameters": parameters}, **BEARER)
        assert (answer.status, answer.error) == (
            400,
            "no parameters are taken: a model is what its checkpoint says",
        )
