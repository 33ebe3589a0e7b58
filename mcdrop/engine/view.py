"""A private view of the user's model: new module objects over the same tensors.

Flags, hooks and modes can be set on a view once and for all: the user's model does not see them, and no
weight is held twice.
"""

import copy
import threading
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Any, Final, Self

from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_pre_hook
from torch.nn.utils.rnn import PackedSequence
from torch.utils import _pytree as pytree

from mcdrop.engine.admission import check_admissible
from mcdrop.errors import UnsupportedModelError

__all__ = [
    "ModulePaths",
    "called_originals",
    "private_view",
    "set_train_mode",
    "state_tensors",
    "watch_paths",
]


_SILENT: Final = frozenset(
    {
        *(nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Embedding, nn.Identity, nn.Flatten),
        *(nn.LayerNorm, nn.GroupNorm, nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d),
        *(nn.ReLU, nn.GELU, nn.SiLU, nn.Tanh, nn.Sigmoid),
    }
)
"""Half of the modules of a transformer; a hook takes as long as what some of them compute for a row."""


def private_view(model: nn.Module, *, clone: Collection[str] = ()) -> nn.Module:
    """New module objects that share the tensors of `model`, in eval mode.

    Args:
        model: The user's model; compiled modules in it are replaced by what they were compiled from, and
            what is spread over devices for the sake of the rows runs on the first of them.
        clone: Names of the `state_tensors` that get a copy of their own.

    Raises:
        UnsupportedModelError: If a part of the model cannot be looked into, or cannot be copied.
    """
    check_admissible(model)
    memo: dict[int, Any] = {id(tensor): tensor for tensor in _tensors(model)}
    memo |= {id(t): t.detach().clone() for name, t in state_tensors(model).items() if name in clone}
    view = _undivided(_uncompiled(_copied(model, memo)))
    set_train_mode(view, ())  # by the flags: `eval()` may be overridden, and exported programs refuse it
    return view


def state_tensors(model: nn.Module) -> dict[str, Tensor]:
    """Buffers, and tensors kept as plain attributes: what a forward pass may write to, by name."""
    return {
        f"{path}.{name}" if path else name: leaf
        for path, module in model.named_modules()
        for name, leaf in _leaves(module)
        if isinstance(leaf, Tensor) and not isinstance(leaf, nn.Parameter)
    }


def _tensors(model: nn.Module) -> Iterator[Tensor]:
    """Every tensor that a copy would duplicate, those of modules kept in plain lists among them."""
    for module in model.modules():
        for _, leaf in _leaves(module):
            if isinstance(leaf, Tensor):
                yield leaf
            elif isinstance(leaf, nn.Module):
                yield from (*leaf.parameters(), *leaf.buffers())


def _leaves(module: nn.Module) -> Iterator[tuple[str, Any]]:
    """What a module holds, through lists and mappings, but for its children."""
    for name, value in vars(module).items():
        if name in ("_parameters", "_buffers"):
            yield from value.items()
        elif name != "_modules":
            leaves = pytree.tree_leaves(value)
            yield from ((f"{name}.{i}", leaf) for i, leaf in enumerate(leaves))


def _copied(model: nn.Module, memo: dict[int, Any]) -> nn.Module:
    try:
        return copy.deepcopy(model, dict(memo))
    except Exception:  # noqa: BLE001 - a lock, a generator, an open file: whatever does not copy is shared
        shared = {id(value): value for value in _uncopiable(model, memo)}
    try:
        return copy.deepcopy(model, memo | shared)
    except Exception as error:
        raise UnsupportedModelError(
            f"{type(model).__name__} cannot be copied for sampling ({error}); an attribute of one of its "
            "modules refuses copy.deepcopy: leave it out, or give its class a __deepcopy__ that returns "
            "itself"
        ) from error


def _uncopiable(model: nn.Module, memo: dict[int, Any]) -> Iterator[Any]:
    for module in model.modules():
        for _, leaf in _leaves(module):
            if not isinstance(leaf, Tensor | nn.Module) and not _copies(leaf, memo):
                yield leaf


