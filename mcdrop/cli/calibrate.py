"""`mcdrop calibrate`: calibrators fitted on held-out rows, in a new version of the checkpoint."""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer
from rich.console import Console
from rich.table import Table

from mcdrop.calibrating import FROM_ERRORS, METHODS
from mcdrop.calibration.fitted import data_digest
from mcdrop.calibration.std_scaling import LevelStdScaling
from mcdrop.checkpoint import Manifest, resolve_version, versions
from mcdrop.checkpoint.manifest import README_FILE
from mcdrop.checkpoint.versions import expected_version
from mcdrop.cli.crossfit import CLOSE, LEVEL, Fit, Judged, crossfitted, fitted, predicted
from mcdrop.cli.loading import loaded_model, manifest_of, model_data, targets
from mcdrop.cli.options import AllowPackage, Checkpoint, Device, NSamples, Seed, Target
from mcdrop.datafiles import Data
from mcdrop.errors import DomainError, OptionError
from mcdrop.evaluation import Report, evaluate
from mcdrop.intervals import Interval
from mcdrop.mcdropout import MCDropout
from mcdrop.report.wording import ends, number, titled
from mcdrop.scoring import FEW_EVENTS

__all__ = ["command"]

_METHOD = f"One of {', '.join(METHODS)}; may be repeated, in the order in which they are to be applied."


def command(
    checkpoint: Checkpoint,
    *,
    data: Annotated[
        Path,
        typer.Option(metavar="FILE", help="Held-out rows with their outcomes: .npz, .csv or .parquet."),
    ],
    method: Annotated[list[str], typer.Option(metavar="METHOD", help=_METHOD)],
    level: Annotated[float, typer.Option(help="Coverage that intervals and sets promise.")] = 0.9,
    risk: Annotated[float, typer.Option(help="Share of errors that `selective` promises.")] = 0.05,
    confidence: Annotated[float, typer.Option(help="With which it promises it.")] = 0.9,
    folds: Annotated[int, typer.Option(metavar="K", min=2, help="For the table of what changes.")] = 5,
    n_samples: NSamples = None,
    seed: Seed = None,
    target: Target = "y",
    force: Annotated[
        bool, typer.Option("--force", help="Calibrate even on the rows that the network was trained on.")
    ] = False,
    device: Device = None,
    allow_package: AllowPackage = None,
) -> None:
    """Fit calibrators on held-out rows, and write them with the weights as a new version beside the old.

    mcdrop calibrate models/digits --data models/digits/validation.npz --method temperature --method sets

    The table tells what changes: every row is corrected by calibrators fitted on the other folds. What is
    written was fitted on all rows; vector and isotonic on one half if sets or selective have the other.
    """
    mc = loaded_model(checkpoint, device=device, allow=allow_package)
    _check_methods(mc, method)
    rows = model_data(manifest_of(mc), data, target=target)
    outcomes = targets(manifest_of(mc), rows, target=target)
    _check_held_out(manifest_of(mc), rows, data, force=force)
    y = torch.as_tensor(outcomes)
    digest = data_digest(*rows.inputs.values(), outcomes)
    options = {"level": level, "risk": risk, "confidence": confidence, "digest": digest}
    fit = Fit(tuple(method), options, n_samples, seed)
    _check_unseen(mc, fit, digest)
    new = fitted(mc, rows, y, fit, range(len(rows)))
    found = crossfitted(mc, rows, y, fit, folds=folds)
    before = predicted(mc, rows, fit, range(len(rows)))
    report = evaluate(found.pred, y, before=before, coverage_level=LEVEL)
    path = _write(new, checkpoint, fit, report, found)
    Console().print(_table(report, found, folds))
    typer.echo(f"wrote {path}: {', '.join(method)}, fitted on {len(rows)} rows")
    for note in _notes(new, fit, report):
        typer.echo(f"note: {note}")


def _notes(new: MCDropout, fit: Fit, report: Report) -> Iterator[str]:
    if fit.is_halved:
        yield (
            "what promises was fitted on one half of the rows, all else on the other: vector scaling and "
            "isotonic maps follow the rows that they are fitted on, and a promise about those would not hold"
        )
    if any(isinstance(each, LevelStdScaling) and not each.edges for each in new.calibrators):
        yield "std-levels found one level, so it is the same as std; 100 rows make two levels"
    accuracy = next((each.value for each in report.before if each.name == "accuracy"), 0.0)
    wrong = round((1 - accuracy) * report.n_rows)
    if wrong < FEW_EVENTS and not FROM_ERRORS.isdisjoint(fit.methods):
        yield (
            f"{wrong} of {report.n_rows} rows are wrong, and what is fitted to probabilities rests on those: "
            "look at mcdrop report on other rows before you rely on it"
        )


