"""Reports on disk: JSON with a versioned schema, the page, and Markdown."""

import json
from collections.abc import Callable
from os import PathLike
from pathlib import Path
from typing import Any, Final

from pydantic import TypeAdapter

from mcdrop.comparison import Comparison
from mcdrop.datafiles import replacing
from mcdrop.errors import DataFileError, OptionError
from mcdrop.report.documents import Document, document_of
from mcdrop.report.markdown import render_markdown
from mcdrop.report.page import render_page
from mcdrop.scorecard import SCHEMA_VERSION, Report

__all__ = ["read_json", "report_schema", "write_html", "write_json", "write_markdown", "write_report"]

_NUMBER: Final = {"anyOf": [{"type": "number"}, {"enum": ["Infinity", "-Infinity", "NaN"]}]}


def write_report(report: Report, path: str | PathLike[str]) -> None:
    """Write a report, whole or not at all; an existing file is replaced.

    Args:
        report: Of `mcdrop.evaluate`.
        path: Its ending says what is written: `.html` the page, `.md` the verdict and the tables, `.json`
            everything.

    Raises:
        DataFileError: If the ending is another, or the file cannot be written.
    """
    match Path(path).suffix:
        case ".html":
            write_html(document_of(report), path)
        case ".md":
            write_markdown(document_of(report), path)
        case ".json":
            write_json(report, path)
        case _:
            raise DataFileError(f"a report is written as .html, .md or .json, got {Path(path).name!r}")


def write_json(report: Report | Comparison, path: str | PathLike[str]) -> None:
    """Write a report, or a comparison of two, as JSON, whole or not at all; an existing file is replaced.

    Raises:
        DataFileError: If the file cannot be written.
    """
    _write(report.to_json, path)


def write_html(document: Document, path: str | PathLike[str]) -> None:
    """Write a document as one page, whole or not at all; an existing file is replaced.

    Raises:
        DataFileError: If the file cannot be written.
    """
    _write(lambda: render_page(document), path)


def write_markdown(document: Document, path: str | PathLike[str]) -> None:
    """Write a document as Markdown, whole or not at all; an existing file is replaced.

    Raises:
        DataFileError: If the file cannot be written.
    """
    _write(lambda: render_markdown(document), path)


def read_json(path: str | PathLike[str]) -> Report:
    """Read a report that `write_json` wrote.

    Raises:
        DataFileError: If the file is missing, is not JSON, or is not a report of this schema version.
    """
    try:
        return Report.from_dict(json.loads(Path(path).read_text(encoding="utf-8")))
    except FileNotFoundError as error:
        raise DataFileError(f"no report at {path}") from error
    except (ValueError, KeyError, TypeError, AttributeError, OptionError, OSError) as error:
        reason = str(error).partition("\n")[0]
        raise DataFileError(f"{path} must be a report that mcdrop wrote as JSON, got {reason}") from error


def report_schema() -> dict[str, Any]:
    """The JSON schema of a report as JSON."""
    schema = _with_infinities(TypeAdapter(Report).json_schema())
    schema["properties"] = {"schema_version": {"const": SCHEMA_VERSION}, **schema["properties"]}
    schema["required"] = ["schema_version", *schema["required"]]
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def _write(render: Callable[[], str], path: str | PathLike[str]) -> None:
    with replacing(Path(path)) as partial:
        partial.write_text(render(), encoding="utf-8")


def _with_infinities(schema: Any) -> Any:
    """The same, where a number may also be one of the words that stand for those that JSON has not."""
    if isinstance(schema, list):
        return [_with_infinities(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    changed = {key: _with_infinities(each) for key, each in schema.items()}
    if changed.get("type") == "number":
        return {**{key: each for key, each in changed.items() if key != "type"}, **_NUMBER}
    return changed
