"""What a network ends in: after a sigmoid it returns no logits, after exp or softplus no log variance.

The values do not tell: logits may all lie between 0 and 1 by chance, and a sigmoid of probabilities is never
below 0.5. So one pass in eval mode is watched: which tensors come out of such a function, and what is merely
another shape of them.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

from torch import Tensor
from torch.overrides import TorchFunctionMode

from mcdrop.engine.generators import generators_restored
from mcdrop.engine.inputs import Call
from mcdrop.engine.network import Network
from mcdrop.errors import OptionError
from mcdrop.predictive.predictive import is_number
from mcdrop.predictive.tasks import mean_and_log_variance, only_output

__all__ = ["refuse_sigmoid", "refuse_variance"]

_SIGMOIDS: Final = frozenset({"expit", "hardsigmoid", "sigmoid", "sigmoid_", "special_expit"})
_POSITIVE: Final = frozenset({"exp", "exp_", "softplus", "square"})
_SUMS: Final = frozenset({"__add__", "__radd__", "add"})
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
    if _ends_in(_SIGMOIDS, network, call, only_output):
        raise OptionError(
            "the model ends in a sigmoid, so it returns probabilities: say output='probabilities' (--output "
            "on the command line); the sigmoid of a probability is never below 0.5"
        )


def refuse_variance(network: Network, call: Call) -> None:
    """Refuse a heteroscedastic network whose log variance can only be positive, as torch's losses want it.

    Args:
        network: What was traced.
        call: Some rows.

    Raises:
        OptionError: If what is taken for a log variance comes out of exp, softplus or a square, also with a
            positive number added.
    """
    if _ends_in(_POSITIVE, network, call, _log_variance):
        raise OptionError(
            "what the model returns as log_variance comes out of exp, softplus or a square, so it is the "
            "variance itself, or a standard deviation, as torch.nn.GaussianNLLLoss takes it: wrap the model "
            "in a module that returns (mean, variance.log()), or (mean, 2 * std.log()); a log variance "
            "that is meant to be positive is taken by its name, in a dict of mean and log_variance"
        )


def _ends_in(
    functions: frozenset[str], network: Network, call: Call, picked: Callable[[Any], Tensor | None]
) -> bool:
    """Whether a part of what a pass returns comes out of one of these functions."""
    watch = _Watch(functions)
    try:
        with generators_restored(), network.inference(), watch:
            returned = network.deterministic_outputs(call)
        return watch.holds(picked(network.outputs.rebuild(returned)))
    except Exception:  # noqa: BLE001 - whoever needs this pass, or one output, tells why there is none
        return False


def _log_variance(outputs: Any) -> Tensor | None:
    """The second of a pair; what is called a log variance by name is meant to be one."""
    return None if isinstance(outputs, Mapping) else mean_and_log_variance(outputs)[1]


class _Watch(TorchFunctionMode):
    """Keeps the results of some functions, and their other shapes."""

    def __init__(self, functions: frozenset[str]) -> None:
        super().__init__()
        self._functions = functions
        self._kept: list[Tensor] = []

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        name = getattr(func, "__name__", "")
        if _writes(name):
            self._kept = [each for each in self._kept if each is not args[0]]
        if isinstance(result, Tensor) and (name in self._functions or self._is_another_shape(name, args)):
            self._kept.append(result)
        return result

    def _is_another_shape(self, name: str, args: tuple[Any, ...]) -> bool:
        """Whether the result is what is kept, laid out otherwise; or a positive value kept away from zero."""
        added = args[1] if self._functions is _POSITIVE and name in _SUMS and len(args) > 1 else None
        away = is_number(added) and added > 0
        return (name in _SHAPES or away) and self.holds(args[0])

    def holds(self, value: Any) -> bool:
        """Whether it is one of them."""
        return any(value is each for each in self._kept)


def _writes(name: str) -> bool:
    """Whether a method of that name gives its tensor other numbers: `mul_`, `__imul__` or `__setitem__`."""
    if name.endswith("__"):
        return name in _WRITES
    return name.endswith("_") and name.removesuffix("_") not in _SHAPES
