"""Architectures of Hugging Face transformers and of timm: a name that the library has, and its configuration.

The code is that of the installed library and of nothing else. A configuration is plain data, yet some of its
entries would make the library fetch a model, a kernel or code by name: those are refused, whatever they say,
and the hub is switched off while a model is built.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import ModuleType
from typing import Any, Final

from torch import nn

from mcdrop.errors import CheckpointError, MissingExtraError
from mcdrop.extras import require

__all__ = ["check_configuration", "huggingface_class", "huggingface_factory", "offline", "timm_factory"]

_CLASS: Final = re.compile(r"[A-Z]\w*", re.ASCII)
_MODEL: Final = re.compile(r"[a-z]\w*(\.\w+)?", re.ASCII)

_FETCHED: Final = frozenset(
    {"backbone", "quantization_config", "use_kernels", "use_pretrained_backbone", "use_timm_backbone"}
)
"""Entries of a transformers configuration that name something to fetch, or code of a further package."""
_IMPLEMENTATIONS: Final = ("eager", "sdpa")
"""Of attention; any other may be the name of a kernel, which would be fetched from the hub and run."""
_NOT_FOR_TIMM: Final = frozenset({"cache_dir", "checkpoint_path", "exportable", "no_jit", "scriptable"})


def huggingface_factory(name: str) -> Callable[..., nn.Module]:
    """What builds a model of transformers from the entries of its configuration.

    Args:
        name: Of the class, such as `BertForSequenceClassification`.

    Raises:
        CheckpointError: If transformers has no such model, or is not installed.
    """
    kind = huggingface_class(name)

    def build(**configuration: Any) -> nn.Module:
        check_configuration("huggingface", configuration)
        with offline():
            model: nn.Module = kind(kind.config_class.from_dict(configuration))
        return model

    return build


def huggingface_class(name: str) -> Any:
    """A model class of transformers.

    Raises:
        CheckpointError: If transformers has no such model, or is not installed.
    """
    transformers: Any = _library("transformers", extra="hf")
    kind = getattr(transformers, name, None) if _CLASS.fullmatch(name) else None
    known = isinstance(kind, type) and issubclass(kind, transformers.PreTrainedModel)
    if not known or not kind.__module__.startswith("transformers.models.") or "Timm" in name:
        raise CheckpointError(
            f"transformers {transformers.__version__} has no model class {name!r} that can be built from a "
            "configuration alone, such as 'BertForSequenceClassification'"
        )
    return kind


def timm_factory(name: str) -> Callable[..., nn.Module]:
    """What builds a model of timm from its arguments.

    Args:
        name: Such as `resnet18`; never a path or an address.

    Raises:
        CheckpointError: If timm has no such model, or is not installed.
    """
    timm: Any = _library("timm", extra="timm")
    if not _MODEL.fullmatch(name) or not timm.is_model(name):
        raise CheckpointError(f"timm {timm.__version__} has no model {name!r}; timm.list_models() lists them")

    def build(**arguments: Any) -> nn.Module:
        check_configuration("timm", arguments)
        with offline():
            model: nn.Module = timm.create_model(name, pretrained=False, **arguments)
        return model

    return build


def check_configuration(source: str, configuration: Mapping[str, Any]) -> None:
    """See that a configuration names nothing to be fetched or loaded.

    Args:
        source: `huggingface` or `timm`.
        configuration: Entries of a transformers configuration, or arguments of a timm model.

    Raises:
        CheckpointError: At the first entry that does.
    """
    refused = _refused_by_timm if source == "timm" else _refused_by_transformers
    for key, value in _entries(configuration):
        if refused(key, value):
            raise CheckpointError(
                f"the entry {key}={value!r} of the {source} configuration would fetch or load something; a "
                "checkpoint holds its weights, so take the entry out"
            )


@contextmanager
def offline() -> Iterator[None]:
    """While a model is built the hub cannot be asked, whatever the library thinks it wants."""
    constants: Any = _library("huggingface_hub.constants", extra="hf")
    before = constants.HF_HUB_OFFLINE
    constants.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = before


def _library(module: str, *, extra: str) -> ModuleType:
    try:
        return require(module, extra=extra)
    except MissingExtraError as error:
        raise CheckpointError(f"the architecture is of a library that is missing here: {error}") from error


def _refused_by_timm(key: str, _value: object) -> bool:
    return key in _NOT_FOR_TIMM or key.startswith("pretrained")


def _refused_by_transformers(key: str, value: object) -> bool:
    if value in (None, False):
        return False
    if key.strip("_").startswith(("attn_implementation", "experts_implementation")):
        chosen = value.values() if isinstance(value, Mapping) else [value]
        return not all(each in _IMPLEMENTATIONS for each in chosen)
    return key in _FETCHED or (key == "model_type" and str(value).startswith("timm"))


def _entries(value: object) -> Iterator[tuple[str, Any]]:
    """Every entry at any depth."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield str(key), inner
            yield from _entries(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _entries(inner)
