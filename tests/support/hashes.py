"""Write the hashes of all that the container installs: of every file of each version that is pinned.

    make hashes

The index is asked for them. torch has a file of its own, with what only its default build needs: whoever
names PyTorch's CPU index takes another build of the same version, whose hashes are not there.
"""

import re
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
ASK: Final = (
    *("pip", "compile", "--no-config", "--quiet", "--universal", "--python-version", "3.11"),
    *(
        "--generate-hashes",
        "--no-header",
        "--no-annotate",
        "--no-strip-extras",
        "--constraint",
        "constraints.txt",
    ),
    *("--extra", "serve", "pyproject.toml"),
)
TORCH: Final = re.compile(r"(torch|triton|nvidia-[\w-]+|cuda-[\w-]+)(==|\[)")


def main() -> None:
    """Ask, and write both files."""
    uv = Path(sys.executable).with_name("uv")
    asked = subprocess.run([str(uv), *ASK], cwd=ROOT, check=True, capture_output=True, text=True)
    entries = re.split(r"\n(?=\S)", asked.stdout.strip())
    write("serve", (entry for entry in entries if not TORCH.match(entry)))
    write("torch", (entry for entry in entries if TORCH.match(entry)))


def write(name: str, entries: Iterable[str]) -> None:
    """One file, which pip takes with `--require-hashes`."""
    (ROOT / "deploy" / f"requirements-{name}.txt").write_text("\n".join(entries) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
