"""Operators called by their full names, such as `torch.ops.aten.dropout.default`: what exported programs do.

Each has the arguments of a function of torch that is handled elsewhere, and goes to the same handler.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

import torch
import torch.nn.functional as F
from torch import Tensor

from mcdrop.engine.interception.mode import Handler

__all__ = ["by_full_name"]

_SAME: Final[dict[str, Callable[..., Any]]] = {
    "dropout": torch.dropout,
    "dropout_": torch.dropout_,
    "native_dropout": torch.native_dropout,
    "feature_dropout": torch.feature_dropout,
    "feature_dropout_": torch.feature_dropout_,
    "alpha_dropout": torch.alpha_dropout,
    "alpha_dropout_": torch.alpha_dropout_,
    "feature_alpha_dropout": torch.feature_alpha_dropout,
    "feature_alpha_dropout_": torch.feature_alpha_dropout_,
    "scaled_dot_product_attention": F.scaled_dot_product_attention,
    "lstm": torch.lstm,
    "gru": torch.gru,
    "rnn_tanh": torch.rnn_tanh,
    "rnn_relu": torch.rnn_relu,
    "lstm_cell": torch.lstm_cell,
    "max_pool2d": torch.max_pool2d,
    "bernoulli": torch.bernoulli,
    "bernoulli_": Tensor.bernoulli_,
    "rand": torch.rand,
    "rand_like": torch.rand_like,
    "uniform_": Tensor.uniform_,
    "randn": torch.randn,
    "randn_like": torch.randn_like,
    "normal_": Tensor.normal_,
    "normal": torch.normal,
    "exponential_": Tensor.exponential_,
    "rrelu": torch.rrelu,
    "rrelu_": torch.rrelu_,
    "multinomial": torch.multinomial,
    "randint": torch.randint,
    "randint_like": torch.randint_like,
    "randperm": torch.randperm,
    "poisson": torch.poisson,
    "binomial": torch.binomial,
    "random_": Tensor.random_,
    "cauchy_": Tensor.cauchy_,
    "geometric_": Tensor.geometric_,
    "log_normal_": Tensor.log_normal_,
}
"""Functions by the name of the operator that takes the same arguments."""


def by_full_name(handlers: Mapping[Any, Handler]) -> dict[Any, Handler]:
    """The handlers of operators and of their overloads.

    Args:
        handlers: Of functions.
    """
    found: dict[Any, Handler] = {}
    for name, function in _SAME.items():
        operator = getattr(torch.ops.aten, name)
        overloads = [getattr(operator, overload) for overload in operator.overloads()]
        found |= dict.fromkeys([operator, *overloads], handlers[function])
    return found | {torch.ops.aten.sym_size.int: _size}


def _size(_mode: Any, x: Tensor, axis: int) -> int:
    """How exported programs ask for a dynamic size; vmap has no rule for it."""
    return x.shape[axis]
