"""Which modules must be in train mode: those that make a random call, and no more than needed.

A model is run in full train mode (norm layers excepted) to see which modules *own* a random call. Then only
the owners stay in train mode, so that auxiliary heads, memories and counters that belong to training stay
off. Sites that are lost by that are won back one by one, by their ancestors ("if self.training: x =
self.drop(x)" in a parent) or by what is below their owner, as long as the model returns what it returns in
eval mode.
"""

from collections.abc import Callable, Collection, Iterator
from functools import partial
from traceback import walk_tb

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase
from torch.utils._pytree import tree_leaves

from mcdrop.engine.failures import first_line
from mcdrop.engine.forcing import extreme, middle
from mcdrop.engine.inputs import Call
from mcdrop.engine.outputs import output_structure
from mcdrop.engine.recording import Noting, Recorder, natural, recorded
from mcdrop.engine.replay import run
from mcdrop.engine.sites import Law, Site, SiteKey
from mcdrop.engine.view import ModulePaths, set_train_mode
from mcdrop.errors import UnsupportedModelError

__all__ = ["OwnerSearch", "trainable"]

_Stacks = dict[SiteKey, tuple[str, ...]]


class OwnerSearch:
    """Looks for the modules that must be in train mode for the random calls of a view.

    Args:
        view: With tensors of its own wherever a pass in train mode might write.
        paths: Its running modules.
        call: A few rows.

    Raises:
        UnsupportedModelError: If a random call is made that cannot be replayed, or cannot be found.
    """

    def __init__(self, view: nn.Module, paths: ModulePaths, call: Call) -> None:
        self.view, self.paths, self.call = view, paths, call
        self.silent: list[str] = []
        self._all: Collection[str] = ()
        self._everything = self._all_sites()

    def first(self) -> frozenset[str]:
        """Paths of the owners of all random calls; they are then in train mode."""
        owners = {stack[-1] if stack else "" for stack in self._everything.values()}
        return self._set(owners | _fast_path_modules(self.view))

    def wider(self, owners: frozenset[str], found: Collection[SiteKey]) -> frozenset[str]:
        """The same with what wins lost sites back; they are then in train mode.

        Args:
            owners: In train mode now.
            found: The sites that fire so.
        """
        lost = {key: stack for key, stack in self._everything.items() if key not in found}
        if not lost:
            return owners
        set_train_mode(self.view, ())
        structure = self._structure()
        sites, chosen = set(found), set(owners)
        for key, stack in lost.items():
            if key not in sites:
                chosen, sites = self._widened(chosen, sites, stack, structure)
        return self._set(chosen)

    def lost(self, owners: frozenset[str], found: Collection[SiteKey]) -> list[str]:
        """Names of the sites that could not be won back, though they move what is returned in eval mode too.

        In train mode that is taken to come first, and what heads of training return behind it.

        Args:
            owners: In train mode now, and afterwards.
            found: The sites that fire so.
        """
        lost = {key for key in self._everything if key not in found}
        if not lost:
            return []
        usual = self._leaves((), middle, lost)
        none, all_ = (
            self._leaves(self._all, answer, lost) for answer in (partial(extreme, high=False), middle)
        )
        self._set(owners)
        same = (
            one.shape != leaf.shape or torch.equal(one, other)
            for leaf, one, other in zip(usual, none, all_, strict=False)
        )
        return [] if all(same) else sorted(map(str, lost))

    def _leaves(
        self,
        train: Collection[str],
        hold: Callable[[Law, tuple[int, ...]], Tensor],
        lost: Collection[SiteKey],
    ) -> list[Tensor]:
        """The tensors that are returned with the modules `train` in train mode, and some draws held."""
        set_train_mode(self.view, train)

        def answer(site: Site) -> Tensor:
            return hold(site.law, site.shape) if site.key in lost else natural(site)

        return [
            leaf
            for leaf in tree_leaves(recorded(self.view, self.paths, self.call, answer)[1])
            if isinstance(leaf, Tensor)
        ]

    def _set(self, owners: Collection[str]) -> frozenset[str]:
        set_train_mode(self.view, owners)
        return frozenset(owners)

    def _all_sites(self) -> _Stacks:
        """Those of a pass in train mode; a branch of training alone that fails on the inputs is left out."""
        every, off = trainable(self.view), list[str]()
        first, problem = self._pass(every)
        complete, error = first, problem
        while error is not None:
            failing = [path for path in _running(self.view, error) if path not in off]
            if not failing:
                raise error
            off.append(failing[-1])
            complete, error = self._pass(every.difference(off))
        if problem is not None:
            _check_known(off, first, complete, problem)
        self._all = every.difference(off)
        self.silent += [str(silent) for silent in complete.silent if silent.module not in off]
        return _stacks(complete) | _stacks(first)

    def _sites_with(self, train: Collection[str]) -> _Stacks:
        """The sites that fire with the modules `train` in train mode, and the modules that were running."""
        recorder, error = self._pass(train)
        if error is not None and not recorder.sites:
            raise error
        return _stacks(recorder)

    def _pass(self, train: Collection[str]) -> tuple[Recorder, Exception | None]:
        """What fires with the modules `train` in train mode, and what it fails with."""
        set_train_mode(self.view, train)
        recorder = Recorder(self.paths)
        try:
            run(self.view, self.paths, self.call, recorder, Noting)
        except (UnsupportedModelError, MemoryError, torch.OutOfMemoryError):
            raise
        except Exception as error:  # noqa: BLE001 - training alone may want labels, or other sizes
            return recorder, error
        return recorder, None

    def _widened(
        self, owners: set[str], found: set[SiteKey], lost: tuple[str, ...], structure: object
    ) -> tuple[set[str], set[SiteKey]]:
        """The first wider choice of modules in which more sites fire, and the output is as in eval mode."""
        for more in self._candidates(lost):
            sites = self._sites_with(owners | more)
            if len(sites) > len(found) and self._structure() == structure:
                return owners | more, set(sites)
        return owners, found

    def _candidates(self, lost: tuple[str, ...]) -> Iterator[set[str]]:
        yield from ({ancestor} for ancestor in reversed(lost[:-1]))
        owner = lost[-1] if lost else ""
        yield {path for path in trainable(self.view) if not owner or path.startswith(f"{owner}.")}

    def _structure(self) -> object:
        return output_structure(recorded(self.view, self.paths, self.call)[1])


