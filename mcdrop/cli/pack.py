"""`mcdrop pack`: a checkpoint of the weights in a `.pt` or `.ckpt` file, or in a directory of a library."""

import json
import re
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from torch import nn

from mcdrop import zoo
from mcdrop.checkpoint import Architecture, InputSpec, Manifest, Sampling, build, checked_part
from mcdrop.checkpoint.directories import SOURCES, read_model_directory
from mcdrop.checkpoint.pack import read_state_dict
from mcdrop.checkpoint.weights import Weights, load_into
from mcdrop.cli.working_directory import look_here
from mcdrop.engine.philox import MAX_SEED
from mcdrop.errors import OptionError
from mcdrop.mcdropout import MCDropout

__all__ = ["command"]

_INPUT: Final = re.compile(r"(?P<name>[^:]+):(?P<dtype>\w+)(:(?P<shape>(-?\d+(,-?\d+)*)?))?")

_ARCHITECTURE = (
    f"Name in the zoo ({', '.join(zoo.names())}), package.module:function that makes the model, or "
    f"{' or '.join(SOURCES)} where WEIGHTS is a model directory of that library."
)
_INPUT_HELP = "NAME:DTYPE:SHAPE of a row, as image:float32:1,8,8; -1 where a length varies. One for each."


def command(
    weights: Annotated[
        Path,
        typer.Argument(
            metavar="WEIGHTS",
            help="State dict that torch.save wrote, or a directory of transformers or timm; no code is run.",
        ),
    ],
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="Directory of the new checkpoint.")],
    *,
    architecture: Annotated[str, typer.Option(metavar="NAME", help=_ARCHITECTURE)],
    task: Annotated[
        str, typer.Option(help="classification, binary, multilabel, regression, heteroscedastic or raw.")
    ],
    inputs: Annotated[list[str], typer.Option("--input", metavar="SPEC", help=_INPUT_HELP)],
    arguments: Annotated[str, typer.Option(metavar="JSON", help="Keywords of the architecture.")] = "{}",
    output: Annotated[str, typer.Option(help="logits, probabilities or log_probabilities.")] = "logits",
    class_axis: Annotated[
        int | None,
        typer.Option(
            metavar="AXIS", help="Of the classes in the output: 1, or -1 for (N, T, C).", show_default="1"
        ),
    ] = None,
    columns: Annotated[
        str,
        typer.Option(
            metavar="NAMES",
            help="Columns that make the only input, in their order, with commas between: a table may then "
            "have others too, in any order.",
        ),
    ] = "",
    classes: Annotated[str, typer.Option(metavar="NAMES", help="In their order, with commas between.")] = "",
    tau: Annotated[float | None, typer.Option(help="Noise precision of a regression.")] = None,
    n_samples: Annotated[int, typer.Option(metavar="N", min=2, help="Default number of passes.")] = 128,
    seed: Annotated[
        int, typer.Option(metavar="N", min=0, max=MAX_SEED, help="Default seed of the masks.")
    ] = 0,
    masks: Annotated[str, typer.Option(help="consistent or independent.")] = "consistent",
    name: Annotated[str | None, typer.Option(help="Of the model.", show_default="that of DIR")] = None,
    key: Annotated[str | None, typer.Option(help="Where the state dict lies in the file.")] = None,
    prefix: Annotated[str, typer.Option(help="Take only tensors with this prefix, without it.")] = "",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the checkpoint in DIR.")] = False,
) -> None:
    """Make a checkpoint of the weights in a .pt or .ckpt file, or of a model directory.

    mcdrop pack net.pt models/net --architecture my.nets:make --task classification --input x:float32:1,8,8

    mcdrop pack ./bert models/bert --architecture huggingface --task classification --input input_ids:int64:-1

    A function's package is trusted here, since you name it; who loads the checkpoint must allow it again.
    """
    found, model = _model(weights, architecture, _json_object(arguments), key=key, prefix=prefix)
    manifest = checked_part(
        Manifest,
        name=name or directory.name,
        task=task,
        output=output,
        class_axis=1 if class_axis is None else class_axis,
        architecture=found,
        inputs=_input_specs(inputs, _names(columns)),
        classes=_names(classes),
        sampling=checked_part(Sampling, n_samples=n_samples, seed=seed, masks=masks),
        tau=tau,
    )
    _save(model.eval(), manifest, directory, class_axis=class_axis, overwrite=overwrite)
    allow = f" --allow-package {_package(found.name)}" if found.source == "factory" else ""
    typer.echo(f"wrote {directory}; look at it with: mcdrop inspect {directory}{allow}")


def _model(
    weights: Path, name: str, arguments: dict[str, Any], *, key: str | None, prefix: str
) -> tuple[Architecture, nn.Module]:
    """What the user names, with the weights in it."""
    if name in SOURCES:
        if arguments or key or prefix:
            raise OptionError(
                f"--arguments, --key and --prefix are not for {name}: its directory says it all"
            )
        return read_model_directory(name, weights)
    architecture = _architecture(name, arguments)
    look_here()
    model = build(architecture, allow={_package(name)})
    load_into(model, Weights(read_state_dict(weights, key=key, prefix=prefix), {}))
    return architecture, model


def _save(
    model: nn.Module, manifest: Manifest, directory: Path, *, class_axis: int | None, overwrite: bool
) -> None:
    mc = MCDropout(
        model,
        n_samples=manifest.sampling.n_samples,
        seed=manifest.sampling.seed,
        task=manifest.task,
        masks=manifest.sampling.masks,
        output=manifest.output,
        class_axis=class_axis,
        tau=manifest.tau,
    )
    mc.save(
        directory,
        architecture=manifest.architecture,
        overwrite=overwrite,
        name=manifest.name,
        inputs=manifest.inputs,
        classes=manifest.classes,
    )


def _package(factory: str) -> str:
    return factory.partition(":")[0].partition(".")[0]


def _architecture(name: str, arguments: dict[str, Any]) -> Architecture:
    source = "factory" if ":" in name else "zoo"
    return checked_part(Architecture, source=source, name=name, arguments=arguments)


def _json_object(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except ValueError as error:
        raise OptionError(f'--arguments must be JSON, as {{"width": 16}}, got {text!r} ({error})') from error
    if not isinstance(value, dict):
        raise OptionError(f'--arguments must be a JSON object, as {{"width": 16}}, got {text!r}')
    return value


def _names(text: str) -> list[str] | None:
    return [each.strip() for each in text.split(",")] if text else None


def _input_specs(texts: list[str], columns: list[str] | None) -> list[InputSpec]:
    specs = [_input_spec(text) for text in texts]
    if columns is None:
        return specs
    if len(specs) > 1 or specs[0].shape != [len(columns)]:
        raise OptionError(
            "--columns names the K columns of one input NAME:DTYPE:K, got "
            f"{len(columns)} for {', '.join(texts)}"
        )
    return [checked_part(InputSpec, **specs[0].model_dump() | {"columns": columns})]


def _input_spec(text: str) -> InputSpec:
    found = _INPUT.fullmatch(text)
    if found is None:
        raise OptionError(f"--input must be NAME:DTYPE:SHAPE, as image:float32:1,8,8, got {text!r}")
    shape = [int(size) for size in (found["shape"] or "").split(",") if size]
    return checked_part(InputSpec, name=found["name"], dtype=found["dtype"], shape=shape)
