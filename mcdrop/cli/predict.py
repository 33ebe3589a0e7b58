"""`mcdrop predict`: the rows of a data file, with their uncertainty."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from mcdrop.cli.loading import check_places, loaded_model, manifest_of, model_data, refuse_overwriting
from mcdrop.cli.options import AllowPackage, Checkpoint, Device, NSamples, Seed, Target
from mcdrop.cli.steps import Sampling, predictions
from mcdrop.cli.tables import prediction_table
from mcdrop.errors import OptionError
from mcdrop.predictionfiles import check_output, write_predictions

__all__ = ["command"]

_DATA = "Rows to predict: .npz (one array for each input), .csv or .parquet (named columns)."
_TOLERANCE = (
    "Each row takes samples until the standard error of its mean is at most this, in units of the mean."
)
_MOST = "With --tolerance: what a row takes at most."
_OUT = "Write all outputs of all rows: .csv, .npz, .json or .parquet. An existing FILE is replaced."


def command(
    checkpoint: Checkpoint,
    data: Annotated[Path, typer.Argument(metavar="DATA", help=_DATA, show_default=False)],
    *,
    out: Annotated[Path | None, typer.Option(metavar="FILE", help=_OUT)] = None,
    n_samples: NSamples = None,
    tolerance: Annotated[float | None, typer.Option(metavar="ERROR", help=_TOLERANCE)] = None,
    max_samples: Annotated[
        int | None, typer.Option(metavar="N", min=32, help=_MOST, show_default="1024")
    ] = None,
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
        check_places(out)
    if tolerance is not None and n_samples is not None:
        raise OptionError("--tolerance decides how many samples a row takes; leave --n-samples out")
    mc = loaded_model(checkpoint, device=device, allow=allow_package)
    rows = model_data(manifest_of(mc), data, target=target)
    refuse_overwriting(data, out)
    sampling = Sampling(n_samples, seed, exact, keep_samples, tolerance, max_samples)
    found = predictions(mc, rows, sampling)
    if out is None:
        Console().print(prediction_table(found, manifest_of(mc)))
    else:
        write_predictions(found, out)
        for note in found.notes:
            typer.echo(f"note: {note}", err=True)