def _stacks(recorder: Recorder) -> _Stacks:
    """The sites that fired, and the modules that were running."""
    return {site.key: stack for site, stack in zip(recorder.sites, recorder.stacks, strict=True)}


def _running(view: nn.Module, error: Exception) -> list[str]:
    """Paths of the modules that an error came through, outermost first."""
    paths = {id(module): path for path, module in view.named_modules()}
    frames = (frame for frame, _ in walk_tb(error.__traceback__))
    found = (paths.get(id(frame.f_locals.get("self"))) for frame in frames)
    return list(dict.fromkeys(path for path in found if path is not None))


def _check_known(off: Collection[str], first: Recorder, complete: Recorder, problem: Exception) -> None:
    """See that the modules which had to be left in eval mode make no further calls of dropout themselves."""
    for path in off:
        known = sum(site.module == path for site in first.sites)
        if sum(silent.module == path for silent in complete.silent) > known:
            raise UnsupportedModelError(
                f"{path or 'the model'} fails in train mode ({first_line(problem)}), and its own dropout "
                "behind that is not known; see that forward runs in train mode on inputs alone, without "
                "labels for instance"
            )


def trainable(view: nn.Module) -> set[str]:
    """Paths of all modules but the norm layers."""
    return {path for path, module in view.named_modules() if not isinstance(module, _NormBase)}


def _fast_path_modules(view: nn.Module) -> set[str]:
    """Encoders whose fused path for eval mode hides the dropout of the layers inside."""
    fused = (nn.TransformerEncoder, nn.TransformerEncoderLayer)
    return {path for path, module in view.named_modules() if isinstance(module, fused)}
