"""Who is compared: our service, and three ways to write one by hand, each looping and replicating."""

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from benchmarks.servers.by_hand import MODEL, SAMPLES, WAY

__all__ = ["CLASSES", "Contender", "contenders"]

BIN: Final = Path(sys.executable).parent
CLASSES: Final = 10
QUIET: Final = ("--no-access-log", "--log-level", "warning")


@dataclass(frozen=True)
class Contender:
    """A server, and how to ask it.

    Attributes:
        name: In the table.
        kind: `ours`, `loop` or `replication`.
        command: From a port to what starts it.
        environment: Beside what there is.
        path: Of the route.
        body: From rows as nested lists to a body.
        numbers: From an answer of one row to its mean and standard deviation.
    """

    name: str
    kind: str
    command: Callable[[int], Sequence[str]]
    environment: dict[str, str]
    path: str
    body: Callable[[list[Any]], bytes]
    numbers: Callable[[Any], tuple[list[float], list[float]]]


def contenders(directory: Path, model: str) -> Iterator[Contender]:
    """All of them.

    Args:
        directory: Of checkpoints.
        model: Name of the one that is asked.
    """
    yield Contender(
        "ours",
        "ours",
        lambda port: [sys.executable, "-m", "benchmarks.servers.ours", str(directory), str(port)],
        {"MCDROP_LOG_LEVEL": "warning"},
        f"/v1/models/{model}/predict",
        lambda rows: json.dumps({"inputs": rows, "n_samples": SAMPLES}).encode(),
        lambda answer: (answer["outputs"]["mean"][0], answer["outputs"]["std"][0]),
    )
    for way in ("loop", "replication"):
        for name, command, form in _peers():
            yield Contender(
                f"{name}, {way}",
                way,
                command,
                {MODEL: str(directory / model), WAY: way, "BENTOML_DO_NOT_TRACK": "true"},
                "/predict",
                lambda rows: json.dumps({"inputs": rows}).encode(),
                form,
            )


def _peers() -> Iterator[tuple[str, Callable[[int], Sequence[str]], Callable[[Any], Any]]]:
    """Name, command and form of the answer."""

    def uvicorn(port: int) -> Sequence[str]:
        app = "benchmarks.servers.hand_written:app"
        return [str(BIN / "uvicorn"), app, "--host", "127.0.0.1", "--port", str(port), *QUIET]

    def lit(batch: int) -> Callable[[int], Sequence[str]]:
        return lambda port: [sys.executable, "-m", "benchmarks.servers.lit", str(port), str(batch)]

    def bento(service: str) -> Callable[[int], Sequence[str]]:
        app = f"benchmarks.servers.bento:{service}"
        return lambda port: [str(BIN / "bentoml"), "serve", app, "--host", "127.0.0.1", "-p", str(port), "-q"]

    yield "FastAPI", uvicorn, lambda answer: _split(answer["outputs"][0])
    yield "LitServe", lit(1), lambda answer: _split(answer["outputs"][0])
    yield "LitServe in batches", lit(16), lambda answer: _split(answer["outputs"][0])
    yield "BentoML", bento("Apart"), lambda answer: _split(answer[0])
    yield "BentoML in batches", bento("Together"), lambda answer: _split(answer[0])


def _split(row: list[float]) -> tuple[list[float], list[float]]:
    return row[:CLASSES], row[CLASSES : 2 * CLASSES]
