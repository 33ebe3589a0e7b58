"""`mcdrop inspect`: what a checkpoint is, what in it is random, and what is wrong with it."""

import json as json_format
from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from rich.console import Console
from rich.table import Table

from mcdrop import inspection
from mcdrop.checkpoint import Manifest
from mcdrop.cli.findings import findings_text, measured_text, sites_table
from mcdrop.cli.loading import check_places, manifest_of, refuse_overwriting
from mcdrop.cli.options import (
    DEFAULT_TARGET,
    AllowPackage,
    ClassAxis,
    Device,
    JsonFile,
    NSamples,
    Output,
    Seed,
    Target,
)
from mcdrop.cli.patient import Patient, Wanted, patient
from mcdrop.datafiles import replacing
from mcdrop.errors import McdropError, OptionError
from mcdrop.inspection import Inspection, Severity
from mcdrop.mcdropout import MCDropout

__all__ = ["command"]

CHECK_FAILED: Final = 1

Source = Annotated[
    str,
    typer.Argument(
        metavar="CHECKPOINT|MODULE:FACTORY",
        help="Directory of a checkpoint (DIR@2 pins its version 2), or a function that makes a model.",
        show_default=False,
    ),
]
Data = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE", help="Typical rows (.npz, .csv or .parquet), with outcomes if there are any."
    ),
]
FailOn = Annotated[
    str | None,
    typer.Option(
        metavar="SEVERITY", help="Exit code 1 if there is a finding so grave: hint, warning, error."
    ),
]
Plot = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Draw what each site carries: .svg, .png or .pdf."),
]


def command(
    source: Source,
    *,
    data: Data = None,
    json: JsonFile = None,
    plot: Plot = None,
    fail_on: FailOn = None,
    n_samples: NSamples = None,
    seed: Seed = None,
    precision: Annotated[
        float, typer.Option(help="Monte Carlo error of the mean that is asked for, in standard deviations.")
    ] = 0.25,
    task: Annotated[
        str | None, typer.Option(help="Of the model that a factory makes; without it outputs are raw.")
    ] = None,
    output: Output = None,
    class_axis: ClassAxis = None,
    target: Target = DEFAULT_TARGET,
    device: Device = None,
    allow_package: AllowPackage = None,
) -> None:
    """Show what a model is, what in it is random, how much each site carries, and what is wrong.

    mcdrop inspect models/digits --data models/digits/test.npz --fail-on warning
    """
    _check_options(fail_on, plot, data, json)
    looked_at = patient(Wanted(source, data, target, task, device, allow_package, output, class_axis))
    found = _inspected(looked_at, n_samples=n_samples, seed=seed, precision=precision)
    if json is not None:
        _write(looked_at.mc, found, json)
    if plot is not None:
        with replacing(plot) as partial:
            inspection.save_chart(found, partial, kind=plot.suffix.removeprefix("."))
    _show(looked_at, found)
    _judge(found, fail_on)


def _check_options(fail_on: str | None, plot: Path | None, data: Path | None, json: Path | None) -> None:
    words = [severity.word for severity in Severity]
    if fail_on is not None and fail_on not in words:
        raise OptionError(f"--fail-on must be one of {', '.join(words)}, got {fail_on!r}")
    if plot is not None and plot.suffix not in inspection.CHART_KINDS:
        raise OptionError(f"--plot must end in {', '.join(inspection.CHART_KINDS)}, got {plot.name!r}")
    check_places(json, plot)
    if data is not None:
        refuse_overwriting(data, json, plot)


def _inspected(looked_at: Patient, **options: Any) -> Inspection:
    given = {"y": looked_at.y, "model_kwargs": looked_at.named, **options}
    try:
        with _waiting():
            return inspection.inspect(looked_at.mc, *looked_at.inputs, **given)
    except McdropError:
        raise
    except (RuntimeError, TypeError, IndexError) as error:  # the model's own: other inputs than it takes
        said = str(error).partition("\n")[0]
        raise OptionError(f"the model fails on {looked_at.rows}: {said}") from error


