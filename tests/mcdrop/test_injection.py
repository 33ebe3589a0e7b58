"""Dropout for models that have none: where it lands, that it is sampled, and what is refused."""

import copy
import pickle
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import mcdrop
from mcdrop.engine.oracle import native_oracle
from mcdrop.errors import DomainError, InputError, OptionError, UnsupportedModelError
from mcdrop.injection import ACTIVATIONS, After, Attention, Before
from mcdrop.rates import rates_of
from tests.support.replaying import by_row, consistent, independent, network_and_call, samples
from tests.support.tolerances import EXACT, FLOAT32, monte_carlo


def mlp() -> nn.Module:
    return nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, 3)).eval()


def cnn() -> nn.Module:
    features = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(inplace=True), nn.Conv2d(4, 4, 3))
    return nn.Sequential(features, nn.Flatten(), nn.Linear(64, 3)).eval()


def encoder() -> nn.Module:
    layer = nn.TransformerEncoderLayer(4, 2, 8, dropout=0.0, batch_first=True)
    return nn.TransformerEncoder(layer, 2, enable_nested_tensor=False).eval()


class FusedAttention(nn.Module):
    """Calls the fused kernel, with the rate given by position, and a loss of its own beside it."""

    def __init__(self, *, fused: bool = True) -> None:
        super().__init__()
        self.query = nn.Linear(4, 4)
        self.fused = fused

    def forward(self, x: Tensor) -> Tensor:
        q = self.query(x).unsqueeze(1)
        if not self.fused:
            weights = (q @ x.unsqueeze(1).mT).softmax(-1)
            return torch.matmul(weights, x.unsqueeze(1)).squeeze(1)
        return F.scaled_dot_product_attention(q, x.unsqueeze(1), x.unsqueeze(1), None, 0.0).squeeze(1)


def noise(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))


ROWS, IMAGES, SEQUENCES = noise(4, 4), noise(4, 1, 8, 8), noise(4, 5, 4)

Where = Any
PLACES: list[tuple[Callable[[], nn.Module], Tensor, Where, list[str]]] = [
    (mlp, ROWS, nn.Linear, ["0.injected_before", "2.injected_before", "4.injected_before"]),
    (mlp, ROWS, "2", ["2.injected_before"]),
    (mlp, ROWS, "[24]", ["2.injected_before", "4.injected_before"]),
    (mlp, ROWS, Before(nn.Linear, last=2), ["2.injected_before", "4.injected_before"]),
    (mlp, ROWS, lambda path, _: path > "2", ["3.injected_before", "4.injected_before"]),
    (mlp, ROWS, After(ACTIVATIONS), ["1.injected_after", "3.injected_after"]),
    (mlp, ROWS, After((nn.Tanh, nn.GELU)), ["3.injected_after"]),
    (mlp, ROWS, [After("1"), "4"], ["1.injected_after", "4.injected_before"]),
    (cnn, IMAGES, nn.Conv2d, ["0.0.injected_before", "0.3.injected_before"]),
    (cnn, IMAGES, Before(nn.Conv2d, last=1), ["0.3.injected_before"]),
    (cnn, IMAGES, Before(nn.Module, within="0.[13]"), ["0.1.injected_before", "0.3.injected_before"]),
    (cnn, IMAGES, "0", ["0.0.injected_before"]),
    (cnn, IMAGES, After("0"), ["0.3.injected_after"]),
    (cnn, IMAGES, After(ACTIVATIONS), ["0.2.injected_after"]),
    (encoder, SEQUENCES, Attention(), ["layers.0.self_attn", "layers.1.self_attn"]),
    (encoder, SEQUENCES, Attention(last=1), ["layers.1.self_attn"]),
    (encoder, SEQUENCES, After("layers.0"), ["layers.0.injected_after"]),
    (encoder, SEQUENCES, Before("*0.linear2"), ["layers.0.linear2.injected_before"]),
    (FusedAttention, SEQUENCES, Attention(""), [""]),
    (lambda: nn.Sequential(FusedAttention(), nn.Linear(4, 2)), SEQUENCES, Attention(FusedAttention), ["0"]),
    (lambda: nn.Linear(4, 2), ROWS, nn.Linear, ["injected_before"]),
]  # fmt: skip


