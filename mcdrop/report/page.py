"""The report as one HTML page that needs nothing else: no script, no network, no font, no second file.

Everything that is written on it is escaped by the template engine: names of classes, columns and files are
data, and data are never markup. The page forbids itself everything but its own style sheet.
"""

from pathlib import Path
from typing import Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from mcdrop.report.documents import Document
from mcdrop.report.drawing import HEIGHT, WIDTH, drawn

__all__ = ["render_page"]

_TEMPLATES: Final = Environment(
    loader=FileSystemLoader(Path(__file__).parent / "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_MARKS: Final = {"good": "✓", "bad": "✗", "open": "?"}
_TOPICS: Final = {
    "calibration": "Is it calibrated?",
    "confidence": "Too sure, or not sure enough?",
    "deterministic": "Better than one pass?",
    "samples": "How many samples are enough?",
}


def render_page(document: Document) -> str:
    """A document as HTML.

    Args:
        document: About one report, or about two.

    Returns:
        The page.
    """
    return _TEMPLATES.get_template("page.html").render(
        document=document, drawn=drawn, width=WIDTH, height=HEIGHT, marks=_MARKS, topics=_TOPICS
    )
