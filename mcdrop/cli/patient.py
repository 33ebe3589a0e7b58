"""What `mcdrop inspect` looks at: a checkpoint, or what a factory makes, and rows for it."""

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mcdrop.cli.factories import input_names, is_factory, made_model
from mcdrop.cli.loading import loaded_model, manifest_of, model_data, targets
from mcdrop.cli.options import DEFAULT_TARGET
from mcdrop.datafiles import Array, Data, read_data
from mcdrop.engine.inputs import arguments_of
from mcdrop.engine.probes import probe_inputs
from mcdrop.errors import DataFileError, OptionError
from mcdrop.mcdropout import MCDropout
from mcdrop.saving import example_inputs

__all__ = ["Patient", "Wanted", "patient"]

_ROWS = 16


@dataclass(frozen=True)
class Wanted:
    """What the options say.

    Attributes:
        source: A checkpoint or `module:factory`.
        data: Rows for it.
        target: Name of the outcomes in the data.
        task: Of a factory's model.
        device: Where to run.
        allow: Packages whose factories a checkpoint may name.
        output: What a factory's classifier returns; None for logits.
        class_axis: Of its classes; None if nothing was said.
    """

    source: str
    data: Path | None
    target: str
    task: str | None
    device: str | None
    allow: Collection[str] | None
    output: str | None = None
    class_axis: int | None = None

    @property
    def is_factory(self) -> bool:
        """Whether the source is `module:factory`."""
        return is_factory(self.source)

    def check_outcomes(self, rows: Data) -> None:
        """See that outcomes which were named are there, and can be read as the task says.

        Raises:
            DataFileError: If they are not.
            OptionError: If nothing says what they mean.
        """
        if self.target != DEFAULT_TARGET:
            rows.outcomes(self.target)
        if not self.is_factory or rows.y is None:
            return
        if self.target != DEFAULT_TARGET and self.task is None:
            raise OptionError("--target names outcomes, and --task has to say what they are outcomes of")
        if self.task is not None and rows.y.dtype.kind == "U":
            raise DataFileError(
                f"{self.target} must hold numbers (of classes, from 0), got {rows.y.flat[0].item()!r}"
            )


@dataclass(frozen=True)
class Patient:
    """A model and rows for it.

    Attributes:
        mc: The model.
        inputs: By position.
        named: By name.
        y: Outcomes, if the data have them.
        rows: Where they come from.
    """

    mc: MCDropout
    inputs: tuple[Any, ...]
    named: dict[str, Any]
    y: Array | None
    rows: str


def patient(wanted: Wanted) -> Patient:
    """The model that is named, and rows for it.

    Raises:
        OptionError: If a factory is named without rows, or cannot be called.
        CheckpointError: If the model cannot be loaded.
        DataFileError: If the rows do not fit.
    """
    return _made(wanted) if wanted.is_factory else _loaded(wanted)


def _loaded(wanted: Wanted) -> Patient:
    if (wanted.task, wanted.output, wanted.class_axis) != (None, None, None):
        raise OptionError(
            "a checkpoint has a task of its own; --task, --output and --class-axis are for module:factory"
        )
    mc = loaded_model(wanted.source, device=wanted.device, allow=wanted.allow)
    manifest = manifest_of(mc)
    if wanted.data is not None:
        rows = model_data(manifest, wanted.data, target=wanted.target)
        wanted.check_outcomes(rows)
        y = None if rows.y is None else targets(manifest, rows, target=wanted.target)
        return Patient(mc, *arguments_of(rows.inputs), y, f"{len(rows)} rows of {wanted.data.name}")
    by_position, by_name = arguments_of(example_inputs(manifest.inputs))
    made = probe_inputs(mc.as_call(*by_position, **by_name), _ROWS, trial=0)
    return Patient(
        mc, *made.arguments(), None, f"{_ROWS} made-up rows, uniform on [-1, 1); --data takes yours"
    )


def _made(wanted: Wanted) -> Patient:
    if wanted.data is None:
        raise OptionError(
            f"{wanted.source} says nothing of its inputs; give some typical rows with --data FILE"
        )
    model = made_model(wanted.source, device=wanted.device)
    rows = read_data(wanted.data, input_names(model), target=wanted.target)
    by_position, by_name = arguments_of(rows.inputs)
    task = wanted.task or "raw"
    wanted.check_outcomes(rows)
    y = rows.y if wanted.task is not None else None
    return Patient(
        MCDropout(model, task=task, output=wanted.output or "logits", class_axis=wanted.class_axis),
        by_position,
        by_name,
        y,
        f"{len(rows)} rows of {wanted.data.name}",
    )
