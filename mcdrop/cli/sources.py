"""What `mcdrop report` scores: a checkpoint or a factory's model with data, or saved predictions."""

import hashlib
import platform
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import torch

from mcdrop import __version__
from mcdrop.calibration.fitted import data_digest
from mcdrop.checkpoint import Checkpoint
from mcdrop.cli.factories import input_names, is_factory, made_model
from mcdrop.cli.loading import loaded_model, manifest_of, model_data, targets
from mcdrop.cli.steps import Sampling, predictions
from mcdrop.datafiles import Array, Data, read_arrays, read_column, read_data
from mcdrop.errors import DataFileError, OptionError
from mcdrop.evaluation import Prediction
from mcdrop.mcdropout import MCDropout
from mcdrop.predictive import Predictive, load_predictions
from mcdrop.tabulated import tabulated

__all__ = ["Judged", "Source", "judged"]

_NOT_SCORED: Final = frozenset({".csv", ".json", ".parquet"})
"""Endings of predictions that are written for others to read."""
_SAVED_BY_US: Final = "facts"  # the array in which `Predictive.save` says what it wrote


@dataclass(frozen=True)
class Source:
    """What the options say.

    Attributes:
        name: Checkpoint, `module:factory`, or an `.npz` file of predictions.
        data: Rows with outcomes.
        target: Name of the outcomes.
        elsewhere: Rows from another distribution.
        task: Of a factory's model, or of predictions from elsewhere.
        sampling: How to sample.
        device: Where to run.
        allow: Packages whose factories a checkpoint may name.
        output: What a factory's classifier returns; None for logits.
        class_axis: Of its classes; None if nothing was said.
        group_by: A column of the data that is not for the model.
    """

    name: str
    data: Path | None
    target: str
    elsewhere: Path | None
    task: str | None
    sampling: Sampling
    device: str | None
    allow: Collection[str] | None
    output: str | None = None
    class_axis: int | None = None
    group_by: str | None = None

    @property
    def is_file(self) -> bool:
        """Whether it is a file of predictions."""
        return self.name.endswith(".npz")

    @property
    def is_factory(self) -> bool:
        """Whether it is `module:factory`."""
        return not self.is_file and is_factory(self.name)

    def rows_file(self) -> Path:
        """Where columns of the rows are: the data, or the file of predictions."""
        return Path(self.name) if self.data is None else self.data


@dataclass(frozen=True)
class Judged:
    """Predictions beside their outcomes.

    Attributes:
        pred: Of all rows.
        y: Outcomes.
        before: The same without calibration, if there is any.
        elsewhere: Of the rows from another distribution, if there are any.
        classes: Their names.
        facts: About data and model.
    """

    pred: Prediction
    y: Array
    before: Prediction | None
    elsewhere: Prediction | None
    classes: Sequence[str] | None
    facts: dict[str, str]


def judged(source: Source) -> Judged:
    """Predictions, made or read, and what is known about them.

    Raises:
        OptionError: If options do not go together.
        CheckpointError: If a model cannot be loaded, or its code is not allowed.
        DataFileError: If a file cannot be read or does not fit.
    """
    if source.is_file:
        return _of_file(source)
    if Path(source.name).suffix in _NOT_SCORED:
        raise OptionError(
            f"predictions are scored as .npz, got {source.name!r}; mcdrop predict --out FILE.npz writes them"
        )
    if source.data is None:
        raise OptionError(
            f"{source.name} needs rows with outcomes to be scored on; give them with --data FILE"
        )
    return _of_factory(source, source.data) if source.is_factory else _of_checkpoint(source, source.data)


def _of_checkpoint(source: Source, data: Path) -> Judged:
    if (source.task, source.output, source.class_axis) != (None, None, None):
        raise OptionError(
            "a checkpoint has a task of its own; --task is for module:factory and predictions, --output and "
            "--class-axis for module:factory"
        )
    mc = loaded_model(source.name, device=source.device, allow=source.allow)
    manifest = manifest_of(mc)
    rows = model_data(manifest, data, target=source.target, aside=source.group_by)
    foreign = None
    if source.elsewhere is not None:
        foreign = _predicted(
            mc, model_data(manifest, source.elsewhere, target=source.target, aside=source.group_by), source
        )
    bare = _uncalibrated(mc)
    outcomes = targets(manifest, rows, target=source.target)
    pred = _predicted(mc, rows, source)
    fitted_here = _fitted_on(mc, data_digest(*rows.inputs.values(), outcomes))
    facts = {
        "model": manifest.name,
        "checkpoint": f"{source.name}, version {manifest.version}",
        "digest of the checkpoint": mc.digest or "",
        **_data_facts(source),
        **_calibrator_facts(mc),
        **_sampling_facts(mc),
        **_environment(),
        "fingerprint": mc.fingerprint_id(),
    }
    return Judged(
        replace(pred, notes=(*pred.notes, *fitted_here)),
        outcomes,
        None if bare is None else _predicted(bare, rows, source),
        foreign,
        manifest.classes,
        facts,
    )


