"""Judge every model of the zoo, print the table, and write docs/zoo.md.

    make zoo

or, in an environment that has the libraries, `python -m tests.zoo`; with words that the names of some models
hold, to judge only those and write nothing. The exit code is 1 if a model is neither right nor refused.
"""

import sys
import time
import warnings
from importlib.metadata import version
from pathlib import Path
from typing import Final

import torch

from tests.zoo import image_models, transformer_models, vision_models
from tests.zoo.judging import Verdict, judged
from tests.zoo.page import page
from tests.zoo.specimens import Specimen

_SPECIMENS: Final = (*vision_models.SPECIMENS, *image_models.SPECIMENS, *transformer_models.SPECIMENS)
_LIBRARIES: Final = ("torchvision", "timm", "transformers")
_PAGE: Final = Path(__file__).parents[2] / "docs" / "zoo.md"


def main(words: list[str]) -> int:
    """Judge the models whose names hold one of `words`, or all; the exit code."""
    chosen = [s for s in _SPECIMENS if not words or any(word in f"{s.library} {s.name}" for word in words)]
    verdicts = [_shown(specimen) for specimen in chosen]
    if not words:
        names = ", ".join(f"{library} {version(library)}" for library in _LIBRARIES)
        _PAGE.write_text(page(verdicts, names, torch.__version__.split("+")[0]))
    bad = [v.specimen.name for v in verdicts if not v.is_good]
    sys.stdout.write(
        f"{len(verdicts) - len(bad)} of {len(verdicts)} right or refused; bad: {bad or 'none'}\n"
    )
    return bool(bad)


def _shown(specimen: Specimen) -> Verdict:
    start = time.perf_counter()
    verdict = judged(specimen)
    told = verdict.measured or verdict.refused or f"crashed: {verdict.crashed}"
    mark = "" if verdict.is_good else "BAD "
    sys.stdout.write(
        f"{mark}{specimen.library} {specimen.name} ({time.perf_counter() - start:.1f} s): {told}\n"
    )
    sys.stdout.flush()
    return verdict


if __name__ == "__main__":
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")  # of other libraries, about their own insides
    sys.exit(main(sys.argv[1:]))
