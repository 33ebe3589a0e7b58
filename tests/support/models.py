"""One small model for every kind of randomness that mcdrop promises to sample."""

import copy
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.distributions import Bernoulli, Exponential, Laplace, Normal, Uniform

from tests.support.stochastic_modules import (
    AuxiliaryHead,
    CounterInTraining,
    DropConnect,
    DropPath,
    Encoder,
    LayerDrop,
    ParentGuard,
    Recurrent,
    Residual,
    ScaledDotProduct,
    SelfAttention,
    SequenceToSequence,
    Stepwise,
    StochasticDepth,
    WeightDropped,
    applied,
)

__all__ = ["CASES", "Case", "case"]

_ROWS: Final = 4
_TIME: Final = 5

Inputs = Callable[[], tuple[Tensor, ...]]
Drop = Callable[[Tensor, bool], Tensor]


@dataclass(frozen=True)
class Case:
    """A model and its inputs.

    Attributes:
        name: Of the case.
        factory: Makes the model, with weights of a fixed seed.
        inputs: Makes its inputs.
        sites: How many random calls one pass makes.
        batch_axis: Of the inputs.
        strategy: The one that its plan ends up with.
    """

    name: str
    factory: Callable[[], nn.Module]
    inputs: Inputs
    sites: int = 1
    batch_axis: int = 0
    strategy: str = "vmap"

    def make(self) -> tuple[nn.Module, tuple[Tensor, ...]]:
        """The model, in eval mode, and its inputs."""
        with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.manual_seed(3)
            inputs = self.inputs()
            model = self.factory()
            with torch.no_grad():
                model(*(x.clone() for x in inputs))  # lazy layers take their shape
        return model.eval(), inputs


def case(name: str) -> Case:
    """The case of that name."""
    return next(c for c in CASES if c.name == name)


# --- inputs ----------------------------------------------------------------------------------------


def rows_of(*shape: int) -> Inputs:
    """Inputs (N, *shape)."""
    return lambda: (torch.randn(_ROWS, *shape),)


def time_first() -> tuple[Tensor, ...]:
    return (torch.randn(_TIME, _ROWS, 4),)


def with_lengths() -> tuple[Tensor, ...]:
    return torch.randn(_ROWS, _TIME, 4), torch.tensor([2, 4, 5, 3])


def with_padding() -> tuple[Tensor, ...]:
    """Sequences, and True where they are padded."""
    x, lengths = with_lengths()
    return x, torch.arange(_TIME) >= lengths[:, None]


def with_mask(fill: float | None) -> Inputs:
    """Sequences, and a mask (bool, or float with `fill`) in which the first query may attend to nothing."""

    def make() -> tuple[Tensor, ...]:
        allowed = torch.rand(_ROWS, 1, _TIME, _TIME) < 0.7
        allowed[:, :, 0] = False
        mask = allowed if fill is None else torch.zeros(allowed.shape).masked_fill(~allowed, fill)
        return torch.randn(_ROWS, _TIME, 4), mask

    return make


# --- models ----------------------------------------------------------------------------------------


def mlp(drop: Callable[[], nn.Module]) -> Callable[[], nn.Module]:
    return lambda: nn.Sequential(nn.Linear(4, 6), nn.ReLU(), drop(), nn.Linear(6, 3))


def flattened(drop: Callable[[], nn.Module]) -> Callable[[], nn.Module]:
    return lambda: nn.Sequential(nn.Identity(), drop(), nn.Flatten(), nn.LazyLinear(3))


def function(name: str, drop: Drop, sites: int = 1) -> Case:
    """A case in which a layer calls a function of (x, whether to train)."""
    return Case(name, lambda: applied(drop), rows_of(4), sites)


def noise(name: str, draw: Callable[[Tensor], Tensor]) -> Case:
    """A case in which a layer multiplies by what a function draws for x, in train mode."""
    return function(name, lambda x, train: x * draw(x) if train else x)


def residual(drop: nn.Module) -> nn.Module:
    return nn.Sequential(Residual(nn.Linear(4, 4), drop), nn.ReLU(), nn.Linear(4, 3))


def used_twice(x: Tensor, train: bool) -> Tensor:
    return F.dropout(x, 0.4, train, True) * 0.5 + x


