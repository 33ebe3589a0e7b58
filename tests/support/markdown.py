"""Markdown pages as tests read them: fenced blocks, links, and output compared up to the last digits."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from math import isclose
from pathlib import Path

_FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", flags=re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)|<img [^>]*src=\"([^\"]+)\"")
_NUMBER = re.compile(r"-?\d+(?:\.\d+)?(?:e[+-]?\d+)?")


@dataclass(frozen=True)
class Block:
    """A fenced block: the word after the fence, and the text inside."""

    language: str
    text: str


def blocks(page: Path) -> list[Block]:
    """Every fenced block of a page, in order."""
    return [Block(*found.groups()) for found in _FENCE.finditer(page.read_text())]


def links(page: Path) -> Iterator[str]:
    """Where the links and images of a page lead, code left out."""
    for link, image in _LINK.findall(_FENCE.sub("", page.read_text())):
        yield link or image


def commands(page: Path) -> Iterator[tuple[str, str]]:
    """Each command of the page's `console` blocks, and the output that is shown below it."""
    for block in blocks(page):
        if block.language == "console":
            for shown in block.text.split("$ ")[1:]:
                command, _, output = shown.replace("\\\n", "").partition("\n")
                yield command, output


def same_text(came: str, shown: str, *, tolerance: float) -> bool:
    """Whether two texts agree: words exactly, up to spaces; numbers within a relative tolerance."""
    words = [_NUMBER.sub("#", text).split() for text in (came, shown)]
    numbers = zip(_NUMBER.findall(came), _NUMBER.findall(shown), strict=False)
    close = all(isclose(float(a), float(b), rel_tol=tolerance, abs_tol=tolerance) for a, b in numbers)
    return words[0] == words[1] and close
