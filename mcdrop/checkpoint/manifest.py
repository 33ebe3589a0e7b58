"""The manifest: what `mcdrop.json` says about a checkpoint, and nothing that runs.

Each field is checked against the models below, which also make the JSON schema. Unknown fields are refused: a
manifest that says more than this version understands must not be half obeyed.
"""

import json
from typing import Annotated, Any, Final, Literal, Self, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from mcdrop.checkpoint.strict_json import parse_strict_json
from mcdrop.errors import CheckpointError

__all__ = [
    "MANIFEST_FILE",
    "README_FILE",
    "WEIGHTS_FILE",
    "Architecture",
    "Exact",
    "InputSpec",
    "Manifest",
    "OutputSpec",
    "Sampling",
    "checked_part",
    "manifest_bytes",
    "manifest_schema",
    "parse_manifest",
]

MANIFEST_FILE: Final = "mcdrop.json"
WEIGHTS_FILE: Final = "model.safetensors"
README_FILE: Final = "README.md"

_LATER: Final = frozenset({"rates", "tuning"})
_RUNS_CODE: Final = frozenset({"auto_map", "trust_remote_code"})
_SHOWN: Final = 80
"""Characters of a wrong value that an error repeats."""


def _plain_json(value: dict[str, Any]) -> dict[str, Any]:
    try:
        plain: dict[str, Any] = json.loads(json.dumps(value, allow_nan=False))
    except (TypeError, RecursionError) as error:
        raise ValueError(f"must hold JSON values only ({error})") from error
    return plain


def _all_different(values: list[str]) -> list[str]:
    if len(set(values)) < len(values):
        raise ValueError("must not name anything twice")
    return values


PlainName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$")]
"""A model's or a file's name: never a path."""

InputName = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_.-]{0,127}$")]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
JsonObject = Annotated[dict[str, Any], AfterValidator(_plain_json)]
DifferentNames = Annotated[list[str], Field(min_length=1), AfterValidator(_all_different)]
Probability = Annotated[float, Field(ge=0, le=1)]
Length = Annotated[int, Field(ge=-1, le=2**31 - 1)]
"""Of one axis; -1 where it varies."""


