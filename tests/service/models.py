"""Small models for the tests of the service: facts, and a fake that answers without torch."""

import sys

from mcdrop_service.facts import InputFacts, ModelFacts, OutputFacts

__all__ = ["FAKE_SERVER", "PIXELS", "TABLE", "TWO_INPUTS", "facts"]

FAKE_SERVER = (sys.executable, "-m", "tests.service.fake_server")
TABLE = InputFacts("x", "float32", (3,))
PIXELS = InputFacts("image", "float32", (1, 2, 2))
TWO_INPUTS = (InputFacts("tokens", "int64", (-1,)), InputFacts("mask", "bool", (-1,)))


def facts(*inputs: InputFacts, name: str = "toy") -> ModelFacts:
    """The facts of a model with these inputs, by default one of three numbers."""
    return ModelFacts(
        name=name,
        version="1",
        digest="sha256:00",
        fingerprint="0123456789abcdef",
        task="regression",
        inputs=inputs or (TABLE,),
        outputs=("mean", "std", "standard_error"),
        default_outputs=("mean", "std"),
        n_samples=32,
        seed=5,
        tensors=tuple(OutputFacts(each, "float32", (3,)) for each in ("mean", "std", "standard_error")),
    )