def _of_factory(source: Source, data: Path) -> Judged:
    if source.task is None:
        raise OptionError(f"{source.name} says nothing of its task; give it with --task")
    model = made_model(source.name, device=source.device)
    mc = MCDropout(model, task=source.task, output=source.output or "logits", class_axis=source.class_axis)
    names = input_names(mc.model)
    rows = read_data(data, names, target=source.target, aside=source.group_by)
    outcomes = rows.outcomes(source.target)
    foreign = None
    if source.elsewhere is not None:
        foreign = _predicted(
            mc, read_data(source.elsewhere, names, target=source.target, aside=source.group_by), source
        )
    facts = {"model": source.name, **_data_facts(source), **_sampling_facts(mc), **_environment()}
    return Judged(_predicted(mc, rows, source), outcomes, None, foreign, None, facts)


def _of_file(source: Source) -> Judged:
    path = Path(source.name)
    pred, found = _read(path, source.task)
    if source.data is not None:
        y = read_column(source.data, source.target)
    elif source.target in found:
        y = found[source.target]
    else:
        raise DataFileError(
            f"{path} holds no outcomes named {source.target!r}; put them there, name them with "
            "--target, or give them with --data FILE"
        )
    if y.dtype.kind not in "biuf":
        raise DataFileError(
            f"{source.target} must be numbers beside saved predictions, which name no classes, got "
            f"{str(y.ravel()[0])!r}; write each class as its place among the probabilities, from 0, or score "
            "the checkpoint itself"
        )
    foreign = None if source.elsewhere is None else _read(source.elsewhere, source.task)[0]
    facts = {
        "model": f"predictions in {path.name}",
        "predictions": str(path),
        "digest of the predictions": _digest(path),
        **_data_facts(source),
        **_environment(),
    }
    return Judged(pred, y, None, foreign, None, facts)


def _read(path: Path, task: str | None) -> tuple[Prediction, dict[str, Array]]:
    arrays = read_arrays(path)
    if _SAVED_BY_US in arrays:
        return load_predictions(path), arrays
    return tabulated(arrays, task=task), arrays


def _predicted(mc: MCDropout, rows: Data, source: Source) -> Predictive:
    scored = mc.task in {"regression", "heteroscedastic"}
    keep = True if scored else source.sampling.keep_samples
    return predictions(mc, rows, replace(source.sampling, keep_samples=keep))


def _uncalibrated(mc: MCDropout) -> MCDropout | None:
    """The same model without its calibrators; None if it has none."""
    if not mc.calibrators or mc.manifest is None or mc.digest is None:
        return None
    bare = mc.manifest.model_copy(update={"calibrators": []})
    return MCDropout.of_checkpoint(Checkpoint(Path(), bare, mc.digest, mc.model))


def _fitted_on(mc: MCDropout, digest: str) -> tuple[str, ...]:
    """What to say if calibrators were fitted on the very rows that are judged."""
    kinds = [each.kind for each in mc.calibrators if each.fitted_with.data_digest == digest]
    if not kinds:
        return ()
    return (f"{', '.join(kinds)}: fitted on these very rows, so judge what it brings on others",)


def _calibrator_facts(mc: MCDropout) -> dict[str, str]:
    told = [f"{each.kind}, fitted on {each.fitted_with.n_rows} rows" for each in mc.calibrators]
    return {"calibrators": "; ".join(told)} if told else {}


def _data_facts(source: Source) -> dict[str, str]:
    facts: dict[str, str] = {}
    for name, path in (("data", source.data), ("rows from elsewhere", source.elsewhere)):
        if path is not None:
            facts |= {name: str(path), f"digest of the {name}": _digest(path)}
    return facts


def _sampling_facts(mc: MCDropout) -> dict[str, str]:
    return {"masks": mc.masks, "generator": mc.rng}


def _environment() -> dict[str, str]:
    return {
        "versions": f"mcdrop {__version__}, torch {torch.__version__}, Python {platform.python_version()}"
    }


def _digest(path: Path) -> str:
    return "sha256:" + hashlib.sha256(path.read_bytes()).hexdigest()