def _check_methods(mc: MCDropout, methods: list[str]) -> None:
    known = [name for name, each in METHODS.items() if mc.task in each.tasks]
    unknown = [name for name in methods if name not in known]
    if unknown:
        names = ", ".join(known) or "none"
        raise OptionError(f"methods for the task {mc.task} are {names}; got {unknown[0]!r}")


def _check_unseen(mc: MCDropout, fit: Fit, digest: str) -> None:
    """See that no promise is fitted on rows that a calibrator of the checkpoint has followed closely."""
    kinds = frozenset[str]().union(*CLOSE.values())
    followed = [each.kind for each in mc.calibrators if each.kind in kinds]
    same = {each.kind for each in mc.calibrators if each.fitted_with.data_digest == digest}
    if fit.promises and same.intersection(followed):
        raise DomainError(
            f"{', '.join(followed)} of this version was fitted on these rows and follows them, so what is "
            "promised about them would not hold for others: give other rows, or fit both at once from the "
            "version before (DIR@1), which gives each a half"
        )


def _check_held_out(manifest: Manifest, rows: Data, path: Path, *, force: bool) -> None:
    if not force and manifest.training.get("digest") in set(_digests(rows)):
        raise DomainError(
            f"{path} holds the rows that the network was trained on; it is surer of them than of others, so "
            "calibrate on rows that were held out (--force calibrates on these all the same)"
        )


def _digests(rows: Data) -> Iterator[str]:
    """The digests that a recipe may have written of these rows: bytes of the inputs, then of the outcomes."""
    if rows.y is None or rows.y.dtype.kind == "U":
        return
    yield data_digest(*rows.inputs.values(), rows.y)
    inputs = b"".join(np.ascontiguousarray(values).tobytes() for values in rows.inputs.values())
    for dtype in {rows.y.dtype, *map(np.dtype, ("float32", "float64", "int64"))}:
        content = inputs + np.ascontiguousarray(rows.y, dtype=dtype).tobytes()
        yield f"sha256:{hashlib.sha256(content).hexdigest()}"


def _write(mc: MCDropout, checkpoint: str, fit: Fit, report: Report, found: Judged) -> Path:
    """The next version, beside the one that was calibrated."""
    source = resolve_version(checkpoint)
    home = source.parent if expected_version(source) == source.name else source
    version = max(versions(home)) + 1
    manifest = manifest_of(mc)
    sampling = manifest.sampling.model_copy(
        update={"n_samples": fit.n_samples or mc.n_samples, "seed": mc.seed if fit.seed is None else fit.seed}
    )
    mc.save(
        home / str(version),
        architecture=manifest.architecture,
        name=manifest.name,
        readme=_card(source, fit, report, found),
        version=str(version),
        inputs=manifest.inputs,
        outputs=manifest.outputs,
        classes=manifest.classes,
        sampling=sampling,
        exact=manifest.exact,
        training=manifest.training,
    )
    return home / str(version)


def _card(source: Path, fit: Fit, report: Report, found: Judged) -> str:
    """The model card, with what the calibration changed."""
    old = (source / README_FILE).read_text() if (source / README_FILE).exists() else f"# {source.name}\n"
    rows = [f"| {' | '.join(cells)} |" for cells in _cells(report, found)]
    table = "\n".join(["| score | before | after | difference |", "|---|---|---|---|", *rows])
    methods = ", ".join(fit.methods)
    text = f"Fitted on {report.n_rows} held-out rows: {methods}. No row is scored by what it helped to fit."
    return f"{old.rstrip()}\n\n## Calibration\n\n{text}\n\n{table}\n"


def _table(report: Report, found: Judged, folds: int) -> Table:
    table = Table(
        title=f"what changes, on {report.n_rows} rows in {folds} folds ({report.level:.0%} intervals)",
        title_justify="left",
        show_edge=False,
        pad_edge=False,
        header_style="bold",
    )
    table.add_column("score")
    for name in ("before", "after", "difference"):
        table.add_column(name, justify="right")
    for cells in _cells(report, found):
        table.add_row(*cells)
    return table


def _cells(report: Report, found: Judged) -> Iterator[tuple[str, str, str, str]]:
    before = {(each.name, each.output): each.value for each in report.before}
    changes = {(each.name, each.output): each for each in report.against_before}
    for score in report.scores:
        key = score.name, score.output
        change = changes.get(key)
        gap = "" if change is None else _with_ends(change.value, change.interval)
        yield (
            titled(*key, report.coverage_level),
            number(before.get(key)),
            _with_ends(score.value, score.interval),
            gap,
        )
    for score in found.promises:
        yield score.name, "", _with_ends(score.value, score.interval), ""


def _with_ends(value: float, interval: Interval | None) -> str:
    return number(value) if interval is None else f"{number(value)} ({ends(interval)})"
