"""Which checkpoints a directory holds, and loading them: all, or none."""

import logging
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final
from zipfile import ZipFile

import numpy as np

from mcdrop.errors import CheckpointError
from mcdrop_service import execution
from mcdrop_service.facts import Array

if TYPE_CHECKING:
    from mcdrop_service.execution.checkpoint_model import CheckpointModel

__all__ = ["Repository"]

logger = logging.getLogger("mcdrop_service")

MANIFEST: Final = "mcdrop.json"
WEIGHTS: Final = "model.safetensors"
TEST_DATA: Final = "test.npz"
MOST_TEST_BYTES: Final = 2**26
"""Unpacked: it is read for one row of it."""
NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
NAMES: Final = "a model's name is up to 128 ASCII letters, digits, '.', '_' and '-', the first no sign"


@dataclass(frozen=True)
class Repository:
    """A directory of checkpoints, read anew whenever it is asked.

    Attributes:
        directory: Holds one directory per model, or is a checkpoint itself.
        names: Those to serve, `NAME` or `NAME@VERSION`; all of them when empty.
        allow: Packages whose factories may be called to build a model.
        device: Where the models run; the library's own choice when None.
        mask_bytes: What the masks that a model keeps may take.
    """

    directory: Path
    names: tuple[str, ...] = ()
    allow: tuple[str, ...] = ()
    device: str | None = None
    mask_bytes: int = 2**26

    def load_all(self) -> Mapping[str, list["CheckpointModel"]]:
        """All versions of every model that is to be served.

        Returns:
            By name: in the order of `chosen()`.

        Raises:
            CheckpointError: If the directory holds no checkpoint, a name is not in it, or one is damaged.
        """
        models = {name: self.load(name) for name in self.chosen()}
        for name in self._misnamed():
            logger.warning("%r in %s is not served: %s", name, self.directory, NAMES)
        return models

    def chosen(self) -> list[str]:
        """The models that are to be served: in the order of `names`, else in alphabetical order.

        Raises:
            CheckpointError: If the directory holds no checkpoint, or a name is not in it.
        """
        known = self.known()
        if not known and (misnamed := self._misnamed()):
            raise CheckpointError(f"{NAMES}, got {misnamed[0]!r} ({self.directory}); rename its directory")
        if not known:
            raise CheckpointError(
                f"{self.directory} holds no checkpoint: wanted {MANIFEST} in it, or in a directory in it"
            )
        wanted = list(dict.fromkeys(name.partition("@")[0] for name in self.names)) or sorted(known)
        missing = [name for name in wanted if name not in known]
        if missing:
            raise CheckpointError(
                f"{self.directory} has no checkpoint {missing[0]!r}; it has {', '.join(sorted(known))}"
            )
        return wanted

    def load(self, name: str) -> list["CheckpointModel"]:
        """All versions of a model that are to be served.

        Args:
            name: One of `known()`.

        Raises:
            CheckpointError: If one is damaged, or there is none.
        """
        place = self.known()[name]
        pinned = [pin.partition("@")[2] for pin in self.names if pin.startswith(f"{name}@")]
        return execution.loading.load_versions(
            name, place, pinned, allow=self.allow, device=self.device, mask_bytes=self.mask_bytes
        )

    def known(self) -> dict[str, Path]:
        """Where the models are that may be served, by name.

        Raises:
            CheckpointError: If the directory is none.
        """
        if not self.directory.is_dir():
            raise CheckpointError(f"{self.directory} is no directory; a directory of checkpoints is wanted")
        if _is_checkpoint(self.directory):
            # as of a directory of models, a link goes by its own name: what it leads to can change
            place = self.directory.resolve() if self.directory.name in {"", ".."} else self.directory
            return {place.name: self.directory} if NAME.fullmatch(place.name) else {}
        return {
            place.name: place
            for place in self.directory.iterdir()
            if NAME.fullmatch(place.name) and place.is_dir() and _is_checkpoint(place)
        }

    def wanted(self) -> dict[str, Path]:
        """The same without those that `names` leaves out."""
        names = {name.partition("@")[0] for name in self.names}
        return {name: place for name, place in self.known().items() if not names or name in names}

    def _misnamed(self) -> list[str]:
        """Names of checkpoints that could be no model's; hidden ones are not meant to be served."""
        found = []
        for place in (self.directory.absolute(), *self.directory.iterdir()):
            with suppress(OSError):  # `lost+found` can be nobody's to read
                if (
                    not NAME.fullmatch(place.name)
                    and place.name[:1] not in {"", "."}
                    and _is_checkpoint(place)
                ):
                    found.append(place.name)
        return sorted(found)

    def example(self, name: str) -> dict[str, object] | None:
        """The first row of the test data that lies beside a checkpoint, as nested lists by input name.

        Args:
            name: Of a model.

        Returns:
            None if there is none that can be read, or it is long.
        """
        try:
            file = self.known()[name] / TEST_DATA
            with ZipFile(file) as archive:
                if sum(each.file_size for each in archive.infolist()) > MOST_TEST_BYTES:
                    return None
            with np.load(file, allow_pickle=False) as data:
                return {each: _plain(data[each][:1]) for each in data.files}
        except Exception:  # noqa: BLE001  no hash covers it, and whatever lies there is only an example
            return None


def _plain(array: Array) -> object:
    """Nested lists of the shortest numbers: 32.1 in float32 is 32.09999847 in float64."""
    return array.astype(str).astype(np.float64).tolist() if array.dtype.kind == "f" else array.tolist()


def _is_checkpoint(place: Path) -> bool:
    """Whether a directory is meant as one: a lost manifest must be an error, not a model less."""
    return any((version / file).exists() for version in _versions(place) for file in (MANIFEST, WEIGHTS))


def _versions(place: Path) -> list[Path]:
    return [place, *(child for child in place.iterdir() if child.name.isdigit())]
