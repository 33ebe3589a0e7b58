"""What a checkpoint takes and gives, as plain facts: told once, when it has answered its warm-up."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Final

import numpy as np

from mcdrop.checkpoint import InputSpec, Manifest
from mcdrop.engine.sites import Site
from mcdrop.errors import NotFittedError
from mcdrop.predictive import Predictive
from mcdrop.predictive.archive import as_array
from mcdrop_service.facts import Array, InputFacts, OutputFacts

__all__ = [
    "description",
    "fields",
    "input_facts",
    "known_outputs",
    "output_facts",
    "properties",
    "zeros",
]

ANY_LENGTH: Final = 8
MOST_NAMED: Final = 50


def input_facts(spec: InputSpec) -> InputFacts:
    """One input of a checkpoint."""
    # NumPy has no bfloat16: such a model takes float32, which the library casts to its parameters' dtype
    dtype = "float32" if spec.dtype == "bfloat16" else spec.dtype
    return InputFacts(spec.name, dtype, tuple(spec.shape))


def zeros(wanted: InputFacts) -> Array:
    """(1, ...) zeros that fit an input."""
    return np.zeros((1, *(ANY_LENGTH if size == -1 else size for size in wanted.shape)), dtype=wanted.dtype)


def known_outputs(predictive: Predictive) -> Iterator[str]:
    """Names of the outputs that can be had: some need a noise precision that was never fitted."""
    for name in predictive.available_outputs():
        with suppress(NotFittedError):
            getattr(predictive, name)
            yield name


def fields(predictive: Predictive) -> Iterator[str]:
    """Names of the tensors, unrounded, of which such a predictive is made; samples and quantiles apart."""
    for name, tensor, axis in predictive.row_tensors():
        if tensor is not None and axis == 0:
            yield name


def output_facts(predictive: Predictive, inputs: Sequence[InputFacts]) -> Iterator[OutputFacts]:
    """Dtype and shape of each output; a length that may be that of the inputs counts as one that varies."""
    varies = any(-1 in wanted.shape for wanted in inputs)
    for name in known_outputs(predictive):
        array = as_array(getattr(predictive, name))
        sizes = (-1 if varies and size == ANY_LENGTH else size for size in array.shape[1:])
        yield OutputFacts(name, array.dtype.name, tuple(sizes))


def properties(sites: Sequence[Site]) -> dict[str, str]:
    """What is random, in words: the first sites, and how many there are."""
    named = [site.name if site.p is None else f"{site.name} p={site.p:g}" for site in sites[:MOST_NAMED]]
    more = [f"and {len(sites) - MOST_NAMED} more"] if len(sites) > MOST_NAMED else []
    return {"dropout_sites": ", ".join([*named, *more])}


def description(manifest: Manifest, fingerprint: Mapping[str, object]) -> dict[str, object]:
    """What `GET /v1/models/{name}` tells beyond the facts: nothing about files or training data's place."""
    told = manifest.model_dump(
        mode="json",
        include={"calibrators", "class_axis", "classes", "exact", "sampling", "scores", "tau"},
    )
    return {
        **told,
        "columns": {each.name: each.columns for each in manifest.inputs if each.columns},
        "output_names": manifest.outputs.names,
        "units": manifest.outputs.units,
        "fingerprint_of": dict(fingerprint),
    }
