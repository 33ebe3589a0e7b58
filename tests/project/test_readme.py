"""The examples of the README, run as a reader would run them: they print what is shown there."""

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.support.markdown import blocks, commands, same_text
from tests.support.repository import ROOT
from tests.support.wire import Answer, Server, post, running

README = ROOT / "README.md"
BIN = Path(sys.executable).parent
TOLERANCE = 2e-3
"""Processors differ in the last bits of a float32, and what is shown is rounded."""

PLAIN_TERMINAL = {"COLUMNS": "100", "TERM": "dumb", "NO_COLOR": "1"}


def shown(program: str) -> tuple[list[str], str]:
    """The words of the README's command of this name, and the output below it."""
    (found,) = [pair for pair in commands(README) if pair[0].startswith(program)]
    return shlex.split(found[0]), found[1]


def printed_by(command: list[str]) -> str:
    environment = {**os.environ, **PLAIN_TERMINAL}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@dataclass(frozen=True)
class Curl:
    """What a `curl` command asks for."""

    path: str
    body: bytes

    @classmethod
    def of(cls, words: list[str]) -> "Curl":
        """Read the command; only what the README uses is known."""
        (url,) = [word for word in words if word.startswith("http://127.0.0.1:8000/")]
        assert words[words.index("-H") + 1] == "content-type: application/json"
        return cls(url.removeprefix("http://127.0.0.1:8000"), words[words.index("-d") + 1].encode())


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with running([str(BIN / "mcdrop"), "serve", str(ROOT / "models"), "--port", "0"]) as started:
        yield started


def without_fingerprint(answer: dict[str, Any]) -> dict[str, Any]:
    """An answer less the one part that differs from machine to machine."""
    assert len(answer["fingerprint"]) == 16
    return {name: value for name, value in answer.items() if name != "fingerprint"}


def examples(page: Path) -> list[tuple[str, str]]:
    """Each Python block of a page, and the output that is shown below it."""
    texts = [block.text for block in blocks(page) if block.language in {"python", "text"}]
    return list(zip(texts[::2], texts[1::2], strict=True))


def test_the_python_example_prints_what_is_shown() -> None:
    code, text = examples(README)[0]
    assert same_text(printed_by([sys.executable, "-c", code]), text, tolerance=TOLERANCE)


@pytest.mark.parametrize(("page", "number"), [(README, 1), (ROOT / "docs" / "client.md", 0)])
def test_the_client_prints_what_is_shown(server: Server, page: Path, number: int) -> None:
    code, text = examples(page)[number]
    there = code.replace("127.0.0.1:8000", f"127.0.0.1:{server.port}")
    assert there != code
    came = printed_by([sys.executable, "-c", there])
    assert same_text(came, text, tolerance=TOLERANCE), came


def test_the_request_is_answered_as_shown(server: Server) -> None:
    words, output = shown("curl")
    request = Curl.of(words)
    answer: Answer = post(server, request.path, request.body)
    assert answer.status == 200
    came, wanted = (without_fingerprint(document) for document in (answer.document, json.loads(output)))
    assert same_text(json.dumps(came), json.dumps(wanted), tolerance=TOLERANCE)


def test_the_report_prints_what_is_shown() -> None:
    words, output = shown("mcdrop report")
    assert same_text(printed_by([str(BIN / words[0]), *words[1:]]), output, tolerance=TOLERANCE)
