"""The page that the zoo writes: a table for each library, and what is refused."""

from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Final

from tests.zoo.judging import BRUTE, OURS, Measured, Verdict

__all__ = ["page"]

_HEAD: Final = """# The zoo

Architectures of other libraries, made small, with random weights and their own dropout switched on. Each is
either right, or refused with a reason. `make zoo` installs {libraries}
beside torch {torch}, runs every proof below on every model, and writes this page.

* **draws**: random operators that the model runs natively in one pass, all explained by the sites found.
* **oracle**: largest difference between what the model computes with its own draws and what it computes under
  mcdrop when given the same draws; *count* where native draws lie in another order, so that only their number
  is compared.
* **rows**: largest difference of a row in a batch from the same row alone, one sample at a time, with shared
  masks and with masks of its own. Both differences are in units of max(1, largest output).
* **z**, **ratio**: against passes in train mode with norm layers in eval mode: root mean square of the
  difference of the means in standard errors (about 1, less where outputs move together), and the ratio of the
  standard deviations. They come from {ours} samples and {brute} passes: a ratio of 0.9 or 1.1 is noise.
"""


def page(verdicts: Sequence[Verdict], libraries: str, torch: str) -> str:
    """The page, in Markdown."""
    right = [v for v in verdicts if v.measured is not None]
    refused = [v for v in verdicts if v.refused is not None]
    parts = [_HEAD.format(libraries=libraries, torch=torch, ours=OURS, brute=BRUTE), _summary(verdicts)]
    for library, group in groupby(right, lambda v: v.specimen.library):
        parts.append(f"## {library}\n\n{_table(group)}")
    parts.append(f"## Refused\n\n{_reasons(refused)}")
    return "\n".join(parts)


def _summary(verdicts: Sequence[Verdict]) -> str:
    lines = ["| library | models | right | refused |", "|---|---|---|---|"]
    for library, group in groupby(verdicts, lambda v: v.specimen.library):
        members = list(group)
        refused = sum(v.refused is not None for v in members)
        right = sum(v.measured is not None and v.measured.is_right for v in members)
        lines.append(f"| {library} | {len(members)} | {right} | {refused} |")
    return "\n".join(lines) + "\n"


def _table(verdicts: Iterable[Verdict]) -> str:
    lines = [
        "| model | sites | strategy | draws | oracle | rows | z | ratio |",
        "|---|---|---|---|---|---|---|---|",
    ]
    lines += [_row(v.specimen.name, v.measured) for v in verdicts if v.measured is not None]
    return "\n".join(lines) + "\n"


def _row(name: str, found: Measured) -> str:
    kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(found.kinds.items()))
    oracle = "count" if found.oracle is None else _difference(found.oracle)
    draws = str(found.native) if found.native == found.explained else f"{found.explained} of {found.native}"
    return (
        f"| {name} | {kinds} | {found.strategy} | {draws} | {oracle} | {_difference(found.rows)} "
        f"| {found.z:.2f} | {found.ratio:.2f} |"
    )


def _difference(difference: float) -> str:
    return "0" if difference == 0 else f"{difference:.0e}"


def _reasons(verdicts: Iterable[Verdict]) -> str:
    lines = ["| model | reason |", "|---|---|"]
    lines += [f"| {v.specimen.library} {v.specimen.name} | {v.refused} |" for v in verdicts]
    return "\n".join(lines) + "\n"
