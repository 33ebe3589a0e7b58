"""Reports on disk: JSON with a versioned schema."""

import json
from pathlib import Path

from mcdrop.errors import DataFileError, OptionError
from mcdrop.scorecard import Report

__all__ = ["read_json", "write_json"]


def write_json(report: Report, path: Path) -> None:
    """Write the report as JSON; an existing file is replaced.

    Raises:
        OSError: If the file cannot be written.
    """
    path.write_text(report.to_json(), encoding="utf-8")


def read_json(path: Path) -> Report:
    """Read a report that `write_json` wrote.

    Raises:
        DataFileError: If the file is missing, is not JSON, or is not a report of this schema version.
    """
    try:
        return Report.from_dict(json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError as error:
        raise DataFileError(f"no report at {path}") from error
    except (ValueError, KeyError, TypeError, AttributeError, OptionError) as error:
        raise DataFileError(f"{path} must be a report that mcdrop wrote as JSON, got {error}") from error