def _copies(value: Any, memo: dict[int, Any]) -> bool:
    try:
        copy.deepcopy(value, dict(memo))
    except Exception:  # noqa: BLE001 - whatever the reason
        return False
    return True


def _uncompiled(module: nn.Module) -> nn.Module:
    """`module` with every `torch.compile` wrapper in it undone."""
    module = getattr(module, "_orig_mod", module)
    for name, child in module.named_children():
        original = _uncompiled(child)
        if original is not child:
            setattr(module, name, original)
    return module


def _undivided(view: nn.Module) -> nn.Module:
    """`view` with every `nn.DataParallel` in it on one device: on others it runs in threads of its own."""
    for module in view.modules():
        if isinstance(module, nn.DataParallel):
            module.device_ids = []
    return view


def set_train_mode(view: nn.Module, paths: Collection[str]) -> None:
    """Put the modules at `paths`, and no others, in train mode."""
    for path, module in view.named_modules():
        module.training = path in paths


class ModulePaths(threading.local):
    """The modules that are running in this thread, outermost first, by path."""

    def __init__(self) -> None:
        self.running: list[str] = []
        self._orders: list[Tensor | None] = []

    def __deepcopy__(self, _memo: dict[int, Any]) -> Self:
        """Itself: a module that forward copies runs in the place of the original."""
        return self

    def innermost(self) -> str:
        """Path of the module whose own code is running; empty for the model itself."""
        return self.running[-1] if self.running else ""

    def row_order(self) -> Tensor | None:
        """The rows in the order in which that module was given them, if it was given a packed sequence."""
        return self._orders[-1] if self._orders else None

    def enter(self, path: str, args: tuple[Any, ...]) -> None:
        """A module starts."""
        self.running.append(path)
        packed = args[0] if args and isinstance(args[0], PackedSequence) else None
        self._orders.append(packed.sorted_indices if packed else None)

    def leave(self) -> None:
        """The innermost module ends."""
        self.running.pop()
        self._orders.pop()

    def clear(self) -> None:
        """Forget what an interrupted pass left."""
        self.running.clear()
        self._orders.clear()


def watch_paths(view: nn.Module) -> ModulePaths:
    """Hook every module of a view that may draw, so that the paths of the running ones are known."""
    paths = ModulePaths()
    for path, module in view.named_modules():
        if path and _is_silent(module):
            continue
        module.register_forward_pre_hook(_Enter(paths, path), prepend=True)
        module.register_forward_hook(_Leave(paths), always_call=True)
    return paths


def _is_silent(module: nn.Module) -> bool:
    """Whether it is a layer of torch's that draws nothing, and runs nothing of the user's."""
    return type(module) in _SILENT and not (
        module._forward_hooks or module._forward_pre_hooks or "forward" in vars(module)  # noqa: SLF001
    )


class _Enter:
    def __init__(self, paths: ModulePaths, path: str) -> None:
        self._paths, self._path = paths, path

    def __call__(self, _module: nn.Module, args: tuple[Any, ...]) -> None:
        self._paths.enter(self._path, args)


class _Leave:
    def __init__(self, paths: ModulePaths) -> None:
        self._paths = paths

    def __call__(self, _module: nn.Module, _args: Any, _output: Any) -> None:
        self._paths.leave()


@contextmanager
def called_originals(model: nn.Module) -> Iterator[list[str]]:
    """A list of the user's own modules that this thread calls inside: what a closure over the model does.

    The hook that sees them is global while it is there, so other threads are told apart by their id.
    """
    here = threading.get_ident()
    originals = {id(module): path or "(model)" for path, module in model.named_modules()}
    called: list[str] = []

    def note(module: nn.Module, _args: Any) -> None:
        if threading.get_ident() == here and id(module) in originals:
            called.append(originals[id(module)])

    handle = register_module_forward_pre_hook(note)
    try:
        yield called
    finally:
        handle.remove()
