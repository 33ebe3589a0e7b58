"""What the operator reads when the service is ready: where it is, and a request that works as printed."""

import json
from collections.abc import Sequence
from math import prod

from mcdrop_service.facts import ModelFacts

__all__ = ["greeting"]


def greeting(url: str, models: Sequence[ModelFacts], *, management_url: str | None = None) -> str:
    """A few lines for the terminal.

    Args:
        url: Where the service listens, without a slash at the end.
        models: What it serves; at least one.
        management_url: Where models can be loaded and unloaded, if anywhere.

    Returns:
        Text that ends with a `curl` command for the model that takes the fewest numbers.
    """
    names = ", ".join(facts.name for facts in models)
    smallest = min(models, key=_numbers)
    command = (
        f"curl -s {url}/v1/models/{smallest.name}/predict "
        f"-H 'content-type: application/json' -d '{json.dumps(_example(smallest))}'"
    )
    managed = "" if management_url is None else f"; models are managed at {management_url}"
    return f"mcdrop serves {names} on {url} (documentation: {url}/docs{managed}). Try:\n\n  {command}\n"


def _numbers(facts: ModelFacts) -> int:
    return sum(prod(abs(size) for size in wanted.shape) for wanted in facts.inputs)


def _example(facts: ModelFacts) -> dict[str, object]:
    rows = {wanted.name: [_zeros(wanted.shape)] for wanted in facts.inputs}
    inputs = rows if len(rows) > 1 else rows[facts.inputs[0].name]
    return {"inputs": inputs, "n_samples": 64, "seed": 7}


def _zeros(shape: Sequence[int]) -> object:
    return [_zeros(shape[1:]) for _ in range(abs(shape[0]))] if shape else 0
