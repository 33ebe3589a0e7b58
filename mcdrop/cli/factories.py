"""A model that `module:factory` on the command line makes: what a user names there, she trusts."""

import inspect
from inspect import Parameter
from pathlib import Path

from torch import nn

from mcdrop.checkpoint import Architecture, build
from mcdrop.cli.working_directory import look_here
from mcdrop.errors import OptionError
from mcdrop.loading import usable_device

__all__ = ["input_names", "is_factory", "made_model"]


def is_factory(source: str) -> bool:
    """Whether a source is `module:factory`, and not a path that has a colon in it."""
    return ":" in source and not Path(source.partition("@")[0]).exists()


def made_model(name: str, *, device: str | None) -> nn.Module:
    """The model that a function makes, in eval mode: that a new one is in train mode is no finding.

    Args:
        name: `package.module:factory`, installed or in the working directory.
        device: Where it runs; the CPU by default.

    Raises:
        OptionError: If a file is named in place of a module, or there is no such device.
        CheckpointError: If there is no such function, or it makes no model.
    """
    module, _, function = name.partition(":")
    if module.endswith(".py"):
        meant = ".".join(Path(module).with_suffix("").parts)
        raise OptionError(f"name the module and not its file: {meant}:{function}")
    look_here()
    model = build(Architecture(source="factory", name=name), allow={module.partition(".")[0]})
    return model.to(usable_device(device or "cpu")).eval()


def input_names(model: nn.Module) -> list[str]:
    """The arguments of forward that have to be given."""
    parameters = inspect.signature(model.forward).parameters.values()
    kinds = (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD)
    needed = [each.name for each in parameters if each.kind in kinds and each.default is Parameter.empty]
    return needed or ["x"]
