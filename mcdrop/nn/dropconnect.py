"""Dropout of weights: DropConnect for linear and convolution layers, WeightDrop for recurrent ones.

One mask for all rows of a batch: there is one weight. Under `MCDropout` all rows share it, whatever `masks=`
says.

A layer does not know the rest of its network, so that none of them can see whether its weight is tied to
another: `check_untied` looks at the whole.
"""

from collections.abc import Iterator
from typing import Final

import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.parameter import is_lazy
from torch.nn.utils.parametrize import is_parametrized
from torch.nn.utils.rnn import PackedSequence

from mcdrop.errors import InputError, UnsupportedModelError
from mcdrop.nn.rate import checked_rate

__all__ = ["DropConnect", "WeightDrop", "check_untied"]

_LINEAR: Final = (nn.Linear,)
_CONVOLUTIONS: Final = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
_RECURRENT: Final = (nn.RNN, nn.LSTM, nn.GRU)


class DropConnect(nn.Module):
    """A linear or convolution layer whose single weights are dropped; its bias stays.

    Args:
        layer: `nn.Linear` or `nn.Conv1d/2d/3d`; its weights become those of this layer.
        p: Probability that a weight is zero, in [0, 1).
        inverted: Whether to scale the weights by 1 / (1 - p) in training; otherwise by 1 - p in evaluation.

    Raises:
        InputError: If the layer is of another kind, or its weight is not its own parameter.
        DomainError: If p lies outside its range.

    Source:
        Wan et al. 2013, "Regularization of neural networks using DropConnect", ICML. The paper replaces the
        mean of evaluation by a Gaussian approximation; here it is the layer with its mean weights.
    """

    def __init__(self, layer: nn.Module, p: float = 0.5, *, inverted: bool = True) -> None:
        super().__init__()
        _check_kind(layer, _LINEAR + _CONVOLUTIONS, "DropConnect")
        self.layer = layer
        self.p = checked_rate(p)
        self.inverted = inverted

    @property
    def dropped_weights(self) -> tuple[nn.Parameter, ...]:
        """The parameters under dropout."""
        return (self.layer.weight,)  # type: ignore[return-value]

    def forward(self, x: Tensor) -> Tensor:
        """What `layer` takes and returns."""
        layer = self.layer
        weight = F.dropout(self.dropped_weights[0], self.p, self.training)
        weight = weight if self.inverted else weight * (1 - self.p)
        if isinstance(layer, nn.Linear):
            return F.linear(x, weight, layer.bias)
        out: Tensor = layer._conv_forward(x, weight, layer.bias)  # type: ignore[operator] # noqa: SLF001 - its padding modes
        return out

    def extra_repr(self) -> str:
        """The arguments."""
        return f"p={self.p}, inverted={self.inverted}"


class WeightDrop(nn.Module):
    """A recurrent layer whose hidden-to-hidden weights are dropped, one mask for all time steps.

    Args:
        rnn: `nn.LSTM`, `nn.GRU` or `nn.RNN`; its weights become those of this layer.
        p: Probability that a weight is zero, in [0, 1).

    Raises:
        InputError: If the layer is of another kind, or its weights are not its own parameters.
        DomainError: If p lies outside its range.

    Source:
        Merity, Keskar and Socher 2017, "Regularizing and optimizing LSTM language models" (AWD-LSTM),
        arXiv:1708.02182, section 2.
    """

    def __init__(self, rnn: nn.Module, p: float = 0.5) -> None:
        super().__init__()
        _check_kind(rnn, _RECURRENT, "WeightDrop")
        self.rnn: nn.RNNBase = rnn  # type: ignore[assignment]
        self.p = checked_rate(p)

    @property
    def dropped_weights(self) -> tuple[nn.Parameter, ...]:
        """The parameters under dropout."""
        return tuple(p for name, p in self.rnn.named_parameters() if name.startswith("weight_hh"))

    def forward(self, x: Tensor | PackedSequence, state: object = None) -> tuple[object, object]:
        """What `rnn` takes and returns."""
        weights = [
            F.dropout(weight, self.p, self.training) if name.startswith("weight_hh") else weight
            for name, weight in self.rnn.named_parameters()
        ]
        rnn = _with_weights(self.rnn, weights)
        rnn.training = self.training
        out: tuple[object, object] = type(rnn).forward(rnn, x, state)
        return out

    def extra_repr(self) -> str:
        """The arguments."""
        return f"p={self.p}"


def _with_weights(rnn: nn.RNNBase, weights: list[Tensor]) -> nn.RNNBase:
    """The layer with other weights, for one call: torch keeps those of a pass on the module.

    No references are kept, by which torch would find the weights changed and put back the parameters.
    """
    other = object.__new__(type(rnn))
    vars(other).update(vars(rnn))
    vars(other).update(_flat_weights=weights, _flat_weight_refs=[None] * len(weights))
    return other


def check_untied(model: nn.Module) -> None:
    """See that no dropped weight has a second user, which would see it whole; call it before training.

    Such a model trains without a sign of it, as another one than was meant. `MCDropout` refuses it by itself.

    Args:
        model: The whole network.

    Raises:
        UnsupportedModelError: If a weight under `DropConnect` or `WeightDrop` is tied to another layer.
    """
    for reason in _tied(model):
        raise UnsupportedModelError(reason)


def _tied(model: nn.Module) -> Iterator[str]:
    for path, wrapper in model.named_modules():
        if isinstance(wrapper, DropConnect | WeightDrop):
            inside = {id(wrapper.layer if isinstance(wrapper, DropConnect) else wrapper.rnn)}
            for weight in wrapper.dropped_weights:
                for other in _users(model, weight, inside):
                    yield (
                        f"{path or 'the model'} ({type(wrapper).__name__}) drops a weight that {other} uses "
                        "as well, so it would be dropped here and whole there; untie the two"
                    )


def _users(model: nn.Module, weight: nn.Parameter, inside: set[int]) -> Iterator[str]:
    """Paths of the layers that hold a weight, but where a wrapper drops it; a layer may have several."""
    if _holds(model, weight):
        yield "the model"
    for path, parent in model.named_modules():
        drops = isinstance(parent, DropConnect | WeightDrop)
        for name, layer in parent.named_children():
            if _holds(layer, weight) and not (drops and id(layer) in inside):
                yield f"{path}.{name}".lstrip(".")


def _holds(layer: nn.Module, weight: nn.Parameter) -> bool:
    return any(own is weight for own in layer.parameters(recurse=False))


def _check_kind(layer: object, kinds: tuple[type[nn.Module], ...], wrapper: str) -> None:
    names = ", ".join(f"nn.{kind.__name__}" for kind in kinds)
    if not isinstance(layer, kinds) or type(layer).forward not in [kind.forward for kind in kinds]:
        raise InputError(f"{wrapper} wraps {names}, got {type(layer).__name__}")
    if is_parametrized(layer):
        raise InputError(
            f"the weight of this {type(layer).__name__} is computed by a parametrization; remove it first"
        )
    if any(is_lazy(parameter) for parameter in layer.parameters()):
        raise InputError(f"this {type(layer).__name__} has no weights yet; run it once, then wrap it")
