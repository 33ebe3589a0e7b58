"""Train every model twice and compare the weights, byte for byte.

python -m models.check              # as shipped; some minutes
python -m models.check --epochs 1   # the same in seconds
"""

import hashlib
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

MODELS: Final = Path(__file__).parent


def main() -> None:
    """Print a line for each model; end with exit code 1 if any two trainings differ."""
    names = sorted(recipe.parent.name for recipe in MODELS.glob("*/train.py"))
    same = [repeats(name, sys.argv[1:]) for name in names]
    sys.exit(0 if all(same) else 1)


def repeats(name: str, options: list[str]) -> bool:
    """Whether two trainings of a model give the same weights."""
    first, second = (weights_digest(name, options) for _ in range(2))
    print(f"{name}: {first} {'twice' if first == second else f'and then {second}'}", flush=True)
    return first == second


def weights_digest(name: str, options: list[str]) -> str:
    """The sha256 of the weights that one training leaves, in a process and a directory of its own."""
    with tempfile.TemporaryDirectory() as directory:
        out = Path(directory) / name
        train_apart(name, out, options)
        return hashlib.sha256((out / "model.safetensors").read_bytes()).hexdigest()


def train_apart(name: str, out: Path, options: list[str]) -> None:
    """Make the checkpoint `out` by a model's recipe, in a process of its own."""
    recipe = [sys.executable, "-m", f"models.{name}.train", "--out", str(out), *options]
    subprocess.run(recipe, cwd=MODELS.parent, check=True, stdout=subprocess.DEVNULL)  # noqa: S603


if __name__ == "__main__":
    main()
