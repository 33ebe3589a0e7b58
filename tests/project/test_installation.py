"""One way to install: Makefile, Dockerfile and constraints.txt agree, and everything they name exists."""

import re
import subprocess
import tomllib
from importlib.metadata import distribution, version

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.support.repository import ROOT, copied, instructions

PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
MAKEFILE = (ROOT / "Makefile").read_text()
CONSTRAINTS = [Requirement(line) for line in (ROOT / "constraints.txt").read_text().splitlines()]
PINS: dict[str, str] = {
    canonicalize_name(pin.name): str(pin.specifier).removeprefix("==") for pin in CONSTRAINTS
}
HASHED = {
    name: (ROOT / "deploy" / f"requirements-{name}.txt").read_text().replace(" \\\n    --hash", " --hash")
    for name in ("serve", "torch")
}


def hashed(name: str) -> dict[str, str]:
    """Versions by name in one of the files with hashes, where every line has some and nothing else."""
    found: dict[str, str] = {}
    for line in HASHED[name].splitlines():
        wanted, *hashes = line.split(" --hash=")
        assert hashes, line
        assert [each for each in hashes if not re.fullmatch("sha256:[0-9a-f]{64}", each)] == []
        requirement = Requirement(wanted)
        assert requirement.url is None
        found[canonicalize_name(requirement.name)] = str(requirement.specifier).removeprefix("==")
    return found


def make(*arguments: str) -> str:
    """What make would run: nothing is run."""
    return subprocess.run(
        ["make", "--dry-run", "--always-make", *arguments],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout


def closure(requirement: Requirement, seen: set[tuple[str, str]]) -> set[tuple[str, str]]:
    """The installed distributions, each with an extra or '', that a requirement leads to on this machine."""
    for extra in requirement.extras | {""}:
        node = (canonicalize_name(requirement.name), extra)
        if node not in seen:
            seen.add(node)
            for text in distribution(requirement.name).requires or ():
                needed = Requirement(text)
                if needed.marker is None or needed.marker.evaluate({"extra": extra}):
                    closure(needed, seen)
    return seen


def test_makefile_and_dockerfile_share_the_install_line() -> None:
    (line,) = [
        step.arguments
        for step in instructions()
        if "constraints.txt" in step.arguments and step.name == "RUN"
    ]
    assert f"INSTALL := {line}\n" in MAKEFILE
    assert f".venv-install/bin/{line}\n" in make("install-check")


def test_a_checkout_is_installed_by_the_same_line_in_place() -> None:
    (line,) = re.findall(r"^INSTALL := (.*)$", MAKEFILE, flags=re.MULTILINE)
    in_place = line.replace(' "', ' --editable "')
    assert f".venv/bin/{in_place}\n" in make("serve")


def test_every_source_that_the_dockerfile_copies_exists() -> None:
    assert [path for path in copied() if not path.exists()] == []


def test_the_dockerfile_copies_all_that_the_wheel_is_built_from() -> None:
    project = PYPROJECT["project"]
    packages = PYPROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    for source in ["pyproject.toml", project["readme"], *project["license-files"], *packages]:
        assert any((ROOT / source).is_relative_to(path) for path in copied()), source


def test_nothing_that_the_dockerfile_copies_is_hidden_from_the_builder() -> None:
    allowed = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    assert sorted(allowed) == sorted(str(path.relative_to(ROOT)) for path in copied())


def test_constraints_pin_exact_versions_without_a_local_part() -> None:
    assert PINS["torch"] == "2.13.0"
    assert [str(pin) for pin in CONSTRAINTS if not re.fullmatch(r"==[\w.]+", str(pin.specifier))] == []


def test_constraints_pin_everything_that_is_installed_for_the_gate() -> None:
    reached = {name for name, _ in closure(Requirement("mcdrop[dev]"), set())} - {"mcdrop"}
    installed = {name: version(name).partition("+")[0] for name in reached}
    assert {name: PINS.get(name) for name in reached} == installed


@pytest.mark.parametrize("extra", ["", *PYPROJECT["project"]["optional-dependencies"]])
def test_constraints_lie_in_the_ranges_that_the_project_asks_for(extra: str) -> None:
    project = PYPROJECT["project"]
    asked = project["optional-dependencies"][extra] if extra else project["dependencies"]
    for requirement in map(Requirement, asked):
        name = canonicalize_name(requirement.name)
        assert name == "mcdrop" or requirement.specifier.contains(PINS[name]), requirement


def test_no_index_is_named_but_the_one_that_is_passed_through() -> None:
    texts = [MAKEFILE, (ROOT / "Dockerfile").read_text(), (ROOT / "constraints.txt").read_text()]
    assert [
        text for text in texts if re.search(r"--(extra-)?index-url|--find-links|https?://(?!\$|127)", text)
    ] == []


def test_all_that_serving_needs_has_hashes_of_the_version_that_is_pinned() -> None:
    serve, torch = hashed("serve"), hashed("torch")
    reached = {name for name, _ in closure(Requirement("mcdrop[serve]"), set())} - {"mcdrop"}
    assert reached - set(serve) <= set(torch)
    assert [name for name, pin in serve.items() if PINS.get(name, pin) != pin] == []
    assert set(serve) - set(PINS) <= {"colorama"}  # which only Windows needs
    assert torch["torch"] == PINS["torch"]
    assert set(torch).isdisjoint(serve)


def test_hashes_are_checked_before_anything_else_is_installed() -> None:
    steps = [
        step.arguments for step in instructions() if step.name == "RUN" and "pip install" in step.arguments
    ]
    with_hashes = "pip install --require-hashes --requirement requirements-"
    assert steps[:2] == [
        f"{with_hashes}serve.txt",
        f'test -n "$PIP_EXTRA_INDEX_URL" || {with_hashes}torch.txt',
    ]
    assert "--require-hashes --requirement deploy/requirements-serve.txt" in make("install-check")


def test_serve_takes_a_port() -> None:
    printed = make("serve", "PORT=9000")
    assert ".venv/bin/mcdrop serve models --host 127.0.0.1 --port 9000" in printed


def test_ci_runs_the_gate_and_the_gate_is_whole() -> None:
    assert "make --no-print-directory test" in (ROOT / ".ci" / "run").read_text()
    gate = make("test")
    steps = ["ruff format --check", "ruff check", "lint-imports", "mypy mcdrop service tests", "pytest -n 2"]
    assert [gate.index(step) for step in steps] == sorted(gate.index(step) for step in steps)


def test_an_audit_that_learnt_nothing_fails() -> None:
    (line,) = [line for line in make("audit").splitlines() if "pip-audit --requirement" in line]
    assert not line.startswith("-")
    assert "--strict" in line  # else a package that is unknown to the database counts as sound


def test_models_are_served_where_the_dockerfile_copies_them() -> None:
    (command,) = [step.arguments for step in instructions() if step.name == "CMD"]
    assert '"serve", "models"' in command
    assert ROOT / "models" in copied()
