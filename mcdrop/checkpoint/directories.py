"""Model directories of transformers and timm: a `config.json` and safetensors files, for packing.

Nothing else of a directory is read: no pickle, no Python file, no adapter. What comes out is the architecture
of a checkpoint and a model with the directory's weights.
"""

import json
from collections.abc import Callable, Mapping
from os import PathLike
from pathlib import Path
from typing import Any, Final

from torch import nn

from mcdrop.checkpoint.architecture import build
from mcdrop.checkpoint.libraries import check_configuration, huggingface_class, offline
from mcdrop.checkpoint.manifest import WEIGHTS_FILE, Architecture, checked_part
from mcdrop.checkpoint.strict_json import parse_strict_json
from mcdrop.checkpoint.weights import load_into, parse_weights
from mcdrop.errors import CheckpointError, McdropError

__all__ = ["SOURCES", "huggingface_architecture", "read_model_directory"]

_CONFIG: Final = "config.json"
_SHARDS: Final = "model.safetensors.index.json"
_ADAPTER: Final = "adapter_config.json"
_NO_ARGUMENTS: Final = frozenset({"_name_or_path", "architectures", "transformers_version"})

Model = tuple[Architecture, nn.Module]


def read_model_directory(source: str, path: str | PathLike[str]) -> Model:
    """The architecture and the model of a directory.

    Args:
        source: One of `SOURCES`.
        path: As `model.save_pretrained(path)` of transformers or `timm.models.save_for_hf` writes it.

    Returns:
        What a checkpoint says of the architecture, and the model in eval mode.

    Raises:
        CheckpointError: If something is missing, would run code or fetch anything, does not fit, or the
            library is not installed.
    """
    directory = Path(path)
    config = _config(directory)
    if (directory / _ADAPTER).exists():
        raise CheckpointError(f"{directory} holds an adapter; merge it into its model first, and save that")
    if not any((directory / name).is_file() for name in (WEIGHTS_FILE, _SHARDS)):
        todo = "save it again with model.save_pretrained(path)"
        raise CheckpointError(f"{directory} has no {WEIGHTS_FILE}, and other files are not read; {todo}")
    try:
        architecture, model = SOURCES[source](directory, config)
    except McdropError:
        raise
    except Exception as error:  # whatever the library makes of the files, the directory is at fault
        reason = f"{type(error).__name__}: {error}"
        raise CheckpointError(f"{directory} cannot be read as a model of {source}; {reason}") from error
    return architecture, model.eval()


def huggingface_architecture(model: Any) -> Architecture:
    """What a checkpoint says of a model of transformers: its class and its whole configuration.

    Args:
        model: A `PreTrainedModel`.

    Raises:
        CheckpointError: If the configuration would run code, or fetch something.
    """
    config = model.config.to_dict()
    arguments = json.loads(json.dumps(config))
    implementation = {"attn_implementation": model.config._attn_implementation}  # noqa: SLF001  it has no other name
    return _architecture("huggingface", type(model).__name__, {**arguments, **implementation})


def _of_transformers(directory: Path, config: Mapping[str, Any]) -> Model:
    names = config.get("architectures") or [None]
    if len(names) != 1 or not isinstance(names[0], str):
        raise CheckpointError(f"{_CONFIG} must name one class in 'architectures', got {names!r}")
    _architecture("huggingface", names[0], config)
    kind = huggingface_class(names[0])
    with offline():
        model, told = kind.from_pretrained(
            directory,
            local_files_only=True,
            trust_remote_code=False,
            use_safetensors=True,
            output_loading_info=True,
        )
    missing = sorted(map(str, told["missing_keys"]))
    if missing:
        raise CheckpointError(f"{directory} has no weights for {missing[0]}, which {names[0]} needs")
    return huggingface_architecture(model), model


def _of_timm(directory: Path, config: Mapping[str, Any]) -> Model:
    name, arguments = config.get("architecture"), config.get("model_args") or {}
    if not isinstance(name, str) or not isinstance(arguments, dict):
        raise CheckpointError(f"{_CONFIG} must name a model of timm in 'architecture', got {name!r}")
    own = {key: config[key] for key in ("num_classes", "global_pool") if config.get(key) is not None}
    architecture = _architecture("timm", name, {**own, **arguments})
    model = build(architecture)
    load_into(model, parse_weights((directory / WEIGHTS_FILE).read_bytes(), {}))
    return architecture, model


def _architecture(source: str, name: str, config: Mapping[str, Any]) -> Architecture:
    arguments = {key: value for key, value in config.items() if key not in _NO_ARGUMENTS}
    check_configuration(source, arguments)
    return checked_part(Architecture, source=source, name=name, arguments=arguments)


def _config(directory: Path) -> dict[str, Any]:
    try:
        config = parse_strict_json((directory / _CONFIG).read_bytes())
    except OSError as error:
        raise CheckpointError(f"{directory / _CONFIG} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise CheckpointError(f"{_CONFIG} is not valid JSON: {error}") from error
    if not isinstance(config, dict):
        raise CheckpointError(f"{_CONFIG} must hold an object, got a {type(config).__name__}")
    return config


SOURCES: Final[dict[str, Callable[[Path, Mapping[str, Any]], Model]]] = {
    "huggingface": _of_transformers,
    "timm": _of_timm,
}
"""Reads a directory, by source."""
