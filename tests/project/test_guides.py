"""The code of the guides runs, in the order of the page, and prints what is shown below it."""

import contextlib
import io
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.support.markdown import blocks, same_text
from tests.support.repository import ROOT

GUIDES = [
    ROOT / "docs" / name
    for name in (
        "calibration.md",
        "doctor.md",
        "injection.md",
        "layers.md",
        "memory.md",
        "regularization.md",
        "sampling.md",
        "tasks.md",
    )
]


@pytest.mark.parametrize("page", GUIDES, ids=lambda page: page.name)
def test_the_code_of_a_guide_prints_what_is_shown(page: Path) -> None:
    names: dict[str, Any] = {"__name__": "guide"}
    printed = ""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        for block in blocks(page):
            if block.language == "python":
                printed = printed_by(block.text, names)
            elif block.language == "text":
                assert same_text(printed, block.text, tolerance=2e-3), printed


def printed_by(code: str, names: dict[str, Any]) -> str:
    with contextlib.redirect_stdout(io.StringIO()) as out:
        exec(code, names)  # noqa: S102 - what a reader types
    return out.getvalue()
