"""Who may ask what: a matrix of pages and keys, and files of keys that are wrong."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from mcdrop_service.web import read_keys, read_token

from tests.service.models import FAKE_SERVER
from tests.support.wire import Server, exchange, get, running

KEY, OTHER = "correct-horse-battery-staple", "another-key-of-a-colleague"
ORIGIN = "https://lab.example"


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    file = tmp_path_factory.mktemp("keys") / "keys"
    hashes = "".join(
        f"{name}:{hashlib.sha256(key.encode()).hexdigest()}\n"
        for name, key in zip("ab", (KEY, OTHER), strict=True)
    )
    file.write_text(f"# who may ask\n\n{hashes}")
    settings = {"API_KEYS_FILE": str(file), "CORS_ORIGINS": ORIGIN, "ROOT_PATH": "/uncertainty"}
    log = file.with_name("log")
    with (
        log.open("w") as errors,
        running(
            (*FAKE_SERVER, "logging"), errors, **{f"MCDROP_{name}": its for name, its in settings.items()}
        ) as server,
    ):
        get(server, "/v1/models")  # other workers may take all tests that are refused
        yield server
    assert "/v1/models" in log.read_text()
    assert '"status":401' in log.read_text()
    assert log.read_text().count('"status":401') == log.read_text().count('"error":"a key is wanted')
    assert "Warning" not in log.read_text()
    assert KEY not in log.read_text()
    assert OTHER not in log.read_text()


@pytest.mark.parametrize(
    "path",
    ["/healthz", "/readyz", "/metrics", "/docs", "/openapi.json", "/v2/health/live", "/v2/health/ready"],
)
def test_probes_metrics_and_documentation_need_no_key(guarded: Server, path: str) -> None:
    assert get(guarded, path).status == 200


@pytest.mark.parametrize(
    "path",
    [
        "/v1/models",
        "/v1/models/toy",
        "/v2",
        "/v2/models",
        "/v2/models/toy/stats",
        "/none",
        "/v2/health",
        "//healthz",
    ],
)
@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"authorization": "Bearer wrong"},
        {"authorization": f"Basic {KEY}"},
        {"authorization": "Bearer"},
        {"authorization": f"Bearer {KEY}x"},
        {"x_api_key": KEY[:-1]},
    ],
)
def test_everything_else_is_refused_without_a_known_key(
    guarded: Server, path: str, headers: dict[str, str]
) -> None:
    answer = get(guarded, path, **headers)
    assert (answer.status, answer.headers["www-authenticate"]) == (401, "Bearer")
    assert answer.error == "a key is wanted: send the header 'Authorization: Bearer KEY'"


@pytest.mark.parametrize("headers", [{"authorization": f"bearer {OTHER}"}, {"x_api_key": KEY}])
def test_a_known_key_opens(guarded: Server, headers: dict[str, str]) -> None:
    assert get(guarded, "/v1/models", **headers).document == {"models": ["toy"]}


@pytest.mark.parametrize("path", ["/uncertainty/healthz", "/healthz"])
def test_a_proxy_may_leave_its_path_in_front_or_take_it_away(guarded: Server, path: str) -> None:
    assert get(guarded, path).status == 200
    models = path.replace("healthz", "v1/models")
    assert get(guarded, models).status == 401
    assert get(guarded, models, x_api_key=KEY).status == 200


@pytest.mark.parametrize("path", ["/uncertainty/openapi.json", "/openapi.json"])
def test_the_description_says_under_which_path_the_proxy_offers_the_service(
    guarded: Server, path: str
) -> None:
    assert get(guarded, path).document["servers"] == [{"url": "/uncertainty"}]


def test_an_allowed_origin_may_ask_first_and_another_may_not(guarded: Server) -> None:
    for origin, status in ((ORIGIN, 200), ("https://other.example", 400)):
        wanted = "authorization,content-type,inference-header-content-length,traceparent,x-api-key"
        asked = f"access-control-request-method: POST\r\naccess-control-request-headers: {wanted}"
        raw = f"OPTIONS /v1/models/toy/predict HTTP/1.1\r\nhost: x\r\norigin: {origin}\r\n{asked}\r\n\r\n"
        answer = exchange(guarded, raw.encode())
        assert answer.status == status
        assert answer.headers.get("access-control-allow-origin") == (origin if status == 200 else None)


def test_a_page_of_an_allowed_origin_may_read_refusals_and_what_they_say(guarded: Server) -> None:
    answer = get(guarded, "/v1/models", origin=ORIGIN)
    assert (answer.status, answer.headers["access-control-allow-origin"]) == (401, ORIGIN)
    exposed = answer.headers["access-control-expose-headers"].split(", ")
    assert set(exposed) == {"x-request-id", "retry-after", "inference-header-content-length"}


def test_no_origin_is_allowed_by_default(server: Server) -> None:
    assert "access-control-allow-origin" not in get(server, "/v1/models", origin=ORIGIN).headers


@pytest.mark.parametrize(
    "text", ["", "# none\n", "name:short\n", "a key\n", f"a:{'0' * 64}\n{'0' * 64}\n", f"a:{'G' * 64}"]
)
def test_a_file_that_holds_no_keys_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "keys").write_text(text)
    with pytest.raises(ValueError, match="must hold lines NAME:SHA256"):
        read_keys(tmp_path / "keys")


def test_a_short_token_is_refused_and_no_file_means_none(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("short\n")
    with pytest.raises(ValueError, match="at least 16 characters"):
        read_token(tmp_path / "token")
    assert read_token(None) == read_keys(None) == ()
