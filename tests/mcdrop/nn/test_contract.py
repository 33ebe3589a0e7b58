"""What every layer of `mcdrop.nn` keeps: in training, in evaluation, and under `MCDropout`."""

import copy
import pickle
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn

import mcdrop
from mcdrop.engine.oracle import native_oracle
from mcdrop.engine.tracing import trace
from tests.mcdrop.nn.layers import CASES, VARIATIONAL, Case, tensors
from tests.support.replaying import by_row, consistent, independent, network_and_call, samples
from tests.support.tolerances import EXACT, FLOAT32, monte_carlo

DRAWS = 3000

every_layer = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)


@pytest.fixture(autouse=True)
def _the_same_draws_each_time() -> Iterator[None]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


def expected(case: Case, layer: nn.Module) -> list[Tensor]:
    """What evaluation should give."""
    kept = case.x if case.kept is None else case.kept(layer)(case.x)
    return [tensor * case.scale for tensor in tensors(kept)]


@every_layer
def test_evaluation_computes_the_layer_without_dropout(case: Case) -> None:
    layer = case.make().eval()
    for got, wanted in zip(tensors(layer(case.x)), expected(case, layer), strict=True):
        torch.testing.assert_close(got, wanted, **EXACT if case.scale == 1 else FLOAT32)


@pytest.mark.parametrize("case", [case for case in CASES if case.linear], ids=lambda case: case.name)
def test_training_has_the_mean_of_evaluation(case: Case) -> None:
    layer = case.make()
    with torch.no_grad():
        (wanted,) = tensors(layer.eval()(case.x))
        layer.train()
        drawn = torch.func.vmap(lambda _: layer(case.x), randomness="different")(torch.arange(DRAWS))
    bound = monte_carlo(DRAWS) * drawn.std(0) + FLOAT32["atol"]
    assert ((drawn.mean(0) - wanted).abs() <= bound).all()


@every_layer
def test_training_moves_and_uses_the_global_generator(case: Case) -> None:
    layer = case.make().train()
    state = torch.get_rng_state()
    first, second = tensors(layer(case.x))[0], tensors(layer(case.x))[0]
    torch.set_rng_state(state)
    assert not torch.equal(first, second)
    assert torch.equal(first, tensors(layer(case.x))[0])


@every_layer
def test_gradients_reach_the_input_and_every_parameter(case: Case) -> None:
    layer = case.make().train()
    x = case.x.clone().requires_grad_(case.x.is_floating_point())
    sum(t.square().sum() for t in tensors(layer(x))).backward()  # type: ignore[union-attr]
    wanted = [*layer.parameters(), *([x] if x.requires_grad else [])]
    for tensor in wanted:
        assert tensor.grad is not None
        assert tensor.grad.isfinite().all()
        assert tensor.grad.abs().sum() > 0


@every_layer
def test_a_state_dict_carries_everything(case: Case) -> None:
    one, other = case.make(), case.make()
    other.load_state_dict(one.state_dict())
    for layer in (one, other):
        layer.train()
    state = torch.get_rng_state()
    first = tensors(one(case.x))
    torch.set_rng_state(state)
    for a, b in zip(first, tensors(other(case.x)), strict=True):
        assert torch.equal(a, b)


@every_layer
def test_copies_and_pickles_draw_as_it_does(case: Case) -> None:
    layer = case.make().train()
    pickled = pickle.loads(pickle.dumps(layer))  # noqa: S301 - bytes of our own
    state = torch.get_rng_state()
    wanted = tensors(layer(case.x))
    for other in (copy.deepcopy(layer), pickled):
        torch.set_rng_state(state)
        for a, b in zip(tensors(other(case.x)), wanted, strict=True):
            assert torch.equal(a, b)


@every_layer
def test_its_gradient_is_that_of_finite_differences(case: Case) -> None:
    layer = case.make().train().double()
    x = case.x.double().requires_grad_() if case.x.is_floating_point() else case.x

    def drawn(*_: Tensor) -> tuple[Tensor, ...]:
        torch.manual_seed(1)
        return tuple(tensors(layer(x)))

    moved = [tensor for tensor in (*layer.parameters(), x) if tensor.requires_grad]
    assert torch.autograd.gradcheck(drawn, moved, fast_mode=True)


@every_layer
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_goes_in_and_comes_out(case: Case, dtype: torch.dtype) -> None:
    layer = case.make()
    x = case.x.to(dtype) if case.x.is_floating_point() else case.x
    wanted = tensors(layer.eval()(case.x))
    layer.to(dtype)
    for got, whole in zip(tensors(layer(x)), wanted, strict=True):
        assert got.dtype == dtype
        torch.testing.assert_close(got.float(), whole, rtol=0.05, atol=0.05)
    for got in tensors(layer.train()(x)):
        assert got.dtype == dtype
        assert got.isfinite().all()


