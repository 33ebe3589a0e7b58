"""What a trace cannot see or replay, refused with the name of who does it and what to do instead."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import FunctionType
from typing import Any

import torch
from torch import nn

from mcdrop.engine.attributes import enclosed
from mcdrop.engine.failures import first_line
from mcdrop.engine.generators import generator_states, moved_since
from mcdrop.engine.inputs import Call
from mcdrop.engine.recording import recorded
from mcdrop.engine.sites import Site, site_id
from mcdrop.engine.view import ModulePaths
from mcdrop.errors import McdropError, NothingRandomError, UnsupportedModelError

__all__ = [
    "drawing",
    "functions_holding",
    "nothing_random",
    "refuse_closures",
    "refuse_shared_masks",
    "refuse_unseen_draws",
    "single_row",
    "unseen",
]


def nothing_random(model: nn.Module, switched_off: Sequence[str]) -> NothingRandomError:
    """The error that says why every pass of a model would be the same.

    Args:
        model: The user's.
        switched_off: Calls of dropout that are off though every module is in train mode.
    """
    silent = [path or "(model)" for path, module in model.named_modules() if _is_silent_dropout(module)]
    looked = (
        "every pass would be the same: one forward pass made no random call. Looked for: dropout of every "
        "kind (modules and functions), dropout in attention and in recurrent layers, stochastic depth, and "
        "draws such as torch.rand and bernoulli_; a generator of NumPy's that the model holds is out of sight"
    )
    if silent:
        listed = ", ".join(silent[:5]) + (", ..." if len(silent) > 5 else "")
        return NothingRandomError(
            f"{looked}. There is dropout of rate 0: {listed}. Set the rate used in training, above 0"
        )
    if switched_off:
        return NothingRandomError(
            f"{looked}. There is dropout that is off even in train mode: {', '.join(switched_off[:5])}. A "
            "program that was exported or traced in eval mode keeps it off for ever: do so in train mode; a "
            "forward that reads a flag of its own should read self.training"
        )
    if any(type(module).__module__.startswith("torch.ao.nn.quantized") for module in model.modules()):
        return NothingRandomError(
            f"{looked}. Quantised layers of dropout pass on what they get: sample the model before"
        )
    return NothingRandomError(
        f"{looked}; if the model has dropout, see that forward reaches it; if it has none, train it with "
        "some, or put some in now with mcdrop.inject(model, p=0.1)"
    )


def _is_silent_dropout(module: nn.Module) -> bool:
    rates = [getattr(module, name, None) for name in ("p", "dropout", "dropout_p", "drop_prob")]
    return any(
        isinstance(rate, float | int) and not isinstance(rate, bool) and rate == 0 for rate in rates
    ) and ("drop" in type(module).__name__.lower() or isinstance(module, nn.RNNBase | nn.MultiheadAttention))


def refuse_closures(originals: Sequence[str], holders: Sequence[str], silent: Sequence[str]) -> None:
    """Refuse a forward pass that leaves the private view.

    Args:
        originals: Modules of the user's own model that it calls.
        holders: Functions in the model that hold one of its modules.
        silent: Calls of dropout that are off though every module is in train mode.

    Raises:
        UnsupportedModelError: If it calls the original, or reads a flag of it.
    """
    what = f"calls {_listed(originals)}" if originals else f"reads a flag in {_listed(holders)}"
    if originals or (holders and silent):
        raise UnsupportedModelError(
            f"forward {what} of the original model, whatever module it runs in: a function that was put in "
            "place of forward, a lambda or a hook holds the model itself, so its dropout would stay off; "
            "make it a method, or give it the module as an argument"
        )


def functions_holding(model: nn.Module) -> list[str]:
    """Functions kept in a model, or among its hooks, that hold one of its modules; so do their copies."""
    originals = {id(module) for module in model.modules()}
    return [
        f"{path or '(model)'}.{name}"
        for path, module in model.named_modules()
        for name, function in _functions(module)
        if any(id(held) in originals for held in (*enclosed(function), *(function.__defaults__ or ())))
    ]


def _functions(module: nn.Module) -> Iterator[tuple[str, FunctionType]]:
    for name, value in vars(module).items():
        if name == "_modules":
            continue
        several = value.values() if isinstance(value, Mapping) else [value]
        yield from ((name, each) for each in several if isinstance(each, FunctionType))


def refuse_unseen_draws(
    operators: Sequence[str], generators: Sequence[str], view: nn.Module, paths: ModulePaths, call: Call
) -> None:
    """Refuse draws that happen beside the interception.

    Args:
        operators: Who calls which random operator.
        generators: That were drawn from, or seeded.
        view: Is run once more to see by whom.
        paths: Its running modules.
        call: A few rows.

    Raises:
        UnsupportedModelError: If there is any.
    """
    if operators or generators:
        raise unseen(operators or drawing(view, paths, call, generators))


def unseen(what: Sequence[str]) -> UnsupportedModelError:
    """The error that says who draws beside the interception."""
    return UnsupportedModelError(
        f"{_listed(what)} in a way that mcdrop does not see, so its samples could not be replayed; draw with "
        "torch functions such as torch.rand or F.dropout, and seed no generator in forward (TorchScript "
        "bodies, C++ extensions such as flash-attn, NumPy and Python's random are out of sight; a layer that "
        "forward makes at its first call draws its first weights: run the model once before)"
    )


def drawing(view: nn.Module, paths: ModulePaths, call: Call, generators: Sequence[str]) -> list[str]:
    """Which module draws from each generator: the innermost during whose forward pass it moves."""
    who: dict[str, str] = {}
    before: list[dict[str, Any]] = []

    def enter(_module: nn.Module, _args: Any) -> None:
        before.append(generator_states())

    def leave(_module: nn.Module, _args: Any, _output: Any) -> None:
        for generator in moved_since(before.pop()):
            who.setdefault(generator, paths.innermost())

    hooks = [
        hook
        for module in view.modules()
        for hook in (
            module.register_forward_pre_hook(enter),
            module.register_forward_hook(leave, prepend=True, always_call=True),
        )
    ]
    try:
        recorded(view, paths, call)
    finally:
        for hook in hooks:
            hook.remove()
    return [f"{who.get(generator) or 'the model'} draws from {generator}" for generator in generators]


def refuse_shared_masks(sites: Sequence[Site]) -> None:
    """Refuse two sites with one name in the generator.

    Raises:
        UnsupportedModelError: If there are.
    """
    known: dict[int, Site] = {}
    for site in sites:
        other = known.setdefault(site_id(site.key, site.kind), site)
        if other is not site:
            raise UnsupportedModelError(
                f"{other.name} and {site.name} would draw the same masks, since `module` and `_orig_mod` do "
                "not count in the path of a module (wrappers use them); give one of the two another name"
            )


@contextmanager
def single_row() -> Iterator[None]:
    """What is run inside runs on one row.

    Raises:
        UnsupportedModelError: If that fails.
    """
    try:
        yield
    except (McdropError, torch.OutOfMemoryError):
        raise
    except Exception as error:
        raise UnsupportedModelError(
            f"the model fails on a single row ({first_line(error)}), so no answer could belong to one row "
            "alone; see that forward works for a batch of one (squeeze() without an axis is a usual cause)"
        ) from error


def _listed(names: Sequence[str]) -> str:
    return ", ".join(sorted(set(names))[:3])