@pytest.fixture(autouse=True)
def _the_same_weights_each_time() -> Iterator[None]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


every_place = pytest.mark.parametrize(("make", "x", "where", "modules"), PLACES)


@every_place
def test_dropout_is_where_it_was_asked_for(
    make: Callable[[], nn.Module], x: Tensor, where: Where, modules: list[str]
) -> None:
    model = mcdrop.inject(make(), p=0.3, where=where)
    network, _ = network_and_call(model, x)
    assert [key.module for key in network.sites] == modules
    assert {site.p for site in network.sites.values()} == {0.3}


@every_place
def test_replay_agrees_with_the_native_oracle_and_with_single_rows(
    make: Callable[[], nn.Module], x: Tensor, where: Where, modules: list[str]
) -> None:
    network, call = network_and_call(mcdrop.inject(make(), p=0.3, where=where), x)
    result = native_oracle(network, call)
    assert result.explained == len(result.native_draws) == len(modules)
    assert result.difference is not None
    assert result.difference <= FLOAT32["atol"]
    for keys in (consistent(call), independent(call)):
        for got, wanted in zip(
            samples("vmap", network, call, keys), by_row(network, call, keys), strict=True
        ):
            torch.testing.assert_close(got, wanted, **FLOAT32)


@pytest.mark.parametrize(("make", "where"), [place[0:3:2] for place in PLACES])
def test_the_model_that_was_given_is_as_it_was(make: Callable[[], nn.Module], where: Where) -> None:
    model = make().train()
    before, kinds = copy.deepcopy(model.state_dict()), [type(m) for m in model.modules()]
    hooks = [len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules()]
    rates = list(rates_of(model))
    injected = mcdrop.inject(model, p=0.3, where=where)
    assert kinds == [type(m) for m in model.modules()]
    assert hooks == [len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules()]
    assert rates == rates_of(model)
    assert all(m.training for m in model.modules())
    assert not any(m.training for m in injected.modules())
    torch.testing.assert_close(model.state_dict(), before, **EXACT)


@pytest.mark.parametrize(("make", "x", "where"), [place[:3] for place in PLACES])
def test_weights_are_shared_names_are_kept_and_eval_computes_the_same(
    make: Callable[[], nn.Module], x: Tensor, where: Where
) -> None:
    model = make()
    injected = mcdrop.inject(model, p=0.3, where=where)
    assert list(injected.state_dict()) == list(model.state_dict())
    assert all(a is b for a, b in zip(model.parameters(), injected.parameters(), strict=True))
    assert isinstance(injected, type(model))
    torch.testing.assert_close(injected(x), model(x), **FLOAT32)


def test_the_mean_of_an_injected_input_is_kept() -> None:
    model = nn.Linear(4, 2)
    injected = mcdrop.inject(model, p=0.4).train()
    with torch.no_grad():
        draws = injected(ROWS[:1].expand(20_000, 4))
        gap = (draws.mean(0) - model(ROWS[0])).abs()
    assert (gap <= monte_carlo(20_000) * draws.std(0)).all()


def test_mcdropout_takes_what_was_injected() -> None:
    samples = mcdrop.MCDropout(mcdrop.inject(cnn(), p=0.2), n_samples=32).sample(IMAGES)
    assert (samples.std(0) > 0).all()


def test_an_injected_model_can_be_trained_on() -> None:
    model = mlp()
    injected = mcdrop.inject(model, p=0.5).train()
    injected(ROWS).square().sum().backward()
    first = next(model.parameters())
    assert first.grad is not None
    assert first.grad.abs().sum() > 0