class _Part(BaseModel):
    """What all parts have in common: fixed once made, no unknown fields, no silent conversions."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


_PartT = TypeVar("_PartT", bound=_Part)


class Architecture(_Part):
    """Where the module comes from into which the weights are loaded.

    Attributes:
        source: `zoo`: a name in `mcdrop.zoo`. `factory`: `package.module:function`, from a package that the
            operator allowed. `huggingface`: a class of transformers. `timm`: a model of timm.
        name: In that source.
        arguments: Passed on by keyword; for a class of transformers the entries of its configuration.
    """

    source: Literal["zoo", "factory", "huggingface", "timm"]
    name: str = Field(min_length=1, max_length=512)
    arguments: JsonObject = {}

    @model_validator(mode="after")
    def _runs_no_code(self) -> Self:
        found = _keys_at_any_depth(self.arguments) & _RUNS_CODE
        if found:
            raise ValueError(
                f"{sorted(found)[0]} would run code that comes with the model, which is never done"
            )
        return self


class InputSpec(_Part):
    """One input of the model.

    Attributes:
        name: As data files and requests call it.
        dtype: Of the tensor that the model takes.
        shape: Without the axis of the rows; -1 where a length varies.
        columns: Of a table, in order, that together make this input; None if tables name none of their own.
    """

    name: InputName
    dtype: Literal[
        "float16", "bfloat16", "float32", "float64", "int8", "int16", "int32", "int64", "uint8", "bool"
    ]
    shape: list[Length] = Field(max_length=16)
    columns: DifferentNames | None = None


class OutputSpec(_Part):
    """What the numbers that come out are called, and their unit.

    Attributes:
        names: One for each output; None if they have none.
        units: Such as `mg/dl`; None for probabilities and bare numbers.
    """

    names: DifferentNames | None = None
    units: str | None = None


class Sampling(_Part):
    """What a call that says nothing uses.

    Attributes:
        n_samples: At least 2, since a spread needs two.
        seed: Of the masks.
        masks: `consistent`: one network for all rows. `independent`: each row has its own.
        rng: The generator that draws them; another one gives other answers.
    """

    n_samples: int = Field(default=128, ge=2, le=2**31 - 1)
    seed: int = Field(default=0, ge=0, le=2**63 - 1)
    masks: Literal["consistent", "independent"] = "consistent"
    rng: PlainName = "philox-1"


class Exact(_Part):
    """How exact mode computes, so that library and service give the same bits.

    Attributes:
        rows: In one block.
        strategy: That replays the masks.
    """

    rows: Literal[1, 2, 4, 8, 16] = 1
    strategy: Literal["fold", "loop", "vmap"] = "loop"


class Manifest(_Part):
    """Everything that is known about a checkpoint.

    Attributes:
        schema_version: Of this list of fields.
        name: Of the model.
        version: A whole number from 1 on, as text.
        task: What the outputs mean.
        output: What kind of numbers the model of a classification gives.
        class_axis: Where its classes are; -1 is the last axis.
        architecture: What to build.
        inputs: In the order in which the model takes them.
        outputs: Names and units.
        classes: Names, in the order of the output; None if they have none.
        sampling: Defaults.
        exact: How to be exact.
        tau: Noise precision of a regression, in units of the output to the power of -2.
        calibrators: Fitted ones.
        files: The sha256 of every file that is loaded, by name.
        aliases: Tensors that share the memory of another one, and its name.
        rates: Dropout rates by path and attribute, injected ones among them: those that differ from what the
            zoo builds; all, for another source.
        tuning: How the rates were chosen, if they were: see `mcdrop.tune_rates`.
        training: What it was trained on and how.
        scores: What was measured.
    """

    schema_version: Literal[1] = 1
    name: PlainName
    version: str = Field(default="1", pattern=r"^[1-9][0-9]{0,8}$")
    task: Literal["binary", "classification", "heteroscedastic", "multilabel", "raw", "regression"]
    output: Literal["logits", "probabilities", "log_probabilities"] = "logits"
    class_axis: int = Field(default=1, ge=-16, le=16)
    architecture: Architecture
    inputs: list[InputSpec] = Field(min_length=1)
    outputs: OutputSpec = OutputSpec()
    classes: DifferentNames | None = None
    sampling: Sampling = Sampling()
    exact: Exact = Exact()
    tau: float | None = Field(default=None, gt=0)
    calibrators: list[JsonObject] = []
    files: dict[PlainName, Sha256] = {}
    aliases: dict[str, str] = {}
    rates: dict[str, Probability] = {}
    tuning: JsonObject = {}
    training: JsonObject = {}
    scores: JsonObject = {}

    @model_validator(mode="after")
    def _fields_agree(self) -> Self:
        _all_different([spec.name for spec in self.inputs])
        if self.tau is not None and self.task != "regression":
            raise ValueError(f"tau is the noise precision of a regression, and the task is {self.task}")
        if self.classes is not None and self.task not in {"binary", "classification", "multilabel"}:
            raise ValueError(f"classes belong to a classification, and the task is {self.task}")
        if MANIFEST_FILE in self.files:
            raise ValueError(f"files cannot list {MANIFEST_FILE} itself")
        return self


def parse_manifest(text: bytes) -> Manifest:
    """The manifest that a file holds.

    Args:
        text: All its bytes.

    Raises:
        CheckpointError: If it is not strict JSON, or a field is missing, unknown or out of its range.
    """
    try:
        document = parse_strict_json(text)
    except ValueError as error:
        raise CheckpointError(f"{MANIFEST_FILE} is not valid JSON: {error}") from error
    try:
        return Manifest.model_validate(document)
    except ValidationError as error:
        raise CheckpointError(f"{MANIFEST_FILE} does not follow the schema: {_problems(error)}") from error


def checked_part(kind: type[_PartT], **fields: Any) -> _PartT:
    """A manifest, or a part of one, from fields that a user gave.

    Args:
        kind: Such as `Manifest` or `InputSpec`.
        **fields: Of it.

    Raises:
        CheckpointError: If a field is missing, unknown or out of its range; says which.
    """
    try:
        return kind(**fields)
    except ValidationError as error:
        raise CheckpointError(f"{kind.__name__}: {_problems(error)}") from error


def manifest_bytes(manifest: Manifest) -> bytes:
    """The file that holds the manifest, the same bytes for equal manifests.

    Raises:
        CheckpointError: If a text in it cannot be written as UTF-8.
    """
    try:
        document = manifest.model_dump(mode="json", exclude=_left_out(manifest))
        text = json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False)
        return f"{text}\n".encode()
    except ValueError as error:
        raise CheckpointError(f"{MANIFEST_FILE} cannot be written: {error}") from error


def _left_out(manifest: Manifest) -> set[str]:
    """Fields that came later than others, where they say nothing: older versions then still read the file."""
    return {name for name in _LATER if not getattr(manifest, name)}


def manifest_schema() -> dict[str, Any]:
    """The JSON schema of `mcdrop.json`."""
    return Manifest.model_json_schema()


def _problems(error: ValidationError) -> str:
    return "; ".join(_problem(dict(detail)) for detail in error.errors(include_url=False))


def _problem(detail: dict[str, Any]) -> str:
    where = ".".join(str(step) for step in detail["loc"])
    prefix = f"{where}: " if where else ""
    if detail["type"] == "value_error":
        return f"{prefix}{detail['ctx']['error']}"
    came = "" if detail["type"] == "missing" else f", got {repr(detail['input'])[:_SHOWN]}"
    return f"{prefix}{detail['msg']}{came}"


def _keys_at_any_depth(value: object) -> set[str]:
    if isinstance(value, dict):
        return set(value).union(*map(_keys_at_any_depth, value.values()))
    if isinstance(value, list):
        return set().union(*map(_keys_at_any_depth, value))
    return set()
