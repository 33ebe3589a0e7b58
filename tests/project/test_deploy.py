"""The files of deploy/: they follow their schemas, and what they name exists in the real command.

Nothing here starts a container: there is no Docker daemon and no cluster in the gate.
"""

import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from mcdrop_service.settings import Settings
from mcdrop_service.telemetry import Gauges, Metrics
from mcdrop_service.web.keys import OPEN_PATHS

from tests.service.models import facts
from tests.support.repository import ROOT, instructions

DEPLOY = ROOT / "deploy"
BIN = Path(sys.executable).parent
COMPOSE = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
KUBERNETES = list(yaml.safe_load_all((DEPLOY / "kubernetes.yaml").read_text()))
KSERVE = list(yaml.safe_load_all((DEPLOY / "kserve.yaml").read_text()))
POD = KUBERNETES[0]["spec"]["template"]["spec"]
CONTAINER, RUNTIME = POD["containers"][0], KSERVE[0]["spec"]["containers"][0]
SERVICE = COMPOSE["services"]["mcdrop"]

COMMANDS = {
    "compose": (SERVICE["command"], SERVICE["environment"]),
    "kubernetes": (CONTAINER["args"], {each["name"]: each["value"] for each in CONTAINER["env"]}),
    "kserve": (RUNTIME["args"], {each["name"]: each["value"] for each in RUNTIME["env"]}),
}


def checked(*command: str | Path) -> subprocess.CompletedProcess[str]:
    words = [str(BIN / command[0]), *map(str, command[1:])]
    return subprocess.run(words, capture_output=True, text=True, check=False)


def compose_check(file: Path) -> subprocess.CompletedProcess[str]:
    return checked("check-jsonschema", "--builtin-schema", "vendor.compose-spec", file)


def kubernetes_check(file: Path) -> subprocess.CompletedProcess[str]:
    return checked("kubernetes-validate", "--strict", file)


def test_compose_follows_its_schema_and_a_misspelt_key_would_be_seen(tmp_path: Path) -> None:
    assert compose_check(DEPLOY / "compose.yaml").returncode == 0
    wrong = tmp_path / "compose.yaml"
    wrong.write_text((DEPLOY / "compose.yaml").read_text().replace("read_only:", "readonly:"))
    assert compose_check(wrong).returncode != 0


def test_the_manifests_follow_their_schemas_and_a_misspelt_key_would_be_seen(tmp_path: Path) -> None:
    found = kubernetes_check(DEPLOY / "kubernetes.yaml")
    assert found.returncode == 0, found.stdout + found.stderr
    wrong = tmp_path / "kubernetes.yaml"
    wrong.write_text((DEPLOY / "kubernetes.yaml").read_text().replace("failureThreshold", "failures"))
    assert kubernetes_check(wrong).returncode != 0


@pytest.fixture(scope="module", params=COMMANDS)
def settings(request: pytest.FixtureRequest) -> dict[str, Any]:
    """What the real command makes of the arguments and variables of a file."""
    words, variables = COMMANDS[request.param]
    assert words[:2] == ["mcdrop", "serve"]
    command = [str(BIN / "mcdrop"), *words[1:], "--print-config"]
    environment = {**os.environ, **variables}
    printed = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert printed.returncode == 0, printed.stderr
    return {"name": request.param, "variables": variables, **tomllib.loads(printed.stdout)}


def test_the_command_takes_what_is_written(settings: dict[str, Any]) -> None:
    assert settings["host"] == "0.0.0.0"  # noqa: S104  in a container
    assert settings["port"] == {"compose": 8000, "kubernetes": 8000, "kserve": 8080}[settings["name"]]
    for name, value in settings["variables"].items():
        setting = name.removeprefix("MCDROP_").lower()
        assert setting in Settings.model_fields, name
        assert str(settings[setting]) == value


def test_there_is_time_to_drain(settings: dict[str, Any]) -> None:
    needed_s = (settings["drain_delay_ms"] + settings["drain_timeout_ms"]) / 1000
    given_s = {
        "compose": int(SERVICE["stop_grace_period"].removesuffix("s")),
        "kubernetes": POD["terminationGracePeriodSeconds"],
        "kserve": 30,  # Kubernetes' own default
    }
    assert needed_s < given_s[settings["name"]]