def _waiting() -> AbstractContextManager[object]:
    """A sign on standard error that something is going on, where that is a terminal."""
    console = Console(stderr=True)
    return console.status("measuring each site") if console.is_terminal else nullcontext()


def _show(looked_at: Patient, found: Inspection) -> None:
    console, mc = Console(), looked_at.mc
    if mc.manifest is not None:
        console.print(_pairs("", _facts(mc)))
        if found.sites:
            console.print(_pairs(f"fingerprint {mc.fingerprint_id()}", mc.fingerprint()))
    console.print(sites_table(found) if found.sites else "no random sites")
    console.print(measured_text(found, looked_at.rows))
    console.print(findings_text(found))


def _judge(found: Inspection, fail_on: str | None) -> None:
    grave = () if fail_on is None else found.at_least(fail_on)
    if grave:
        codes = ", ".join(sorted({finding.code for finding in grave}))
        typer.echo(f"failed: findings of severity {fail_on} or above ({codes})", err=True)
        raise typer.Exit(CHECK_FAILED)


def _facts(mc: MCDropout) -> dict[str, object]:
    manifest = manifest_of(mc)
    sampling, exact = manifest.sampling, manifest.exact
    facts = {
        "model": f"{manifest.name}, version {manifest.version}",
        "digest": mc.digest,
        "task": manifest.task if manifest.tau is None else f"{manifest.task}, tau = {manifest.tau:.4g}",
        "architecture": f"{manifest.architecture.source} {manifest.architecture.name}",
        "arguments": _listing(manifest.architecture.arguments.items()),
        "parameters": f"{sum(parameter.numel() for parameter in mc.model.parameters()):,}",
        "inputs": "; ".join(_input_text(manifest)),
        "classes": ", ".join(manifest.classes or ()),
        "outputs": ", ".join(manifest.outputs.names or ()),
        "units": manifest.outputs.units,
        "samples": f"{sampling.n_samples}, seed {sampling.seed}",
        "masks": f"{sampling.masks}, {sampling.rng}",
        "exact mode": f"{exact.rows} rows in a block, {exact.strategy}",
        "training": _listing(manifest.training.items()),
        "scores": _listing(manifest.scores.items()),
    }
    return {name: value for name, value in facts.items() if value}


def _input_text(manifest: Manifest) -> Iterable[str]:
    for spec in manifest.inputs:
        shape = ", ".join(["N", *("any" if size < 0 else str(size) for size in spec.shape)])
        yield f"{spec.name} ({shape}) {spec.dtype}"


def _listing(items: Iterable[tuple[str, object]]) -> str:
    return ", ".join(_item_text(name, value) for name, value in items)


def _item_text(name: str, value: object) -> str:
    if isinstance(value, dict):
        return _listing((f"{name} {key}", inner) for key, inner in value.items())
    return f"{name} = {value:.4g}" if isinstance(value, float) else f"{name} = {value}"


def _pairs(title: str, pairs: dict[str, Any]) -> Table:
    table = Table(
        title=title or None,
        title_justify="left",
        title_style="bold",
        show_header=False,
        box=None,
        pad_edge=False,
    )
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in pairs.items():
        table.add_row(name, str(value))
    return table


def _write(mc: MCDropout, found: Inspection, path: Path) -> None:
    document: dict[str, Any] = found.to_dict()
    if mc.manifest is not None:
        document = {"digest": mc.digest, "manifest": mc.manifest.model_dump(mode="json"), **document}
        if found.sites:
            document |= {"fingerprint_id": mc.fingerprint_id(), "fingerprint": mc.fingerprint()}
    with replacing(path) as partial:
        text = json_format.dumps(document, indent=2, allow_nan=False)
        partial.write_text(f"{text}\n", encoding="utf-8")
