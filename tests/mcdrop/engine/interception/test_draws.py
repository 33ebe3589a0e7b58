import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from mcdrop.engine.tracing import trace
from mcdrop.errors import UnsupportedModelError
from tests.support.replaying import consistent, network_and_call, samples
from tests.support.stochastic_modules import Drop, applied
from tests.support.tolerances import EXACT

X = torch.randn(4, 4, generator=torch.Generator().manual_seed(0))

REFUSED: dict[str, Drop] = {
    "torch.multinomial": lambda x, _: x * torch.multinomial(x.softmax(1), 1),
    "Tensor.multinomial": lambda x, _: x * x.softmax(1).multinomial(1),
    "torch.randperm": lambda x, _: x[:, torch.randperm(x.shape[1])],
    "torch.randint": lambda x, _: x * torch.randint(0, 2, x.shape),
    "torch.randint_like": lambda x, _: x * torch.randint_like(x, 2),
    "torch.poisson": lambda x, _: torch.poisson(x.exp()),
    "torch._standard_gamma": lambda x, _: torch.distributions.Gamma(x.exp(), 1.0).sample(),
    "torch._sample_dirichlet": lambda x, _: torch.distributions.Dirichlet(x.exp()).sample(),
    "torch.binomial": lambda x, _: torch.binomial(torch.ones_like(x), torch.full_like(x, 0.5)),
    "Tensor.random_": lambda x, _: x * torch.empty_like(x).random_(2),
    "Tensor.cauchy_": lambda x, _: x * torch.empty_like(x).cauchy_(),
    "Tensor.geometric_": lambda x, _: x * torch.empty_like(x).geometric_(0.5),
    "Tensor.log_normal_": lambda x, _: x * torch.empty_like(x).log_normal_(),
}

INSTEAD: dict[str, str] = {
    "torch.multinomial": r"F.gumbel_softmax\(logits, hard=True\)",
    "torch.randint": r"\(torch.rand\(size\) \* high\).long\(\)",
    "torch.randperm": r"torch.rand\(rows, n\).argsort",
    "Tensor.cauchy_": "torch.rand, randn or bernoulli_",
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_draw_that_has_no_elements_to_address_is_refused_by_its_name_and_place(name: str) -> None:
    network = torch.nn.Sequential(applied(lambda x, train: F.dropout(x, 0.3, train)), torch.nn.Linear(3, 4))
    model = torch.nn.Sequential(network, applied(REFUSED[name])).eval()
    with pytest.raises(UnsupportedModelError, match=rf"^1 calls {name}, .* pass the result as an input"):
        trace(model, network_and_call(network.eval(), X)[1])


@pytest.mark.parametrize("name", INSTEAD)
def test_what_to_write_in_place_of_a_refused_draw_is_told(name: str) -> None:
    with pytest.raises(UnsupportedModelError, match=rf"^the model calls {name}, .*{INSTEAD[name]}"):
        network_and_call(applied(REFUSED[name]).eval(), X)


def test_what_is_offered_in_place_of_a_choice_and_of_an_order_can_be_sampled() -> None:
    def choice(x: Tensor, train: bool) -> Tensor:
        return F.gumbel_softmax(x, hard=True) if train else x

    def order(x: Tensor, train: bool) -> Tensor:
        return x.gather(1, torch.rand(x.shape).argsort(-1)) if train else x

    def whole_numbers(x: Tensor, train: bool) -> Tensor:
        return x * (torch.rand(x.shape) * 3).long() if train else x

    for function in (choice, order, whole_numbers):
        network, call = network_and_call(applied(function).eval(), X)
        assert samples("vmap", network, call, consistent(call))[0].std(0).min() > 0


def test_a_draw_of_complex_numbers_is_refused_since_its_law_is_another() -> None:
    def spins(x: Tensor, train: bool) -> Tensor:
        return x * torch.randn(x.shape, dtype=torch.complex64).abs() if train else x

    with pytest.raises(UnsupportedModelError, match=r"complex numbers \(torch.complex64\).*torch.complex"):
        network_and_call(applied(spins).eval(), X)


def test_a_draw_that_the_network_changes_in_place_leaves_the_kept_masks_alone() -> None:
    def changes(x: Tensor, train: bool) -> Tensor:
        mask = torch.rand(x.shape)
        mask.lt_(0.5).mul_(7.0)
        return x * mask if train else x

    network, call = network_and_call(applied(changes).eval(), X)
    first = {name: samples(name, network, call, consistent(call)) for name in ("loop", "vmap")}
    again = {name: samples(name, network, call, consistent(call)) for name in ("loop", "vmap")}
    for name, outputs in first.items():
        torch.testing.assert_close(again[name], outputs, **EXACT)


def test_a_generator_of_the_network_is_neither_read_nor_moved() -> None:
    generator = torch.Generator().manual_seed(1)
    before = generator.get_state()
    model = applied(lambda x, train: x * torch.rand(x.shape, generator=generator) if train else x).eval()
    network, call = network_and_call(model, X)
    samples("vmap", network, call, consistent(call))
    assert torch.equal(generator.get_state(), before)


def test_raw_draws_have_the_shape_and_dtype_that_was_asked_for() -> None:
    seen: list[tuple[torch.Size, torch.dtype]] = []

    def looks(x: Tensor, train: bool) -> Tensor:
        drawn = [torch.rand(3, 2, dtype=torch.float64), torch.rand(()), torch.randn_like(x), x.bernoulli(0.5)]
        drawn.append(torch.normal(0.0, 1.0, size=(2,)))
        drawn.append(torch.bernoulli(torch.full((2, 3), 0.5), out=torch.empty(0)))
        seen[:] = [(t.shape, t.dtype) for t in drawn]
        return x * drawn[1] if train else x

    network, call = network_and_call(applied(looks, features=5).eval(), X)
    samples("loop", network, call, consistent(call), 1)
    shapes = [(3, 2), (), (4, 5), (4, 5), (2,), (2, 3)]
    assert [tuple(shape) for shape, _ in seen] == shapes
    assert [dtype for _, dtype in seen] == [torch.float64] + [torch.float32] * 5
