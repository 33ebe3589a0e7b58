"""Checkpoints: a directory that says what a model is, and can be loaded without running what it holds."""

from mcdrop.checkpoint.architecture import build
from mcdrop.checkpoint.files import Checkpoint, read_checkpoint, write_checkpoint
from mcdrop.checkpoint.manifest import (
    Architecture,
    Exact,
    InputSpec,
    Manifest,
    OutputSpec,
    Sampling,
    checked_part,
    manifest_schema,
)
from mcdrop.checkpoint.versions import resolve_version, versions

__all__ = [
    "Architecture",
    "Checkpoint",
    "Exact",
    "InputSpec",
    "Manifest",
    "OutputSpec",
    "Sampling",
    "build",
    "checked_part",
    "manifest_schema",
    "read_checkpoint",
    "resolve_version",
    "versions",
    "write_checkpoint",
]
