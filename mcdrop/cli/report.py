"""`mcdrop report`: predictions scored against outcomes, and limits for continuous integration."""

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from rich.console import Console

from mcdrop.cli.loading import check_places, refuse_overwriting
from mcdrop.cli.options import AllowPackage, ClassAxis, Device, JsonFile, NSamples, Output, Seed, Target
from mcdrop.cli.sources import Source, judged
from mcdrop.cli.steps import Sampling
from mcdrop.comparison import Comparison, compare
from mcdrop.datafiles import read_column
from mcdrop.errors import OptionError
from mcdrop.evaluation import Prediction, Report, evaluate
from mcdrop.report.documents import Document, document_of, document_of_comparison
from mcdrop.report.files import read_json, write_html, write_json, write_markdown
from mcdrop.report.gates import Gate, check_gates, gates_from_options
from mcdrop.report.terminal import render, render_comparison

__all__ = ["command"]

CHECK_FAILED: Final = 1

Limit = Annotated[
    float | None,
    typer.Option(
        metavar="NUMBER", rich_help_panel="Limits: exit code 1 if one is not met", show_default=False
    ),
]
Scored = Annotated[
    str | None,
    typer.Argument(
        metavar="SOURCE",
        help="Directory of a checkpoint (DIR@2 pins its version 2), module:factory, or an .npz file of "
        "predictions: saved by mcdrop, or with arrays probabilities, samples, or mean and std.",
        show_default=False,
    ),
]
DataFile = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE", help="Rows with their outcomes: .npz, .csv or .parquet.", show_default=False
    ),
]


def command(
    source: Scored = None,
    *,
    data: DataFile = None,
    html: Annotated[
        Path | None, typer.Option("--html", metavar="FILE", help="Write one page that needs nothing else.")
    ] = None,
    markdown: Annotated[
        Path | None, typer.Option("--markdown", metavar="FILE", help="Write the tables as Markdown.")
    ] = None,
    json: JsonFile = None,
    group_by: Annotated[
        str | None, typer.Option(metavar="COLUMN", help="Of the data: score each of its values apart.")
    ] = None,
    ood: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Rows from another distribution: are they told apart?"),
    ] = None,
    compare_: Annotated[
        tuple[Path, Path] | None,
        typer.Option("--compare", metavar="A.json B.json", help="Instead: two reports side by side."),
    ] = None,
    n_samples: NSamples = None,
    seed: Seed = None,
    bins: Annotated[int, typer.Option(metavar="N", min=1, help="Of the calibration errors.")] = 15,
    level: Annotated[float, typer.Option(help="Confidence of the scores' intervals.")] = 0.95,
    coverage: Annotated[float, typer.Option(help="Nominal coverage of the intervals to check.")] = 0.9,
    target: Target = "y",
    task: Annotated[
        str | None, typer.Option(help="Of a factory's model, or of predictions.", show_default=False)
    ] = None,
    output: Output = None,
    class_axis: ClassAxis = None,
    device: Device = None,
    allow_package: AllowPackage = None,
    max_aurc: Limit = None,
    max_brier: Limit = None,
    max_coverage: Limit = None,
    max_crps: Limit = None,
    max_ece: Limit = None,
    max_ece_l2: Limit = None,
    max_ece_smooth: Limit = None,
    max_ence: Limit = None,
    max_mae: Limit = None,
    max_nll: Limit = None,
    max_overconfidence: Limit = None,
    max_qce: Limit = None,
    max_rmse: Limit = None,
    max_width: Limit = None,
    min_accuracy: Limit = None,
    min_coverage: Limit = None,
    min_error_auroc: Limit = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="Judge the worse end of each interval, not the value.")
    ] = False,
) -> None:
    """Score the Monte Carlo prediction beside the deterministic one, and check limits.

    mcdrop report models/digits --data models/digits/test.npz --html report.html --max-ece 0.03
    """
    limits = {
        "max_aurc": max_aurc,
        "max_brier": max_brier,
        "max_coverage": max_coverage,
        "max_crps": max_crps,
        "max_ece": max_ece,
        "max_ece_l2": max_ece_l2,
        "max_ece_smooth": max_ece_smooth,
        "max_ence": max_ence,
        "max_mae": max_mae,
        "max_nll": max_nll,
        "max_overconfidence": max_overconfidence,
        "max_qce": max_qce,
        "max_rmse": max_rmse,
        "max_width": max_width,
        "min_accuracy": min_accuracy,
        "min_coverage": min_coverage,
        "min_error_auroc": min_error_auroc,
    }
    gates = gates_from_options(limits)
    if strict and not gates:
        raise OptionError("--strict is about limits such as --max-ece; give at least one")
    outputs = _Outputs(html, markdown, json)
    check_places(*outputs.given())
    if compare_ is not None:
        _compare(compare_, outputs, source=source, gates=gates)
        return
    if source is None:
        raise OptionError("report needs a SOURCE, or two reports with --compare A.json B.json")
    for path in (data, ood, Path(source)):
        if path is not None and path.is_file():
            refuse_overwriting(path, html, markdown, json)
    sampling = Sampling(n_samples, seed, exact=False, keep_samples=None)
    wanted = Source(
        source, data, target, ood, task, sampling, device, allow_package, output, class_axis, group_by
    )
    found = _evaluated(wanted, {"bins": bins, "level": level, "coverage_level": coverage})
    failures = check_gates(found, gates, strict=strict)
    _show(found, outputs)
    _judge(gates, failures)