def test_whole_channels_are_dropped_at_convolutions() -> None:
    sites = network_and_call(mcdrop.inject(cnn(), p=0.3, where=nn.Conv2d), IMAGES)[0].sites
    assert [site.shape for site in sites.values()] == [(2, 1, 1, 1), (2, 4, 1, 1)]


def test_the_kind_of_layer_can_be_chosen() -> None:
    injected = mcdrop.inject(cnn(), p=0.3, where=After(nn.ReLU), layer=nn.Dropout2d)
    (site,) = network_and_call(injected, IMAGES)[0].sites.values()
    assert site.kind == "dropout2d"


def test_rates_by_place_and_the_later_counts() -> None:
    injected = mcdrop.inject(mlp(), p={nn.Linear: 0.1, "4": 0.4, After("1"): 0.2})
    sites = network_and_call(injected, ROWS)[0].sites
    wanted = {
        "0.injected_before": 0.1,
        "1.injected_after": 0.2,
        "2.injected_before": 0.1,
        "4.injected_before": 0.4,
    }
    assert {key.module: site.p for key, site in sites.items()} == wanted  # fmt: skip


def test_a_further_injection_elsewhere_adds_to_the_first() -> None:
    injected = mcdrop.inject(mcdrop.inject(mlp(), p=0.1, where="0"), p=0.2, where=After("0"))
    sites = network_and_call(injected, ROWS)[0].sites
    assert [site.p for site in sites.values()] == [0.1, 0.2]