def some_columns(x: Tensor, train: bool) -> Tensor:
    y = x.clone()
    y[:, :3] = F.dropout(y[:, :3], 0.4, train)
    return y


def added_in_place(x: Tensor, train: bool) -> Tensor:
    x += F.dropout(x, 0.4, train)
    return x


def statement_form(x: Tensor) -> Tensor:
    mask = torch.empty(x.shape)
    mask.bernoulli_(0.7)
    return mask


def into_buffer(x: Tensor) -> Tensor:
    mask = torch.empty(x.shape)
    torch.bernoulli(torch.full(x.shape, 0.7), out=mask)
    return mask


def joined(x: Tensor, train: bool) -> Tensor:
    if not train:
        return x
    return x * torch.cat([torch.rand(x.shape[0], 3), torch.rand_like(x[:, :3])], 1)


def energy_and_forces(x: Tensor, train: bool) -> Tensor:
    with torch.enable_grad():
        x = x.detach().requires_grad_()
        energy = F.dropout(x.square(), 0.3, train).sum()
        (forces,) = torch.autograd.grad(energy, x)
    return forces


def in_inference_mode(x: Tensor, train: bool) -> Tensor:
    with torch.inference_mode():
        return F.dropout(x, 0.3, train)


class CopiedLayer(nn.Sequential):
    """Runs a copy of its layer."""

    def __init__(self) -> None:
        super().__init__(nn.Dropout(0.3))

    def forward(self, x: Tensor) -> Tensor:
        """(N, F) -> (N, F)."""
        output: Tensor = copy.deepcopy(self[0])(x)
        return output


