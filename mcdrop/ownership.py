"""Which modules must be in train mode: those that make a random call, and no more than needed.

A model is run in full train mode (norm layers excepted) to see which modules *own* a random call. Then only
the owners stay in train mode, so that auxiliary heads, memories and counters that belong to training stay
off. Sites that are lost by that are won back one by one, by their ancestors ("if self.training: x =
self.drop(x)" in a parent) or by what is below their owner, as long as the model returns what it returns in
eval mode.
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass

from torch import nn
from torch.nn.modules.batchnorm import _NormBase

from mcdrop.errors import UnsupportedModelError
from mcdrop.inputs import Call
from mcdrop.outputs import output_structure
from mcdrop.recording import Recorder, recorded
from mcdrop.replay import run
from mcdrop.sites import SiteKey
from mcdrop.view import ModulePaths, set_train_mode

__all__ = ["find_owners"]

_Stacks = dict[SiteKey, tuple[str, ...]]


def find_owners(view: nn.Module, paths: ModulePaths, call: Call) -> frozenset[str]:
    """Paths of the modules that must be in train mode for the random calls of `view`.

    Args:
        view: With tensors of its own wherever a pass in train mode might write.
        paths: Its running modules.
        call: A few rows.

    Raises:
        UnsupportedModelError: If a random call is made that cannot be replayed.
    """
    search = _Search(view, paths, call, output_structure(recorded(view, paths, call)[1]))
    everything = search.sites_with(_trainable(view))
    owners = {stack[-1] if stack else "" for stack in everything.values()} | _fast_path_modules(view)
    found = search.sites_with(owners)
    for key, stack in everything.items():
        if key not in found:
            owners, found = search.widened(owners, found, stack)
    set_train_mode(view, owners)
    return frozenset(owners)


@dataclass(frozen=True)
class _Search:
    """Runs a view with some of its modules in train mode."""

    view: nn.Module
    paths: ModulePaths
    call: Call
    structure_in_eval: object

    def sites_with(self, train: Collection[str]) -> _Stacks:
        """The sites that fire with the modules `train` in train mode, and the modules that were running."""
        set_train_mode(self.view, train)
        recorder = Recorder(self.paths)
        try:
            run(self.view, self.paths, self.call, recorder)
        except UnsupportedModelError:
            raise
        except Exception:  # a branch of training alone may fail on two rows: what fired before it counts
            if not recorder.sites:
                raise
        return {site.key: stack for site, stack in zip(recorder.sites, recorder.stacks, strict=True)}

    def widened(self, owners: set[str], found: _Stacks, lost: tuple[str, ...]) -> tuple[set[str], _Stacks]:
        """The first wider choice of modules in which more sites fire, and the output is as in eval mode."""
        for more in self._candidates(lost):
            sites = self.sites_with(owners | more)
            if len(sites) > len(found) and self._returns_as_in_eval():
                return owners | more, sites
        return owners, found

    def _candidates(self, lost: tuple[str, ...]) -> Iterator[set[str]]:
        yield from ({ancestor} for ancestor in reversed(lost[:-1]))
        owner = lost[-1] if lost else ""
        yield {path for path in _trainable(self.view) if not owner or path.startswith(f"{owner}.")}

    def _returns_as_in_eval(self) -> bool:
        return output_structure(recorded(self.view, self.paths, self.call)[1]) == self.structure_in_eval


def _trainable(view: nn.Module) -> set[str]:
    return {path for path, module in view.named_modules() if not isinstance(module, _NormBase)}


def _fast_path_modules(view: nn.Module) -> set[str]:
    """Encoders whose fused path for eval mode hides the dropout of the layers inside."""
    fused = (nn.TransformerEncoder, nn.TransformerEncoderLayer)
    return {path for path, module in view.named_modules() if isinstance(module, fused)}
