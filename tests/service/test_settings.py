"""Settings: which of flag, environment and file wins, and what is printed of them."""

import tomllib
from pathlib import Path

import pytest
from mcdrop_service.settings import Settings, as_toml, read_settings, unread_variables
from pydantic import ValidationError


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "mcdrop.toml"
    path.write_text('port = 1\nhost = "file"\nmax_quantiles = 1\ncors_origins = ["https://a", "https://b"]\n')
    return path


def test_a_flag_wins_over_the_environment_and_that_over_the_file(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MCDROP_PORT", "2")
    monkeypatch.setenv("MCDROP_HOST", "environment")
    settings = read_settings({"port": "3", "host": None}, file)
    assert (settings.port, settings.host, settings.max_quantiles) == (3, "environment", 1)
    assert settings.cors_origins == ("https://a", "https://b")
    assert settings.max_n_samples == Settings().max_n_samples


def test_origins_come_with_commas_between_from_flag_and_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MCDROP_CORS_ORIGINS", "https://a, https://b")
    assert read_settings({}).cors_origins == ("https://a", "https://b")
    assert read_settings({"cors_origins": "https://c"}).cors_origins == ("https://c",)


def test_what_is_printed_is_a_file_that_gives_the_same_settings(file: Path, tmp_path: Path) -> None:
    settings = read_settings({"api_keys_file": "/keys"}, file)
    printed = tmp_path / "printed.toml"
    printed.write_text(as_toml(settings))
    assert read_settings({}, printed) == settings
    assert "# management_port = " in printed.read_text()


@pytest.mark.parametrize(
    ("text", "came"),
    [
        ("prot = 1", "prot"),
        ('root_path = "uncertainty"', "must begin with a slash and not end with one"),
        ('root_path = "/uncertainty/"', "must begin with a slash and not end with one"),
        ("port = 70000", "less than or equal to 65535"),
        ('log_level = "loud"', "'debug', 'info', 'warning' or 'error'"),
        ("management_port = 1", "management_port needs management_token_file"),
        ("workers = 3\nport = 65534", "3 workers need as many ports, of which the last is 65535"),
        (
            'workers = 2\nport = 8000\nmanagement_port = 8001\nmanagement_token_file = "t"',
            "overlap: 2 workers take 8000 to 8001 and 8001 to 8002",
        ),
    ],
)
def test_a_setting_that_is_none_is_refused_by_name(tmp_path: Path, text: str, came: str) -> None:
    (tmp_path / "wrong.toml").write_text(text)
    with pytest.raises(ValidationError, match=came):
        read_settings({}, tmp_path / "wrong.toml")


def test_workers_share_the_cores_unless_the_operator_says_how(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr("os.sched_getaffinity", lambda _process: range(9))
    threads = [read_settings({"workers": n}).torch_threads for n in (1, 2, 3, 20)]
    assert threads == [8, 4, 2, 1]
    assert read_settings({"workers": 2, "torch_threads": 3}).torch_threads == 3
    monkeypatch.setenv("OMP_NUM_THREADS", "5")
    assert read_settings({"workers": 2}).torch_threads == 5


@pytest.mark.parametrize(
    ("said", "threads"), [("max 100000", 8), ("400000 100000", 3), ("50000 100000", 1), ("2000000 100000", 8)]
)
def test_a_container_has_the_cores_of_its_limit(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, said: str, threads: int
) -> None:
    (tmp_path / "cpu.max").write_text(f"{said}\n")
    monkeypatch.setattr("mcdrop_service.settings.CPU_LIMIT", tmp_path / "cpu.max")
    monkeypatch.setattr("os.sched_getaffinity", lambda _process: range(9))
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    assert read_settings({}).torch_threads == threads


def test_a_file_that_is_not_toml_is_refused(tmp_path: Path) -> None:
    (tmp_path / "wrong.toml").write_text("port: 1")
    with pytest.raises(tomllib.TOMLDecodeError):
        read_settings({}, tmp_path / "wrong.toml")


def test_a_root_path_that_is_only_a_slash_is_none() -> None:
    assert read_settings({"root_path": "/"}).root_path == ""


def test_every_setting_says_what_it_is() -> None:
    assert all(field.description for field in Settings.model_fields.values())


def test_variables_that_nobody_reads_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    read = ("MCDROP_PORT", "mcdrop_host", "MCDROP_DEVICE", "MCDROP_CONFIG", "OTHER")
    links = ("MCDROP_WEB_SERVICE_HOST", "MCDROP_WEB_SERVICE_PORT_HTTP", "MCDROP_WEB_PORT_80_TCP_ADDR")
    for name in (*read, *links, "MCDROP_PROT", "MCDROP_MAX_QUEUE"):
        monkeypatch.setenv(name, "1")
    assert unread_variables() == ["MCDROP_MAX_QUEUE", "MCDROP_PROT"]