class Doubled(nn.Module):
    """Runs its layers with other weights."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(4, 6), nn.Dropout(0.3), nn.Linear(6, 3))

    def forward(self, x: Tensor) -> Tensor:
        """(N, 4) -> (N, 3)."""
        weights = {name: 2 * weight for name, weight in self.layers.named_parameters()}
        output: Tensor = torch.func.functional_call(self.layers, weights, (x,))
        return output


DROPOUT: Final = (
    Case("nn.Dropout", mlp(lambda: nn.Dropout(0.5)), rows_of(4)),
    Case("nn.Dropout(p=1)", lambda: residual(nn.Sequential(nn.Dropout(0.3), nn.Dropout(1.0))), rows_of(4), 2),
    Case("nn.Dropout of time first", mlp(lambda: nn.Dropout(0.5)), time_first, batch_axis=1),
    Case(
        "nn.Dropout of flattened rows",
        lambda: nn.Sequential(nn.Flatten(0, 1), nn.Dropout(0.5), nn.Unflatten(0, (-1, 5))),
        rows_of(5, 4),
    ),
    Case("nn.Dropout in place", mlp(lambda: nn.Dropout(0.5, inplace=True)), rows_of(4)),
    Case("nn.Dropout of the input, in place", lambda: nn.Dropout(0.5, inplace=True), rows_of(4)),
    Case("nn.Dropout1d", flattened(lambda: nn.Dropout1d(0.4)), rows_of(3, 5)),
    Case("nn.Dropout1d of two axes", flattened(lambda: nn.Dropout1d(0.4)), rows_of(5)),
    Case("nn.Dropout2d", flattened(lambda: nn.Dropout2d(0.4)), rows_of(3, 4, 4)),
    Case("nn.Dropout2d of three axes", flattened(lambda: nn.Dropout2d(0.4)), rows_of(3, 4)),
    Case("nn.Dropout3d", flattened(lambda: nn.Dropout3d(0.4)), rows_of(3, 2, 2, 2)),
    Case("nn.Dropout3d of four axes", flattened(lambda: nn.Dropout3d(0.4)), rows_of(3, 2, 2)),
    Case("nn.AlphaDropout", mlp(lambda: nn.AlphaDropout(0.3)), rows_of(4)),
    Case("nn.AlphaDropout in place", mlp(lambda: nn.AlphaDropout(0.3, inplace=True)), rows_of(4)),
    Case("nn.FeatureAlphaDropout", flattened(lambda: nn.FeatureAlphaDropout(0.4)), rows_of(3, 4)),
    function("F.dropout", lambda x, train: F.dropout(x, 0.3, train)),
    function("F.dropout in place, used twice", used_twice),
    function("F.dropout written to some columns", some_columns),
    function("F.dropout added in place", added_in_place),
    function("F.dropout1d", lambda x, train: F.dropout1d(x[:, :, None], 0.3, train).squeeze(2)),
    function("F.dropout2d", lambda x, train: F.dropout2d(x[:, :, None, None], 0.3, train).flatten(1)),
    function("F.dropout3d", lambda x, train: F.dropout3d(x[:, :, None, None, None], 0.3, train).flatten(1)),
    function("F.alpha_dropout", lambda x, train: F.alpha_dropout(x, 0.3, train)),
    function(
        "F.feature_alpha_dropout", lambda x, t: F.feature_alpha_dropout(x[..., None], 0.3, t).squeeze(2)
    ),
    function("torch.dropout", lambda x, train: torch.dropout(x, 0.3, train)),
    function("torch.dropout_", lambda x, train: torch.dropout_(x, 0.3, train)),
    function(
        "torch.feature_dropout", lambda x, train: torch.feature_dropout(x[..., None], 0.3, train)[..., 0]
    ),
    function("torch.alpha_dropout", lambda x, train: torch.alpha_dropout(x, 0.3, train)),
)

ATTENTION: Final = (
    Case("attention", lambda: SelfAttention(batch_first=True), rows_of(5, 4)),
    Case("attention, weights", lambda: SelfAttention(batch_first=True, need_weights=True), rows_of(5, 4)),
    Case(
        "attention, weights by head",
        lambda: SelfAttention(batch_first=True, need_weights=True, per_head=True),
        rows_of(5, 4),
    ),
    Case("attention, padding", lambda: SelfAttention(batch_first=True), with_padding),
    Case(
        "attention, padding and weights",
        lambda: SelfAttention(batch_first=True, need_weights=True),
        with_padding,
    ),
    Case("attention, causal", lambda: SelfAttention(batch_first=True, causal=True), rows_of(5, 4)),
    Case(
        "attention, causal with weights",
        lambda: SelfAttention(batch_first=True, causal=True, need_weights=True),
        rows_of(5, 4),
    ),
    Case("attention, time first", SelfAttention, time_first, batch_axis=1),
    Case("attention, kdim and vdim", lambda: SelfAttention(batch_first=True, kdim=3, vdim=2), rows_of(5, 4)),
    Case(
        "attention, bias_kv and zero_attn",
        lambda: SelfAttention(batch_first=True, add_bias_kv=True, add_zero_attn=True),
        rows_of(5, 4),
    ),
    Case("encoder", Encoder, rows_of(5, 4), 8),
    Case("encoder, padding", Encoder, with_padding, 8),
    Case("encoder, pre-norm", lambda: Encoder(norm_first=True), rows_of(5, 4), 8),
    Case("encoder, time first", lambda: Encoder(batch_first=False), time_first, 8, batch_axis=1),
    Case("transformer", SequenceToSequence, rows_of(5, 4), 10),
    Case(
        "transformer, time first", lambda: SequenceToSequence(batch_first=False), time_first, 10, batch_axis=1
    ),
    Case("sdpa", ScaledDotProduct, rows_of(5, 4)),
    Case("sdpa, causal", lambda: ScaledDotProduct(is_causal=True), rows_of(5, 4)),
    Case("sdpa, scale", lambda: ScaledDotProduct(scale=0.9), rows_of(5, 4)),
    Case(
        "sdpa, grouped queries",
        lambda: ScaledDotProduct(heads=4, key_heads=2, enable_gqa=True),
        rows_of(5, 4),
    ),
    Case(
        "sdpa, grouped, causal, scale",
        lambda: ScaledDotProduct(heads=4, key_heads=2, enable_gqa=True, is_causal=True, scale=0.3),
        rows_of(5, 4),
    ),
    Case("sdpa, bool mask", ScaledDotProduct, with_mask(None)),
    Case("sdpa, float mask", ScaledDotProduct, with_mask(-2.0)),
    Case("sdpa, rows masked with -inf", ScaledDotProduct, with_mask(-torch.inf)),
    Case("sdpa, one head of rank 3", lambda: ScaledDotProduct(heads=1), rows_of(5, 4)),
    Case(
        "sdpa without dropout, behind one",
        lambda: nn.Sequential(nn.Dropout(0.3), ScaledDotProduct(p=0.0)),
        rows_of(5, 4),
    ),
    Case(
        "causal sdpa without dropout, behind one",
        lambda: nn.Sequential(nn.Dropout(0.3), ScaledDotProduct(heads=1, p=0.0, is_causal=True)),
        rows_of(5, 4),
    ),
)

RECURRENT: Final = (
    Case("LSTM", lambda: Recurrent(nn.LSTM), rows_of(5, 4)),
    Case(
        "LSTM, three layers, both directions",
        lambda: Recurrent(nn.LSTM, layers=3, bidirectional=True),
        rows_of(5, 4),
        2,
    ),
    Case("LSTM, projected", lambda: Recurrent(nn.LSTM, proj_size=3), rows_of(5, 4)),
    Case("LSTM, time first", lambda: Recurrent(nn.LSTM, batch_first=False), time_first, batch_axis=1),
    Case("LSTM, no biases", lambda: Recurrent(nn.LSTM, bias=False), rows_of(5, 4)),
    Case("LSTM, packed", lambda: Recurrent(nn.LSTM), with_lengths),
    Case("LSTM behind dropout", lambda: nn.Sequential(nn.Dropout(0.3), Recurrent(nn.LSTM)), rows_of(5, 4), 2),
    Case("LSTM with dropped weights", WeightDropped, rows_of(5, 4), 2),
    Case("LSTM cell", lambda: Stepwise(nn.LSTMCell), rows_of(3, 4), 3),
    Case("GRU cell", lambda: Stepwise(nn.GRUCell), rows_of(3, 4), 3),
    Case("RNN cell", lambda: Stepwise(nn.RNNCell), rows_of(3, 4), 3),
    Case("GRU", lambda: Recurrent(nn.GRU), rows_of(5, 4)),
    Case("GRU, both directions", lambda: Recurrent(nn.GRU, bidirectional=True), rows_of(5, 4)),
    Case("GRU, packed", lambda: Recurrent(nn.GRU, bidirectional=True), with_lengths),
    Case("RNN", lambda: Recurrent(nn.RNN), rows_of(5, 4)),
    Case("RNN, relu", lambda: Recurrent(nn.RNN, nonlinearity="relu"), rows_of(5, 4)),
)

RAW: Final = (
    noise("bernoulli_", lambda x: torch.empty_like(x).bernoulli_(0.7)),
    noise("bernoulli_ at one half", lambda x: torch.empty_like(x).bernoulli_()),
    noise("bernoulli_ of probabilities", lambda x: torch.empty_like(x).bernoulli_(torch.full(x.shape, 0.7))),
    noise("bernoulli_ as a statement", statement_form),
    noise(
        "bernoulli_ of integers", lambda x: torch.empty(x.shape, dtype=torch.long).bernoulli_(0.7).to(x.dtype)
    ),
    noise("bernoulli", lambda x: torch.bernoulli(torch.full(x.shape, 0.7))),
    noise("bernoulli of the data", lambda x: torch.bernoulli(torch.sigmoid(x))),
    noise("bernoulli into a buffer", into_buffer),
    noise("Tensor.bernoulli", lambda x: x.bernoulli(0.7)),
    noise("rand", lambda x: (torch.rand(x.shape) < 0.7).to(x.dtype)),
    noise("rand by sizes", lambda x: torch.rand(x.shape[0], x.shape[1])),
    noise("rand with a generator", lambda x: torch.rand(size=x.shape, generator=torch.Generator())),
    noise("rand, changed in place", lambda x: torch.rand(x.shape).add_(0.7).floor_()),
    noise("rand for all rows", lambda x: torch.rand(x.shape[1])),
    noise("rand_like", lambda x: 0.5 + torch.rand_like(x)),
    noise("randn", lambda x: 1 + torch.randn(*x.shape)),
    noise("randn_like", lambda x: 1 + 0.3 * torch.randn_like(x)),
    noise("normal", lambda x: torch.normal(1.0, 0.3, x.shape)),
    noise("normal around the data", lambda x: torch.normal(x, 0.3)),
    noise("normal with a spread", lambda x: torch.normal(x, x.exp())),
    noise("normal_", lambda x: torch.empty_like(x).normal_(1.0, 0.3)),
    noise("uniform_", lambda x: torch.empty_like(x).uniform_(0.5, 1.5)),
    noise("uniform_ by name", lambda x: x.new_empty(x.shape).uniform_(to=2.0)),
    noise("exponential_", lambda x: torch.empty_like(x).exponential_(2.0)),
    noise("Normal.rsample", lambda x: Normal(x, 0.3).rsample()),
    noise("Uniform.sample", lambda x: Uniform(torch.zeros_like(x), torch.ones_like(x)).sample()),
    noise("Bernoulli.sample", lambda x: Bernoulli(probs=torch.full(x.shape, 0.7)).sample()),
    noise("Exponential.rsample", lambda x: Exponential(torch.ones_like(x)).rsample()),
    noise("Laplace.rsample", lambda x: Laplace(torch.ones_like(x), 0.2).rsample()),
    noise("gumbel_softmax", F.gumbel_softmax),
    noise("gumbel_softmax, hard", lambda x: F.gumbel_softmax(x, hard=True)),
    function("rrelu", lambda x, train: F.rrelu(x, training=train)),
    function("rrelu in place", lambda x, train: F.rrelu(x, 0.1, 0.5, train, True)),
    function("rrelu of torch", lambda x, train: torch.rrelu(x, 0.1, 0.5, train)),
    function("rrelu_ of torch", lambda x, train: torch.rrelu_(x, 0.1, 0.5, train)),
    function("native_dropout", lambda x, train: torch.native_dropout(x, 0.3, train)[0]),
    function("aten.dropout", lambda x, train: torch.ops.aten.dropout(x, 0.3, train)),
    function("aten.dropout.default", lambda x, train: torch.ops.aten.dropout.default(x, 0.3, train)),
    noise("aten.bernoulli.p", lambda x: torch.ops.aten.bernoulli.p(x, 0.7)),
    noise("aten.rand_like.default", lambda x: torch.ops.aten.rand_like.default(x, pin_memory=False)),
    function("rand, joined", joined, 2),
    Case(
        "nn.FractionalMaxPool2d",
        lambda: nn.Sequential(nn.FractionalMaxPool2d(2, (3, 3)), nn.Flatten()),
        rows_of(2, 7, 7),
    ),
    Case(
        "nn.FractionalMaxPool3d",
        lambda: nn.Sequential(nn.FractionalMaxPool3d(2, (3, 3, 3)), nn.Flatten()),
        rows_of(1, 7, 7, 7),
    ),
    Case("nn.RReLU", lambda: nn.Sequential(nn.Linear(4, 6), nn.RReLU(), nn.Linear(6, 3)), rows_of(4)),
)

WAYS: Final = (
    Case("gradients in forward", lambda: applied(energy_and_forces), rows_of(4), strategy="fold"),
    function("inference mode in forward", in_inference_mode),
    Case("a layer copied in forward", CopiedLayer, rows_of(4)),
    Case("functional_call", Doubled, rows_of(4)),
)

DEPTH: Final = (
    Case("DropPath", lambda: residual(DropPath(0.4)), rows_of(4)),
    Case("StochasticDepth by row", lambda: residual(StochasticDepth(0.4, "row")), rows_of(4)),
    Case("StochasticDepth by batch", lambda: residual(StochasticDepth(0.4, "batch")), rows_of(4)),
    Case("DropConnect", lambda: nn.Sequential(DropConnect(4, 0.4), nn.Dropout(0.2)), rows_of(4), 2),
    Case("LayerDrop", lambda: LayerDrop(3, 0.3), rows_of(4), 6, strategy="loop"),
    Case("decision by .item()", lambda: LayerDrop(1, 0.01), rows_of(4), 2, strategy="loop"),
    Case("a parent that guards its child", ParentGuard, rows_of(4)),
    Case("an auxiliary head in training", AuxiliaryHead, rows_of(4)),
    Case("a counter in training", CounterInTraining, rows_of(4)),
)

CASES: Final = (*DROPOUT, *ATTENTION, *RECURRENT, *RAW, *WAYS, *DEPTH)
"""All of them."""