@dataclass(frozen=True)
class _Outputs:
    html: Path | None
    markdown: Path | None
    json: Path | None

    def given(self) -> list[Path]:
        return [path for path in (self.html, self.markdown, self.json) if path is not None]

    def write(self, found: Report | Comparison, document: Document) -> None:
        if self.json is not None:
            write_json(found, self.json)
        if self.markdown is not None:
            write_markdown(document, self.markdown)
        if self.html is not None:
            write_html(document, self.html)


def _evaluated(source: Source, options: dict[str, Any]) -> Report:
    scored, group_by = judged(source), source.group_by
    groups = None if group_by is None else read_column(source.rows_file(), group_by, gaps=True)
    facts = {**scored.facts, "command": _command_line(source, scored.pred, options)}
    return evaluate(
        scored.pred,
        scored.y,
        before=scored.before,
        groups=groups,
        group_by=group_by,
        elsewhere=scored.elsewhere,
        classes=scored.classes,
        facts=facts,
        **options,
    )


def _command_line(source: Source, pred: Prediction, options: Mapping[str, Any]) -> str:
    """The command that makes the same report again, with what was left to defaults spelled out."""
    sampled = {} if source.is_file else {"n-samples": pred.n_samples, "seed": pred.seed}
    named = {
        "data": source.data,
        "ood": source.elsewhere,
        "group-by": source.group_by,
        "task": source.task,
        "output": source.output,
        "class-axis": source.class_axis,
        "device": source.device,
        **sampled,
        "target": source.target,
        "bins": options["bins"],
        "level": options["level"],
        "coverage": options["coverage_level"],
    }
    words = ["mcdrop", "report", source.name]
    for name, value in named.items():
        words += [] if value is None else [f"--{name}", str(value)]
    for package in source.allow or ():
        words += ["--allow-package", package]
    return shlex.join([*words, "--html", "report.html"])


def _compare(
    paths: tuple[Path, Path], outputs: _Outputs, *, source: str | None, gates: tuple[Gate, ...]
) -> None:
    if source is not None or gates:
        raise OptionError("--compare takes two reports as JSON, and no SOURCE or limits beside them")
    for path in paths:
        if path.is_file():
            refuse_overwriting(path, *outputs.given())
    first, second = (read_json(path) for path in paths)
    found = compare(first, second, names=(paths[0].name, paths[1].name))
    outputs.write(found, document_of_comparison(found))
    Console().print(render_comparison(found))


def _show(found: Report, outputs: _Outputs) -> None:
    outputs.write(found, document_of(found))
    Console().print(render(found))


def _judge(gates: tuple[Gate, ...], failures: list[str]) -> None:
    if failures:
        typer.echo(f"failed: {'; '.join(failures)}", err=True)
        raise typer.Exit(CHECK_FAILED)
    if gates:
        typer.echo(f"all limits are met: {', '.join(map(str, gates))}")