def probes(container: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for name in ("startupProbe", "readinessProbe", "livenessProbe"):
        if name in container:
            yield container[name]["httpGet"]


@pytest.mark.parametrize("container", [CONTAINER, RUNTIME], ids=["kubernetes", "kserve"])
def test_probes_ask_pages_that_need_no_key_at_a_port_that_is_open(container: dict[str, Any]) -> None:
    ports = {each.get("name", each["containerPort"]) for each in container["ports"]}
    found = list(probes(container))
    assert len(found) >= 2
    for probe in found:
        assert probe["path"] in OPEN_PATHS
        assert probe["port"] in ports


def test_ports_agree() -> None:
    assert SERVICE["ports"] == ["127.0.0.1:8000:8000"]
    assert "127.0.0.1:8000/healthz" in SERVICE["healthcheck"]["test"][-1]
    assert CONTAINER["ports"] == [{"name": "http", "containerPort": 8000}]
    assert [each["containerPort"] for each in RUNTIME["ports"]] == [8080]
    (job,) = yaml.safe_load((DEPLOY / "prometheus.yaml").read_text())["scrape_configs"]
    assert job["static_configs"] == [{"targets": ["mcdrop:8000"]}]
    assert job["metrics_path"] in OPEN_PATHS


def test_files_that_compose_mounts_exist_where_prometheus_looks() -> None:
    mounts = dict(each.split(":")[:2] for each in COMPOSE["services"]["prometheus"]["volumes"])
    for place, inside in mounts.items():
        if place.startswith("."):
            assert (DEPLOY / place).is_file()
            assert inside.startswith("/etc/prometheus/")
    config = yaml.safe_load((DEPLOY / "prometheus.yaml").read_text())
    assert set(config["rule_files"]) <= set(mounts.values())
    assert (DEPLOY / SERVICE["volumes"][0].split(":")[0]).is_dir()


def test_nobody_is_root_and_nothing_is_written() -> None:
    (user,) = [
        re.search(r"--uid (\d+)", step.arguments) for step in instructions() if "--uid" in step.arguments
    ]
    assert user is not None
    assert SERVICE["user"] == user[1] == str(POD["securityContext"]["runAsUser"])
    assert str(RUNTIME["securityContext"]["runAsUser"]) == user[1]
    assert POD["securityContext"]["runAsNonRoot"] is RUNTIME["securityContext"]["runAsNonRoot"] is True
    assert SERVICE["read_only"] is CONTAINER["securityContext"]["readOnlyRootFilesystem"] is True
    for dropped in (SERVICE["cap_drop"], CONTAINER["securityContext"]["capabilities"]["drop"]):
        assert dropped == ["ALL"]
    assert KUBERNETES[3]["spec"]["egress"] == []
    assert POD["enableServiceLinks"] is False  # a Service named mcdrop would set MCDROP_PORT


def test_the_kserve_runtime_is_the_one_that_the_service_names() -> None:
    runtime, service = KSERVE
    model = service["spec"]["predictor"]["model"]
    assert model["runtime"] == runtime["metadata"]["name"]
    assert model["modelFormat"]["name"] == runtime["spec"]["supportedModelFormats"][0]["name"]
    assert model["protocolVersion"] in runtime["spec"]["protocolVersions"]
    assert (ROOT / "models" / service["metadata"]["name"]).is_dir()


def test_every_metric_of_an_alert_exists() -> None:
    groups = yaml.safe_load((DEPLOY / "alerts.yaml").read_text())["groups"]
    expressions = [rule["expr"] for group in groups for rule in group["rules"]]
    named = {name for each in expressions for name in re.findall(r"\bmcdrop_\w+", each)}
    assert len(named) >= 5
    text = Metrics().text(Gauges(0, [facts()])).decode()
    families = re.findall(r"^# TYPE (\w+) (\w+)$", text, flags=re.MULTILINE)
    known = {f"{name}{end}" for name, kind in families for end in ENDINGS[kind]}
    assert named <= known


ENDINGS = {"counter": [""], "gauge": [""], "histogram": ["_bucket", "_sum", "_count"]}
