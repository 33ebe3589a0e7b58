"""What every check compares with: the plain route, whose answers the gate compares with the library.

Runs in the environments of the clients, so it needs nothing but Python.
"""

import json
from typing import Any
from urllib.request import Request, urlopen

__all__ = ["ROWS", "SAMPLES", "SEED", "check", "plain_outputs"]

ROWS = [[59, 2, 32.1, 101, 157, 93.2, 38, 4, 4.8598, 87], [48, 1, 21.6, 87, 183, 103.2, 70, 3, 3.8918, 69]]
SAMPLES = 30
SEED = 7


def plain_outputs(url: str, outputs: list[str]) -> dict[str, list[Any]]:
    """Some outputs for `ROWS` of the diabetes model."""
    asked = {"inputs": ROWS, "n_samples": SAMPLES, "seed": SEED, "outputs": outputs}
    request = Request(  # noqa: S310  the URL is that of the server that the checks started
        f"{url}/v1/models/diabetes/predict",
        json.dumps(asked).encode(),
        {"content-type": "application/json"},
    )
    with urlopen(request, timeout=60) as answer:  # noqa: S310
        found: dict[str, list[Any]] = json.load(answer)["outputs"]
    return found


def check(name: str, came: object, wanted: object) -> None:
    """End with an error unless both are equal."""
    if came != wanted:
        raise SystemExit(f"{name}: wanted {wanted}, got {came}")
    print(f"  {name}")  # noqa: T201  what was checked is what this prints
