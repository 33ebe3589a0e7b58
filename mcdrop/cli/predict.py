"""`mcdrop predict`: the rows of a data file, with their uncertainty."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from mcdrop.cli.loading import loaded_model, manifest_of, model_data, refuse_overwriting
from mcdrop.cli.options import AllowPackage, Checkpoint, Device, NSamples, Seed, Target
from mcdrop.cli.steps import Sampling, predictions
from mcdrop.cli.tables import prediction_table
from mcdrop.datafiles import check_output, write_predictions

__all__ = ["command"]

_DATA = "Rows to predict: .npz (one array for each input), .csv or .parquet (named columns)."
_OUT = "Write all outputs of all rows: .csv, .npz, .json or .parquet. An existing FILE is replaced."


def command(
    checkpoint: Checkpoint,
    data: Annotated[Path, typer.Argument(metavar="DATA", help=_DATA, show_default=False)],
    *,
    out: Annotated[Path | None, typer.Option(metavar="FILE", help=_OUT)] = None,
    n_samples: NSamples = None,
    seed: Seed = None,
    exact: Annotated[bool, typer.Option("--exact", help="Compute the same bits as the service.")] = False,
    keep_samples: Annotated[
        bool, typer.Option("--keep-samples", help="Keep every sample in an .npz FILE.")
    ] = False,
    target: Target = "y",
    device: Device = None,
    allow_package: AllowPackage = None,
) -> None:
    """Predict the rows of a data file, with their uncertainty; print the first of them or write them all.

    mcdrop predict models/digits models/digits/test.npz --out predictions.csv
    """
    if out is not None:
        check_output(out)
    mc = loaded_model(checkpoint, device=device, allow=allow_package)
    rows = model_data(manifest_of(mc), data, target=target)
    refuse_overwriting(data, out)
    found = predictions(mc, rows, Sampling(n_samples, seed, exact, keep_samples))
    if out is None:
        Console().print(prediction_table(found, manifest_of(mc)))
    else:
        write_predictions(found, out)
