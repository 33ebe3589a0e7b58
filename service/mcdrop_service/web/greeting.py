"""What the operator reads when the service is ready: where it is, and a request that works as printed."""

import json
from collections.abc import Callable, Mapping, Sequence
from math import prod
from typing import Final

from mcdrop_service.facts import ModelFacts

__all__ = ["greeting"]

MOST_EXAMPLE: Final = 8192
"""Characters of a request that someone may read; a shell takes 131072 at most."""


def greeting(
    urls: Sequence[str],
    models: Sequence[ModelFacts],
    *,
    management_urls: Sequence[str] = (),
    asks_for_key: bool = False,
    row_of: Callable[[str], Mapping[str, object] | None] = lambda _name: None,
) -> str:
    """A few lines for the terminal.

    Args:
        urls: Where the workers listen, without a slash at the end; at least one.
        models: What they serve; at least one.
        management_urls: Where models can be loaded and unloaded, if anywhere.
        asks_for_key: Whether API keys are wanted; the command then has a place for one.
        row_of: Gives a row for a model by its name, an array for each input; zeros are taken if it has none.

    Returns:
        Text that ends with a `curl` command for the model that takes the fewest numbers, if one fits.
    """
    names = ", ".join(facts.name for facts in models)
    managed = f"; models are managed at {' and '.join(management_urls)}" if management_urls else ""
    told = f"mcdrop serves {names} on {' and '.join(urls)} (documentation: {urls[0]}/docs{managed})."
    smallest = min(models, key=_numbers)
    body = json.dumps(_example(smallest, row_of(smallest.name) or {}))
    if len(body) > MOST_EXAMPLE:
        return f"{told}\n"
    key = "-H 'authorization: Bearer KEY' " * asks_for_key
    command = (
        f"curl -s {urls[0]}/v1/models/{smallest.name}/predict {key}"
        f"-H 'content-type: application/json' -d '{body}'"
    )
    return f"{told} Try:\n\n  {command}\n"


def _numbers(facts: ModelFacts) -> int:
    return sum(prod(abs(size) for size in wanted.shape) for wanted in facts.inputs)


def _example(facts: ModelFacts, row: Mapping[str, object]) -> dict[str, object]:
    rows = {wanted.name: row.get(wanted.name, [_zeros(wanted.shape)]) for wanted in facts.inputs}
    inputs = rows if len(rows) > 1 else rows[facts.inputs[0].name]
    return {"inputs": inputs, "n_samples": 64, "seed": 7}


def _zeros(shape: Sequence[int]) -> object:
    return [_zeros(shape[1:]) for _ in range(abs(shape[0]))] if shape else 0
