"""A site: one random call that one forward pass makes, and its name.

Sites are addressed by where they are (module path and call index) and never by the order in which they fire,
so that a network whose control flow is random (LayerDrop) still gives each of them its own masks.
"""

import hashlib
from dataclasses import dataclass
from itertools import dropwhile
from typing import Final, Literal, NamedTuple

import torch

__all__ = ["Law", "Site", "SiteKey", "site_id"]

_COMPILED: Final = "_orig_mod"
_PARALLEL: Final = "module"


class SiteKey(NamedTuple):
    """The address of a site: the path of the module that makes the call, and the number of that call."""

    module: str
    call: int

    def __str__(self) -> str:
        return f"{self.module or '(model)'}#{self.call}"


@dataclass(frozen=True)
class Law:
    """What a site draws for each element.

    Attributes:
        name: `keep`: 1 with probability 1 - p, else 0. `noise`: the same divided by 1 - p. `uniform`: in
            [0, 1). `normal`: standard.
        p: Probability of a zero, for `keep` and `noise`.
        dtype: Of the tensor that is drawn.
    """

    name: Literal["keep", "noise", "uniform", "normal"]
    p: float
    dtype: torch.dtype


@dataclass(frozen=True)
class Site:
    """One random call of one forward pass.

    Attributes:
        key: Its address.
        kind: What makes the call: `dropout`, `dropout2d`, `attention`, `bernoulli`, ...
        p: The rate; None where the call has none (`rand`) or one for each element.
        law: What is drawn.
        shape: Of the mask, with two rows in the batch.
        row_axis: The axis of the mask that runs over the rows; None if all rows share the mask (DropConnect).
        row_factor: How many entries of that axis belong to one row (heads, if batch and heads are one axis).
    """

    key: SiteKey
    kind: str
    p: float | None
    law: Law
    shape: tuple[int, ...]
    row_axis: int | None = 0
    row_factor: int = 1

    @property
    def name(self) -> str:
        """Module path and call index, such as `encoder.drop#0`."""
        return str(self.key)

    @property
    def module(self) -> str:
        """Path of the module that makes the call; empty for the model itself."""
        return self.key.module

    @property
    def call(self) -> int:
        """Which of the random calls of that module it is, from 0."""
        return self.key.call

    def row_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Shape of one row's part of a mask of this `shape`; the whole shape if rows share it."""
        if self.row_axis is None:
            return shape
        factor = (self.row_factor,) if self.row_factor > 1 else ()
        return (*shape[: self.row_axis], *factor, *shape[self.row_axis + 1 :])


def site_id(key: SiteKey, kind: str) -> int:
    """The number of a site in the generator's counter: 64 bits of BLAKE2b over path, call and kind.

    Wrappers that leave the network as it is do not count: `_orig_mod` (torch.compile) anywhere in the path,
    and `module` (DataParallel) at its beginning; inside the network `module` is a name like any other.
    """
    parts = [part for part in key.module.split(".") if part != _COMPILED]
    path = ".".join(dropwhile(_PARALLEL.__eq__, parts))
    digest = hashlib.blake2b(f"{path}|{key.call}|{kind}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little")
