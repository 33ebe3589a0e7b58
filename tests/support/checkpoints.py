"""Small checkpoints, and ways to spoil them."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn

from mcdrop import zoo
from mcdrop.checkpoint import Architecture, InputSpec, Manifest, write_checkpoint
from mcdrop.checkpoint.manifest import MANIFEST_FILE, WEIGHTS_FILE

HIDDEN = 4
"""Units of the small network, so that its checkpoint has a few kilobytes."""


def small_manifest(**changes: Any) -> Manifest:
    """The manifest of `small_model()`, with some fields changed."""
    fields: dict[str, Any] = {
        "name": "small",
        "task": "regression",
        "architecture": Architecture(
            source="zoo", name="diabetes_mlp", arguments={"hidden": HIDDEN, "p": 0.5}
        ),
        "inputs": [InputSpec(name="columns", dtype="float32", shape=[10])],
    }
    return Manifest(**{**fields, **changes})


def small_model() -> nn.Module:
    """A network from the zoo, whose weights are 0.00, 0.01, 0.02, ..."""
    model = zoo.create("diabetes_mlp", hidden=HIDDEN, p=0.5)
    start = 0
    for parameter in model.parameters():
        values = torch.arange(start, start + parameter.numel()) / 100
        parameter.data.copy_(values.reshape(parameter.shape))
        start += parameter.numel()
    return model


def small_checkpoint(path: Path, **changes: Any) -> Path:
    """A checkpoint of `small_model()` at that path."""
    return write_checkpoint(path, small_manifest(**changes), small_model(), readme="# Small\n")


def edit_manifest(path: Path, change: Callable[[dict[str, Any]], object]) -> Path:
    """Change the JSON document of a checkpoint in place; nothing is checked."""
    file = path / MANIFEST_FILE
    document = json.loads(file.read_text())
    change(document)
    file.write_text(json.dumps(document))
    return path


def replace_weights(path: Path, contents: bytes) -> Path:
    """Put other weights into a checkpoint, and their true hash into its manifest."""
    (path / WEIGHTS_FILE).write_bytes(contents)
    digest = hashlib.sha256(contents).hexdigest()
    return edit_manifest(path, lambda document: document["files"].update({WEIGHTS_FILE: digest}))
