"""Serve as the Dockerfile does, from the environment that runs this, and compare an answer with the library.

    make install-check

It is started by an environment in which the Dockerfile's install line ran and nothing else. The library that
answers must be the installed one and not the checkout: run as a file, only this directory is on the path.
"""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any
from urllib.request import Request, urlopen

import torch

import mcdrop

ROOT = Path(__file__).parents[2]
PATIENT = [59, 2, 32.1, 101, 157, 93.2, 38, 4, 4.8598, 87]
REQUEST = {"inputs": [PATIENT], "n_samples": 64, "seed": 7}


def main() -> None:
    """End with exit code 1 and a line on stderr unless both answers are equal to the last bit."""
    installed = Path(mcdrop.__file__)
    if not installed.is_relative_to(sys.prefix):
        sys.exit(f"mcdrop must come from {sys.prefix}, got {installed}")
    with served() as url:
        outputs = ask(url)["outputs"]
    for name, wanted in expected().items():
        if not torch.equal(torch.tensor(outputs[name]), wanted):
            sys.exit(f"{name}: the service answered {outputs[name]}, the library {wanted.tolist()}")
    sys.stdout.write(f"The installed service and the installed library agree: {outputs}\n")


@contextmanager
def served() -> Iterator[str]:
    """The URL of a server that the Dockerfile's command started, on a free port of this machine only."""
    command, *arguments = dockerfile_command()
    here = [f"{sys.prefix}/bin/{command}", *arguments, "--host", "127.0.0.1", "--port", "0"]
    server = subprocess.Popen(here, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        yield url_in(server.stdout)
    finally:
        server.terminate()
        server.wait(timeout=30)


def dockerfile_command() -> list[str]:
    """The words of the Dockerfile's `CMD`."""
    (command,) = re.findall(r"^CMD (\[.*\])$", (ROOT / "Dockerfile").read_text(), flags=re.MULTILINE)
    words: list[str] = json.loads(command)
    return words


def url_in(greeting: IO[str] | None) -> str:
    """Where the server says that it listens; it says so when it is ready."""
    for line in greeting or ():
        found = re.search(r"http://[\d.]+:\d+", line)
        if found:
            return found.group()
    sys.exit("the server stopped before it was ready")


def ask(url: str) -> dict[str, Any]:
    """The service's answer to `REQUEST`."""
    request = Request(  # noqa: S310  the URL is http, from the server that was started above
        f"{url}/v1/models/diabetes/predict",
        json.dumps(REQUEST).encode(),
        {"content-type": "application/json"},
    )
    with urlopen(request, timeout=60) as answer:  # noqa: S310
        body: dict[str, Any] = json.load(answer)
    return body


def expected() -> dict[str, torch.Tensor]:
    """What the library returns for `REQUEST`: float32, as the numbers of the service are read back."""
    x = torch.tensor([PATIENT])
    pred = mcdrop.load(ROOT / "models" / "diabetes").predict(x, n_samples=64, seed=7, exact=True)
    return {"mean": pred.mean, "std": pred.std}


if __name__ == "__main__":
    main()
