"""Load everything in a directory under an audit hook, and print what was seen: `python -m ... DIRECTORY`."""

import io
import json
import pickle
import resource
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

import torch
from torch import nn

from mcdrop.checkpoint import read_checkpoint
from mcdrop.checkpoint.pack import read_state_dict
from mcdrop.errors import CheckpointError
from tests.support.checkpoints import small_checkpoint

FORBIDDEN: Final = (
    "pickle.",
    "os.system",
    "os.exec",
    "os.fork",
    "os.posix_spawn",
    "subprocess.",
    "socket.",
    "ctypes.dl",
)


class Recorder:
    """An audit hook that can be switched on and off, since it can never be taken away."""

    def __init__(self) -> None:
        self.on = False
        self.events: list[str] = []

    def __call__(self, event: str, _arguments: object) -> None:
        """Note the event if it is one that loading must never cause."""
        if self.on and event.startswith(FORBIDDEN):
            self.events.append(event)


def refused(load: Callable[[Path], object], paths: Iterable[Path]) -> tuple[int, list[str]]:
    """How many paths were refused, and the names of those that were not."""
    count, loaded = 0, []
    for path in paths:
        try:
            load(path)
            loaded.append(path.name)
        except CheckpointError:
            count += 1
    return count, loaded


def peak_mebibytes() -> float:
    """The most memory that this process ever had."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def seen_by(recorder: Recorder, act: Callable[[], object]) -> list[str]:
    """The events while something is done."""
    recorder.events = []
    recorder.on = True
    try:
        act()
    finally:
        recorder.on = False
    return recorder.events


def main(corpus: Path) -> None:
    """Load once what is good, so that all modules are there; then arm the hook and load what is not."""
    warm = corpus / "good"
    read_checkpoint(small_checkpoint(warm))
    torch.save(nn.Linear(1, 1).state_dict(), corpus / "good.state")
    read_state_dict(corpus / "good.state")
    archives = [*corpus.glob("*.pt")]
    checkpoints = [path for path in corpus.iterdir() if path.is_dir() and path != warm]
    recorder = Recorder()
    sys.addaudithook(recorder)
    before = peak_mebibytes()
    results: list[tuple[int, list[str]]] = []
    events = seen_by(
        recorder,
        lambda: results.extend([refused(read_checkpoint, checkpoints), refused(read_state_dict, archives)]),
    )
    grown = peak_mebibytes() - before
    payload = pickle.dumps(nn.Linear)
    control = seen_by(recorder, lambda: pickle.load(io.BytesIO(payload)))  # noqa: S301 - our own
    summary = {
        "events": events,
        "refused": sum(count for count, _ in results),
        "loaded": [name for _, loaded in results for name in loaded],
        "grown_mebibytes": grown,
        "hook_sees_a_payload": bool(control),
    }
    sys.stdout.write(f"{json.dumps(summary)}\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
