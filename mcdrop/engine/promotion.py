"""Birth promotion: what lets vmap run networks that write draws into tensors in place.

vmap batches lazily, so a tensor that was made before the first draw has no sample axis, and a draw cannot
be written into it (`x.new_empty(shape).bernoulli_(p)`, `h += drop(h)`, `y[:, :5] = drop(y)`). Every call to
torch is numbered. When such a write fails, the call that gave birth to the target is looked up, and the
pass starts again with the output of that call batched. A few passes find all of them, and the network
remembers them.
"""

from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from mcdrop.engine.functorch import has_sample_axis
from mcdrop.engine.inputs import Call
from mcdrop.engine.interception.mode import Interception
from mcdrop.engine.operators import storage_of
from mcdrop.engine.view import state_tensors

__all__ = ["Attempt", "Births", "Promotions", "with_promotions"]

_T_co = TypeVar("_T_co", covariant=True)


class Attempt(Protocol[_T_co]):
    """Runs a network under vmap."""

    def __call__(self, births: frozenset[int], *, search: bool) -> _T_co:
        """Run with some births promoted; with `search`, ask for more where a write fails."""


@dataclass
class Promotions:
    """The births that one network needs promoted; replaced as a whole, so that threads may share it.

    Attributes:
        births: Numbers of calls; leaf i of the inputs counts as -1 - i.
    """

    births: frozenset[int] = frozenset()


class _Promote(Exception):  # noqa: N818 - not an error: a request to start again
    def __init__(self, birth: int) -> None:
        super().__init__(birth)
        self.birth = birth


def with_promotions(attempt: Attempt[_T_co], known: Promotions) -> _T_co:
    """What `attempt` returns, with as many promotions as it takes.

    Args:
        attempt: Runs the network.
        known: What was found before; holds afterwards what was found now.
    """
    try:
        return attempt(known.births, search=False)
    except torch.OutOfMemoryError:  # a RuntimeError that no promotion cures
        raise
    except RuntimeError:
        births = frozenset[int]()
    while True:
        try:
            result = attempt(births, search=True)
        except _Promote as request:
            births |= {request.birth}
        else:
            known.births = births
            return result


class Births:
    """Numbers the births of one pass, and promotes some of them.

    Args:
        promoted: The births to promote.
        one: True, with a sample axis: what batches whatever is selected by it.
        search: Whether to look for further births to promote.
        model: Whose own tensors live longer than a pass, and so are not promoted.
    """

    def __init__(self, promoted: frozenset[int], one: Tensor, *, search: bool, model: nn.Module) -> None:
        self._promoted = promoted
        self._one = one
        self._search = search
        lasting = (*model.parameters(), *state_tensors(model).values()) if search else ()
        self._births: dict[int, int | None] = dict.fromkeys(map(storage_of, lasting))
        self._alive: list[Tensor] = []  # so that no storage is born twice
        self._calls = 0

    def mode(self, *of_pass: Any) -> Interception:
        """The mode to run the pass under, made of what `Interception` takes."""
        return _Numbering(self, *of_pass)

    def inputs(self, call: Call) -> Call:
        """The call with promoted inputs."""
        leaves = tuple(self.born(-1 - i, leaf) for i, leaf in enumerate(call.leaves))
        return Call(leaves, call.spec, call.axes, call.rows)

    def next_call(self) -> int:
        """The number of the call that is being made."""
        self._calls += 1
        return self._calls

    def born(self, number: int, output: Any) -> Any:
        """The output of a call, promoted if it must be."""
        if number in self._promoted:
            output = pytree.tree_map_only(Tensor, self._batched, output)
        if self._search:
            for tensor in pytree.tree_leaves(output):
                self._note(number, tensor)
        return output

    def request(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """A call failed: ask for a promotion, if one is looked for and its target could be promoted.

        Raises:
            _Promote: If a tensor that it may have written to was born without a sample axis.
        """
        for target in (kwargs.get("out"), *args[:1]) if self._search else ():
            birth = self._births.get(storage_of(target)) if _is_plain(target) else None
            if birth is not None and birth not in self._promoted:
                raise _Promote(birth)

    def _batched(self, tensor: Tensor) -> Tensor:
        if has_sample_axis(tensor):
            return tensor
        return torch.where(self._one.to(tensor.device), tensor, tensor)  # layers may be on several devices

    def _note(self, number: int, tensor: Any) -> None:
        if _is_plain(tensor):
            self._births.setdefault(storage_of(tensor), number)
            self._alive.append(tensor)


class _Numbering(Interception):
    """The interception, with every call numbered."""

    def __init__(self, births: Births, *of_pass: Any) -> None:
        super().__init__(*of_pass)
        self._births = births

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        number = self._births.next_call()
        try:
            output = super().__torch_function__(func, types, args, kwargs)
        except RuntimeError:
            self._births.request(args, kwargs or {})
            raise
        return self._births.born(number, output)


def _is_plain(tensor: Any) -> bool:
    """Whether it is a tensor without a sample axis."""
    return isinstance(tensor, Tensor) and not has_sample_axis(tensor)