@every_layer
def test_it_prints_its_rates(case: Case) -> None:
    layer = case.make()
    rates = VARIATIONAL.values() if "Variational" in case.name and "rnn" in dir(layer) else [layer.p]
    assert all(f"={float(p):.4g}" in repr(layer) for p in rates)  # type: ignore[arg-type]


@every_layer
def test_its_sites_have_these_masks_and_rates_and_the_layer_owns_them(case: Case) -> None:
    model = nn.Sequential(case.make())
    network, call = network_and_call(model, case.x, batch_axis=case.row_axis)
    sites = list(network.sites.values())
    assert [(site.shape, site.row_axis) for site in sites] == case.masks
    assert [site.p for site in sites] == case.p
    assert {site.module for site in sites} == trace(model, call).owners == {"0"}


@every_layer
def test_the_native_oracle_agrees(case: Case) -> None:
    network, call = network_and_call(nn.Sequential(case.make()), case.x, batch_axis=case.row_axis)
    result = native_oracle(network, call)
    assert result.explained == len(result.native_draws) == len(case.masks)
    assert result.difference is not None
    assert result.difference <= FLOAT32["atol"]


@every_layer
@pytest.mark.parametrize("strategy", ["vmap", "loop"])
def test_each_row_gets_what_it_gets_alone(case: Case, strategy: str) -> None:
    network, call = network_and_call(nn.Sequential(case.make()), case.x, batch_axis=case.row_axis)
    for keys in (consistent(call, seed=5), independent(call, seed=5)):
        for got, wanted in zip(
            samples(strategy, network, call, keys), by_row(network, call, keys), strict=True
        ):
            torch.testing.assert_close(got, wanted, **FLOAT32)


@every_layer
def test_under_mcdropout_the_first_samples_of_many_are_the_few(case: Case) -> None:
    mc = mcdrop.MCDropout(nn.Sequential(case.make()), batch_axis=case.row_axis, seed=3)
    few, many, again = (tensors(mc.sample(case.x, n_samples=n)) for n in (8, 24, 8))
    for a, b, c in zip(few, many, again, strict=True):
        torch.testing.assert_close(a, b[:8], **FLOAT32)
        assert torch.equal(a, c)
        assert (b.std(0) > 0).any()


@every_layer
def test_the_spread_under_mcdropout_is_that_of_training(case: Case) -> None:
    layer = case.make()
    mc = mcdrop.MCDropout(nn.Sequential(layer), batch_axis=case.row_axis, rng="philox-1-plain", verify=False)
    ours = tensors(mc.sample(case.x, n_samples=512))[0]
    layer.train()
    with torch.no_grad():
        native = torch.stack([tensors(layer(case.x))[0] for _ in range(256)]).movedim(1 + case.row_axis, 1)
    for power in (1, 2):
        (a, scale_a), (b, scale_b) = _moment(ours, power), _moment(native, power)
        bound = (monte_carlo(len(ours)) * scale_a).hypot(monte_carlo(len(native)) * scale_b)
        assert ((a - b).abs() <= bound + FLOAT32["atol"]).all()


def _moment(x: Tensor, power: int) -> tuple[Tensor, Tensor]:
    """A moment, and the standard deviation of what it averages."""
    powers = x**power
    return powers.mean(0), powers.std(0)


@every_layer
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor:UserWarning")  # dynamo's own access
def test_compiled_it_still_draws_anew_and_computes_what_it_did(case: Case) -> None:
    layer = case.make()
    recurrent = any(isinstance(module, nn.RNNBase) for module in layer.modules())  # which dynamo leaves alone
    compiled = torch.compile(layer, backend="aot_eager", fullgraph=not recurrent)
    layer.train()
    first, second = (tensors(compiled(case.x))[0] for _ in range(2))
    assert not torch.equal(first, second)
    layer.eval()
    for a, b in zip(tensors(compiled(case.x)), tensors(layer(case.x)), strict=True):
        torch.testing.assert_close(a, b, **FLOAT32)


@every_layer
def test_what_torch_export_makes_of_it_draws_as_it_does(case: Case) -> None:
    layer = case.make().train()
    with torch.no_grad():
        exported = torch.export.export(layer, (case.x,)).module()
        state = torch.get_rng_state()
        wanted = tensors(layer(case.x))
        torch.set_rng_state(state)
        got = tensors(exported(case.x))
    for a, b in zip(got, wanted, strict=True):
        torch.testing.assert_close(a, b, **FLOAT32)
