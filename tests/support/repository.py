"""The files of the repository, for the tests about them: nothing here knows the packages."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]

_IGNORED = re.compile(r"\.venv.*|\.git|build|dist")


@dataclass(frozen=True)
class Instruction:
    """One instruction of a Dockerfile: `COPY`, and what follows it on one line."""

    name: str
    arguments: str


def instructions() -> list[Instruction]:
    """What the Dockerfile says, line by line, with continued lines joined and comments left out."""
    text = (ROOT / "Dockerfile").read_text().replace("\\\n", "")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return [Instruction(*line.split(maxsplit=1)) for line in lines]


def copied() -> list[Path]:
    """Every path of the checkout that the Dockerfile copies into the image or its builder."""
    copies = [step.arguments.split()[:-1] for step in instructions() if step.name == "COPY"]
    return [ROOT / source for sources in copies if not sources[0].startswith("--from") for source in sources]


def pages() -> list[Path]:
    """Every Markdown page of the repository."""
    return sorted(page for page in ROOT.rglob("*.md") if not any(map(_IGNORED.fullmatch, _parts(page))))


def _parts(page: Path) -> tuple[str, ...]:
    return page.relative_to(ROOT).parts


def anchors(page: Path) -> set[str]:
    """The names by which a link reaches the headings of a page."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
