"""What the service tells about a model."""

from mcdrop_service.facts import ModelFacts
from mcdrop_service.settings import Settings

__all__ = ["model_document"]


def model_document(facts: ModelFacts, settings: Settings) -> dict[str, object]:
    """The answer of `GET /v1/models/{name}`.

    Args:
        facts: The model.
        settings: Limits that a request to it must keep.

    Returns:
        A document of strings, numbers, lists and mappings.
    """
    return {
        "model": facts.name,
        "version": facts.version,
        "digest": facts.digest,
        "fingerprint": facts.fingerprint,
        "task": facts.task,
        "inputs": [{"name": i.name, "dtype": i.dtype, "shape": [-1, *i.shape]} for i in facts.inputs],
        "outputs": list(facts.outputs),
        "default_outputs": list(facts.default_outputs),
        "n_samples": facts.n_samples,
        "max_n_samples": settings.max_n_samples,
        "seed": facts.seed,
        **facts.description,
    }
