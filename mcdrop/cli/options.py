"""Arguments and options that several commands have."""

from pathlib import Path
from typing import Annotated, Final

import typer

from mcdrop.engine.philox import MAX_SEED

__all__ = [
    "DEFAULT_TARGET",
    "AllowPackage",
    "Checkpoint",
    "ClassAxis",
    "Device",
    "JsonFile",
    "NSamples",
    "Output",
    "Seed",
    "Target",
]

Checkpoint = Annotated[
    str,
    typer.Argument(
        metavar="CHECKPOINT", help="Directory of a checkpoint; DIR@2 pins its version 2.", show_default=False
    ),
]
Device = Annotated[
    str | None,
    typer.Option(envvar="MCDROP_DEVICE", help="Where to run: cpu, cuda, cuda:1, ...", show_default="cpu"),
]
AllowPackage = Annotated[
    list[str] | None,
    typer.Option(metavar="PACKAGE", help="Package whose factories may build the model; may be repeated."),
]
NSamples = Annotated[
    int | None, typer.Option(metavar="N", min=2, help="Stochastic passes.", show_default="the checkpoint's")
]
Seed = Annotated[
    int | None,
    typer.Option(metavar="N", min=0, max=MAX_SEED, help="Of the masks.", show_default="the checkpoint's"),
]
DEFAULT_TARGET: Final = "y"
Output = Annotated[
    str | None,
    typer.Option(
        help="What a factory's classifier returns: logits, probabilities or log_probabilities.",
        show_default="logits",
    ),
]
ClassAxis = Annotated[
    int | None,
    typer.Option(
        metavar="AXIS",
        help="Of the classes, in what a factory's classifier returns: 1, or -1 for (N, T, C).",
        show_default="1",
    ),
]
Target = Annotated[str, typer.Option(metavar="NAME", help="Column or array that holds the outcomes.")]
JsonFile = Annotated[
    Path | None,
    typer.Option("--json", metavar="FILE", help="Write the same as JSON; an existing FILE is replaced."),
]
