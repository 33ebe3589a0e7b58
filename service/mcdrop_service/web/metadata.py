"""What the service tells about a model."""

from collections.abc import Sequence

from mcdrop_service.facts import DATATYPES, InputFacts, ModelFacts, OutputFacts
from mcdrop_service.settings import Settings
from mcdrop_service.web.service import Service

__all__ = ["inference_metadata", "model_document", "repository_index"]


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
        "batch_invariance": facts.batch_invariance,
        "task": facts.task,
        "inputs": [{"name": i.name, "dtype": i.dtype, "shape": [-1, *i.shape]} for i in facts.inputs],
        "outputs": list(facts.outputs),
        "default_outputs": list(facts.default_outputs),
        "fields": list(facts.fields),
        "n_samples": facts.n_samples,
        "max_n_samples": settings.max_n_samples,
        "seed": facts.seed,
        **facts.description,
    }


def inference_metadata(facts: ModelFacts, versions: Sequence[str], settings: Settings) -> dict[str, object]:
    """The answer of `GET /v2/models/{name}`.

    Args:
        facts: The model.
        versions: All of its versions that are served.
        settings: Limits that a request to it must keep.

    Returns:
        A document as the protocol wants it; 'properties' are texts.
    """
    return {
        "name": facts.name,
        "versions": list(versions),
        "platform": "mcdrop_pytorch",
        "inputs": [_tensor(each) for each in facts.inputs],
        "outputs": [_tensor(each) for each in facts.tensors],
        "properties": {
            "task": facts.task,
            "n_samples": str(facts.n_samples),
            "max_n_samples": str(settings.max_n_samples),
            "seed": str(facts.seed),
            "digest": facts.digest,
            "fingerprint": facts.fingerprint,
            "batch_invariance": facts.batch_invariance,
            **facts.properties,
        },
    }


async def repository_index(service: Service, *, only_ready: bool) -> list[dict[str, str]]:
    """The answer of `POST /v2/repository/index`.

    Args:
        service: Its models are listed, and those that its repository has beside.
        only_ready: Leave out those that do not answer.

    Returns:
        Name, version, state and reason of each version.
    """
    state, reason = ("READY", "") if service.serving else ("UNAVAILABLE", service.lifecycle.phase.value)
    unfit = service.engine.unfit
    served = [
        _entry(facts.name, facts.version, "UNAVAILABLE", "failing")
        if (facts.name, facts.version) in unfit
        else _entry(facts.name, facts.version, state, reason)
        for facts in service.engine.served
    ]
    if only_ready:
        return [each for each in served if each["state"] == "READY"]
    unserved = [] if service.reloader is None else await service.reloader.unserved()
    return [*served, *(_entry(name, "", "UNAVAILABLE", "not loaded") for name in unserved)]


def _entry(name: str, version: str, state: str, reason: str) -> dict[str, str]:
    return {"name": name, "version": version, "state": state, "reason": reason}


def _tensor(described: InputFacts | OutputFacts) -> dict[str, object]:
    shape = [-1, *described.shape]
    return {"name": described.name, "datatype": DATATYPES[described.dtype], "shape": shape}
