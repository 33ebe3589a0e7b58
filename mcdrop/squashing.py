"""Does a network end in a sigmoid? Then it returns probabilities, and no logits.

The values do not tell: logits may all lie between 0 and 1 by chance, and a sigmoid of probabilities is never
below 0.5. So one pass in eval mode is watched: which tensors come out of a sigmoid, and what is merely
another shape of them.
"""

from typing import Any, Final

from torch import Tensor
from torch.overrides import TorchFunctionMode

from mcdrop.engine.generators import generators_restored
from mcdrop.engine.inputs import Call
from mcdrop.engine.network import Network
from mcdrop.errors import OptionError
from mcdrop.predictive.tasks import only_output

__all__ = ["refuse_sigmoid"]

_SIGMOIDS: Final = frozenset({"expit", "hardsigmoid", "sigmoid", "sigmoid_", "special_expit"})
_WRITES: Final = frozenset({"__setitem__", "__iadd__", "__isub__", "__imul__", "__itruediv__"})
_SHAPES: Final = frozenset(
    {
        "__getitem__",
        "clamp",
        "clip",
        "contiguous",
        "detach",
        "double",
        "flatten",
        "float",
        "half",
        "movedim",
        "permute",
        "reshape",
        "select",
        "squeeze",
        "to",
        "transpose",
        "unsqueeze",
        "view",
    }
)


def refuse_sigmoid(network: Network, call: Call) -> None:
    """Refuse a network that is said to return logits of events and ends in a sigmoid.

    Args:
        network: What was traced.
        call: Some rows.

    Raises:
        OptionError: If it does.
    """
    watch = _Watch()
    try:
        with generators_restored(), network.inference(), watch:
            returned = network.deterministic_outputs(call)
        found = watch.holds(only_output(network.rebuild(returned)))
    except Exception:  # noqa: BLE001 - whoever needs this pass, or one output, tells why there is none
        return
    if found:
        raise OptionError(
            "the model ends in a sigmoid, so it returns probabilities: say output='probabilities' (--output "
            "on the command line); the sigmoid of a probability is never below 0.5"
        )


class _Watch(TorchFunctionMode):
    """Keeps the results of sigmoids, and their other shapes."""

    def __init__(self) -> None:
        super().__init__()
        self._kept: list[Tensor] = []

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        name = getattr(func, "__name__", "")
        if _writes(name):
            self._kept = [each for each in self._kept if each is not args[0]]
        if isinstance(result, Tensor) and (name in _SIGMOIDS or (name in _SHAPES and self.holds(args[0]))):
            self._kept.append(result)
        return result

    def holds(self, value: Any) -> bool:
        """Whether it is one of them."""
        return any(value is each for each in self._kept)


def _writes(name: str) -> bool:
    """Whether a method of that name gives its tensor other numbers: `mul_`, `__imul__` or `__setitem__`."""
    if name.endswith("__"):
        return name in _WRITES
    return name.endswith("_") and name.removesuffix("_") not in _SHAPES
