"""`mcdrop report`: predictions scored against outcomes, and limits for continuous integration."""

from pathlib import Path
from typing import Annotated, Final

import typer
from rich.console import Console

from mcdrop.cli.loading import loaded_model, manifest_of, model_data, refuse_overwriting, targets
from mcdrop.cli.options import AllowPackage, Checkpoint, Device, JsonFile, NSamples, Seed, Target
from mcdrop.cli.steps import Sampling, predictions
from mcdrop.datafiles import replacing
from mcdrop.evaluation import Report, evaluate
from mcdrop.report.files import write_json
from mcdrop.report.gates import Gate, check_gates, gates_from_options
from mcdrop.report.terminal import render

__all__ = ["command"]

CHECK_FAILED: Final = 1

Limit = Annotated[
    float | None,
    typer.Option(
        metavar="NUMBER", rich_help_panel="Limits: exit code 1 if one is not met", show_default=False
    ),
]


def command(
    checkpoint: Checkpoint,
    *,
    data: Annotated[
        Path, typer.Option(metavar="FILE", help="Rows with their outcomes: .npz, .csv or .parquet.")
    ],
    json: JsonFile = None,
    n_samples: NSamples = None,
    seed: Seed = None,
    bins: Annotated[int, typer.Option(metavar="N", min=1, help="Of the calibration errors.")] = 15,
    level: Annotated[float, typer.Option(help="Confidence of the scores' intervals.")] = 0.95,
    target: Target = "y",
    device: Device = None,
    allow_package: AllowPackage = None,
    max_brier: Limit = None,
    max_coverage: Limit = None,
    max_crps: Limit = None,
    max_ece: Limit = None,
    max_mae: Limit = None,
    max_nll: Limit = None,
    max_qce: Limit = None,
    max_rmse: Limit = None,
    max_width: Limit = None,
    min_accuracy: Limit = None,
    min_coverage: Limit = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="Judge the worse end of each interval, not the value.")
    ] = False,
) -> None:
    """Score the Monte Carlo prediction beside the deterministic one, and check limits.

    mcdrop report models/digits --data models/digits/test.npz --max-ece 0.03
    """
    limits = {
        "max_brier": max_brier,
        "max_coverage": max_coverage,
        "max_crps": max_crps,
        "max_ece": max_ece,
        "max_mae": max_mae,
        "max_nll": max_nll,
        "max_qce": max_qce,
        "max_rmse": max_rmse,
        "max_width": max_width,
        "min_accuracy": min_accuracy,
        "min_coverage": min_coverage,
    }
    gates = gates_from_options(limits)
    refuse_overwriting(data, json)
    mc = loaded_model(checkpoint, device=device, allow=allow_package)
    rows = model_data(manifest_of(mc), data, target=target)
    outcomes = targets(manifest_of(mc), rows, target=target)
    sampling = Sampling(n_samples, seed, exact=False, keep_samples=True if mc.task == "regression" else None)
    found = evaluate(predictions(mc, rows, sampling), outcomes, bins=bins, level=level)
    failures = check_gates(found, gates, strict=strict)
    _show(found, json)
    _judge(gates, failures)


def _show(found: Report, json: Path | None) -> None:
    if json is not None:
        with replacing(json) as partial:
            write_json(found, partial)
    Console().print(render(found))


def _judge(gates: tuple[Gate, ...], failures: list[str]) -> None:
    if failures:
        typer.echo(f"failed: {'; '.join(failures)}", err=True)
        raise typer.Exit(CHECK_FAILED)
    if gates:
        typer.echo(f"all limits are met: {', '.join(map(str, gates))}")