def test_a_module_called_with_a_keyword_is_reached() -> None:
    class ByKeyword(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = nn.Linear(4, 2)

        def forward(self, x: Tensor) -> Tensor:
            out: Tensor = self.linear(input=x)
            return out

    assert len(network_and_call(mcdrop.inject(ByKeyword(), p=0.2), ROWS)[0].sites) == 1


@every_place
def test_what_was_injected_is_pickled_and_copied_whole(
    make: Callable[[], nn.Module], x: Tensor, where: Where, modules: list[str]
) -> None:
    injected = mcdrop.inject(make(), p=0.3, where=where)
    wanted = mcdrop.MCDropout(injected, n_samples=8).sample(x)
    for again in (copy.deepcopy(injected), _pickled(injected)):
        assert rates_of(again) == rates_of(injected)
        assert [site.module for site in mcdrop.MCDropout(again).trace(x)] == modules
        torch.testing.assert_close(mcdrop.MCDropout(again, n_samples=8).sample(x), wanted, **EXACT)


def _pickled(model: nn.Module) -> nn.Module:
    again: nn.Module = pickle.loads(pickle.dumps(model))  # noqa: S301 - bytes of our own
    return again


def test_injected_attention_is_no_rate_of_training_and_is_set_under_either_name() -> None:
    injected: Any = mcdrop.inject(encoder(), p=0.1, where=Attention(last=1))
    attention = injected.layers[1].self_attn
    assert [rate.name for rate in rates_of(injected) if rate.p] == ["layers.1.self_attn.injected_dropout"]
    assert attention.dropout == 0.1
    attention.dropout = 0.2
    assert attention.injected_dropout == 0.2
    other = mcdrop.with_rates(injected, {"layers.1.self_attn": 0.4})
    assert [s.p for s in network_and_call(other, SEQUENCES)[0].sites.values()] == [0.4]


def test_rates_of_what_was_injected_can_be_changed() -> None:
    injected = mcdrop.inject(FusedAttention(), p={Attention(""): 0.1, "query": 0.2})
    other = mcdrop.with_rates(injected, {"injected_dropout": 0.3, "query.injected_before": 0.4})
    assert sorted(s.p or 0 for s in network_and_call(injected, SEQUENCES)[0].sites.values()) == [0.1, 0.2]
    assert sorted(s.p or 0 for s in network_and_call(other, SEQUENCES)[0].sites.values()) == [0.3, 0.4]


# --- bad input -------------------------------------------------------------------------------------


@pytest.mark.parametrize("p", [1.0, 1, -0.1, float("nan"), True, "0.1", None])
def test_a_rate_must_lie_in_its_range(p: Any) -> None:
    with pytest.raises(DomainError, match=r"p must be a number in \[0, 1\), got"):
        mcdrop.inject(mlp(), p=p)


def test_a_pattern_that_matches_nothing_lists_near_matches() -> None:
    near = r"'layers\.0\.linear3' matches nothing.*near matches: layers\.0\.linear[12]"
    with pytest.raises(OptionError, match=near):
        mcdrop.inject(encoder(), p=0.1, where="layers.0.linear3")


def test_a_type_that_matches_nothing_lists_what_there_is() -> None:
    with pytest.raises(
        OptionError, match=r"LSTM matches nothing in Sequential; there are: Linear, ReLU, Tanh$"
    ):
        mcdrop.inject(mlp(), p=0.1, where=nn.LSTM)


def test_attention_of_another_type_is_to_be_named() -> None:
    said = (
        r"MultiheadAttention matches nothing.*: FusedAttention.*named by the modules that call.*Attention\("
    )
    with pytest.raises(OptionError, match=said):
        mcdrop.inject(nn.Sequential(FusedAttention()), p=0.1, where=Attention())


@pytest.mark.parametrize("where", ["Linear", "nn.Linear"])
def test_the_name_of_a_type_is_met_with_the_type(where: str) -> None:
    with pytest.raises(
        OptionError, match=r"a string means paths, for all layers of the type pass nn\.Linear"
    ):
        mcdrop.inject(mlp(), p=0.1, where=where)
    with pytest.raises(OptionError, match=r"pass FusedAttention itself"):
        mcdrop.inject(nn.Sequential(FusedAttention()), p=0.1, where="FusedAttention")


@pytest.mark.parametrize(
    ("where", "said"),
    [
        (3, "layers are meant by a glob over their paths, a type, a tuple of types, or a predicate; got 3"),
        (None, "got None"),
        (["0", 3], "got 3"),
        ((), r"got \(\)"),
        (nn.Linear(2, 2), "got a Linear itself: name its path"),
        (lambda module: isinstance(module, nn.Linear), "lambda path, module: ..."),
    ],
)
def test_what_cannot_mean_layers_is_refused(where: Where, said: str) -> None:
    with pytest.raises(OptionError, match=said):
        mcdrop.inject(mlp(), p=0.1, where=where)


def test_a_place_is_checked_where_it_is_made() -> None:
    with pytest.raises(OptionError, match=r"got 3"):
        mcdrop.inject(mlp(), p={3: 0.1})  # type: ignore[dict-item]
    with pytest.raises(OptionError, match="several places go in a list"):
        Before((nn.Linear, "2"))  # type: ignore[arg-type]
    with pytest.raises(OptionError, match=r"within must be a glob over paths, such as 'head.*', got 3"):
        After(nn.Linear, within=3)  # type: ignore[arg-type]
    with pytest.raises(OptionError, match="last must be an integer of at least 1"):
        Before(nn.Linear, last=1.5)  # type: ignore[arg-type]


@pytest.mark.parametrize("change", [lambda m: mcdrop.inject(m, p=0.1), lambda m: mcdrop.with_rates(m, {})])
def test_what_is_no_module_is_refused(change: Callable[[Any], nn.Module]) -> None:
    with pytest.raises(InputError, match=r"model must be a torch.nn.Module, got str"):
        change("model")
    with pytest.raises(InputError, match=r"got MCDropout; pass its .model"):
        change(mcdrop.MCDropout(mlp()))


def test_nothing_within_is_said() -> None:
    with pytest.raises(OptionError, match=r"Linear matches modules, but none within '1'"):
        mcdrop.inject(mlp(), p=0.1, where=Before(nn.Linear, within="1"))


@pytest.mark.parametrize("where", ["4", After("4"), nn.Linear])
def test_injecting_twice_is_refused_with_what_to_do(where: Where) -> None:
    once = mcdrop.inject(mlp(), p=0.1, where=where)
    with pytest.raises(
        OptionError, match=r"has an injected dropout already: change its rate with with_rates"
    ):
        mcdrop.inject(once, p=0.1, where=where)


@pytest.mark.parametrize("make", [encoder, FusedAttention])
def test_giving_attention_a_rate_twice_is_refused(make: Callable[[], nn.Module]) -> None:
    place = Attention() if make is encoder else Attention("")
    once = mcdrop.inject(make(), p=0.1, where=place)
    with pytest.raises(OptionError, match=r"has .*dropout.* already: change .* with with_rates"):
        mcdrop.inject(once, p=0.1, where=place)


REFUSED: list[tuple[nn.Module, Where, str]] = [
    (nn.ModuleDict({"a": nn.ModuleList([nn.Linear(2, 2)])}), "a", "is a container without a forward"),
    (nn.Sequential(nn.Sequential(), nn.Linear(2, 2)), "0", "is a chain that is empty"),
    (nn.Sequential(nn.Embedding(3, 2)), "0", "takes indices"),
    (nn.Sequential(nn.MultiheadAttention(2, 1)), "0", "takes three inputs"),
    (nn.Sequential(nn.MultiheadAttention(2, 1)), "0.out_proj", "is never called"),
    (nn.Sequential(nn.MultiheadAttention(2, 1)), nn.Linear, "is never called"),
    (nn.Sequential(nn.LSTM(2, 2)), After("0"), "returns several things"),
]


@pytest.mark.parametrize(("model", "where", "why"), REFUSED)
def test_layers_that_dropout_cannot_be_put_at_are_refused_with_the_reason(
    model: nn.Module, where: Where, why: str
) -> None:
    with pytest.raises(OptionError, match=why):
        mcdrop.inject(model, p=0.1, where=where)


def test_what_a_wildcard_matches_by_the_way_is_left_out() -> None:
    model = nn.Sequential(nn.Embedding(3, 4), nn.MultiheadAttention(4, 2), nn.Linear(4, 2))
    injected = mcdrop.inject(model, p=0.1, where="*")
    assert [name for name, _ in injected.named_modules() if "injected" in name] == ["2.injected_before"]


def test_an_input_that_is_no_tensor_of_real_numbers_is_refused() -> None:
    model = mcdrop.inject(nn.Sequential(nn.Identity(), nn.Embedding(3, 2)), p=0.1, where="0").train()
    with pytest.raises(
        UnsupportedModelError, match=r"at Identity \(injected_before\).*a tensor of torch.int64"
    ):
        model(torch.tensor([1, 2]))


def test_attention_that_never_calls_the_fused_kernel_is_refused() -> None:
    injected = mcdrop.inject(FusedAttention(fused=False), p=0.1, where=Attention("")).train()
    with pytest.raises(UnsupportedModelError, match=r"makes no call of F\.scaled_dot_product_attention"):
        injected(SEQUENCES)


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"p": {"0": 0.1}, "where": "1"}, "where= has nothing to add"),
        ({"p": 0.1, "where": []}, "no place was given"),
        ({"p": {}}, "no place was given"),
        ({"p": 0.1, "layer": lambda p: p}, "layer must make a torch.nn.Module"),
    ],
)
def test_options_that_do_not_fit_are_refused(options: dict[str, Any], why: str) -> None:
    with pytest.raises(OptionError, match=why):
        mcdrop.inject(mlp(), **options)


def test_a_kind_of_layer_does_not_go_with_attention() -> None:
    with pytest.raises(OptionError, match="attention probabilities are dropped one by one"):
        mcdrop.inject(encoder(), p=0.1, where=Attention(), layer=nn.Dropout2d)
