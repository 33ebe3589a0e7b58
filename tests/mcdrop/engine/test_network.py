"""The user's model stays as it was, whatever is done with its network."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mcdrop.engine.verification import verify
from mcdrop.errors import McdropError
from tests.support.models import CASES, Case, case
from tests.support.replaying import consistent, independent, network_and_call, network_of_case, samples
from tests.support.stochastic_modules import applied
from tests.support.tolerances import EXACT, FLOAT32

pytestmark = [
    pytest.mark.filterwarnings("ignore:LSTM with projections is not supported"),
    pytest.mark.filterwarnings("ignore:dropout2d. Received a"),
]


def fingerprint(model: nn.Module) -> dict[str, Any]:
    """Everything of a model that could be touched."""
    return {
        "modules": [(path, id(module), type(module)) for path, module in model.named_modules()],
        "flags": [module.training for module in model.modules()],
        "hooks": [(len(m._forward_hooks), len(m._forward_pre_hooks)) for m in model.modules()],
        "attributes": [sorted(vars(module)) for module in model.modules()],
        "tensors": [(t.data_ptr(), t._version, t.clone()) for t in (*model.parameters(), *model.buffers())],
        "gradients": [p.requires_grad for p in model.parameters()],
    }


@contextmanager
def untouched(model: nn.Module, *inputs: Tensor) -> Iterator[None]:
    before, copies = fingerprint(model), [x.clone() for x in inputs]
    torch_state, numpy_state = torch.get_rng_state(), str(np.random.get_state(legacy=False))  # noqa: NPY002
    yield
    after = fingerprint(model)
    tensors, kept = before.pop("tensors"), after.pop("tensors")
    assert before == after
    assert [pair[:2] for pair in tensors] == [pair[:2] for pair in kept]
    assert all(torch.equal(a[2].nan_to_num(), b[2].nan_to_num()) for a, b in zip(tensors, kept, strict=True))
    assert all(torch.equal(a, b) for a, b in zip(inputs, copies, strict=True))
    assert torch.equal(torch.get_rng_state(), torch_state)
    assert str(np.random.get_state(legacy=False)) == numpy_state  # noqa: NPY002


@pytest.mark.parametrize("case", CASES, ids=lambda c: c.name)
def test_model_inputs_and_generators_are_as_they_were(case: Case) -> None:
    model, inputs = case.make()
    with untouched(model, *inputs):
        network, call = network_and_call(model, *inputs, batch_axis=case.batch_axis)
        samples(verify(network, call).strategy, network, call, consistent(call), 2)
        network.deterministic_outputs(call)


class Everything(nn.Module):
    """Batch norm, spectral norm, a counter and a memory beside a dropout."""

    count: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(4)
        self.linear = nn.utils.parametrizations.spectral_norm(nn.Linear(4, 4))
        self.drop = nn.Dropout(0.5)
        self.register_buffer("count", torch.zeros((), dtype=torch.long))
        self.seen: list[int] = []
        self.fails = False

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            self.count += 1
        self.seen.append(len(x))
        out: Tensor = self.drop(self.linear(self.norm(x)))
        if self.fails:
            raise ValueError("as it was told to")
        return out


X = torch.randn(4, 4, generator=torch.Generator().manual_seed(0))


def test_norms_counters_and_memories_are_as_they_were() -> None:
    model = Everything().eval()
    with untouched(model, X):
        network, call = network_and_call(model, X)
        verify(network, call)
        samples("vmap", network, call, consistent(call))
    assert model.count == 0
    assert model.seen == []


def test_everything_is_as_it_was_when_forward_raises() -> None:
    model = Everything().eval()
    model.fails = True
    with untouched(model, X), pytest.raises(ValueError, match="as it was told to"):
        network_and_call(model, X)


def test_a_network_whose_forward_raised_once_still_gives_the_same_samples() -> None:
    model = Everything().eval()
    network, call = network_and_call(model, X)
    wanted = samples("loop", network, call, consistent(call))
    network.view.get_submodule("").fails = True  # type: ignore[assignment]
    with pytest.raises(ValueError, match="as it was told to"):
        samples("loop", network, call, consistent(call))
    network.view.get_submodule("").fails = False  # type: ignore[assignment]
    torch.testing.assert_close(samples("loop", network, call, consistent(call)), wanted, **EXACT)


@pytest.mark.parametrize("name", ["encoder", "LSTM", "DropPath", "an auxiliary head in training"])
def test_a_model_in_train_mode_stays_in_it_and_gives_the_same_samples(name: str) -> None:
    model, inputs = case(name).make()
    network, call = network_and_call(model, *inputs)
    wanted = samples("vmap", network, call, consistent(call))
    with untouched(model.train(), *inputs):
        trained, call = network_and_call(model, *inputs)
        got = samples("vmap", trained, call, consistent(call))
    assert model.training
    torch.testing.assert_close(got, wanted, **EXACT)


def test_the_network_follows_the_weights_of_the_user() -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.Dropout(0.5))
    network, call = network_and_call(model.eval(), X)
    with torch.no_grad():
        model[0].weight.mul_(2)  # type: ignore[operator]
    fresh, _ = network_and_call(model, X)
    got, wanted = (samples("vmap", n, call, consistent(call)) for n in (network, fresh))
    torch.testing.assert_close(got, wanted, **EXACT)


def test_the_deterministic_pass_is_the_model_in_eval_mode() -> None:
    model, inputs = case("encoder").make()
    network, call = network_and_call(model, *inputs)
    with torch.no_grad():
        torch.testing.assert_close(network.deterministic_outputs(call), [model(*inputs)], **FLOAT32)


def test_dropout_that_is_on_in_eval_mode_is_off_in_the_deterministic_pass() -> None:
    model = applied(lambda x, _train: F.dropout(x, 0.3) * torch.randn(x.shape[0], 1).exp()).eval()
    network, call = network_and_call(model, X)
    before = torch.get_rng_state()
    (got,) = network.deterministic_outputs(call)
    assert torch.equal(torch.get_rng_state(), before)
    with torch.no_grad():
        wanted = nn.Sequential(*model.children())(X)  # body and head
    torch.testing.assert_close(got, wanted, **FLOAT32)


@pytest.mark.parametrize(
    "mask",
    [
        lambda x: torch.rand_like(x) < 0.5,
        lambda x: torch.rand_like(x) > 0.5,
        lambda x: torch.full_like(x, 0.5).bernoulli(),
    ],
)
def test_masks_made_by_hand_in_eval_mode_are_drawn_for_the_deterministic_pass_once_for_all_rows(
    mask: Callable[[Tensor], Tensor],
) -> None:
    model = applied(lambda x, _train: 2 * x * mask(x)).eval()
    network, call = network_and_call(model, X)
    (got,) = network.deterministic_outputs(call)
    (first,) = network.deterministic_outputs(call.take(slice(0, 1)))
    of_nothing = model.get_submodule("head")(torch.zeros(1, 6))
    assert not torch.isclose(got, of_nothing).any()
    moved = network.deterministic_outputs(call.take(torch.tensor([3, 2, 1, 0])))[0].flip(0)
    torch.testing.assert_close(moved, got, **FLOAT32)
    torch.testing.assert_close(got[:1], first, **FLOAT32)


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors")  # the model's own, in eval mode
@pytest.mark.parametrize("name", ["encoder, padding", "LSTM", "DropPath", "LayerDrop"])
def test_threads_share_a_network_while_its_owner_calls_the_model(name: str) -> None:
    chosen = case(name)
    model, inputs = chosen.make()
    network, call = network_of_case(chosen)
    strategy = chosen.strategy
    wanted = {seed: samples(strategy, network, call, independent(call, seed))[0] for seed in range(4)}
    with torch.no_grad():
        in_eval = model(*inputs)
    failures: list[str] = []

    def sample(seed: int) -> None:
        for _ in range(5):
            got = samples(strategy, network, call, independent(call, seed))[0]
            if not torch.allclose(got, wanted[seed], **FLOAT32):
                failures.append(f"seed {seed}")

    def own() -> None:
        with torch.no_grad():
            failures.extend("eval" for _ in range(30) if not torch.equal(model(*inputs), in_eval))

    with untouched(model, *inputs):
        _together([own, *(lambda seed=seed: sample(seed) for seed in range(4))])
    assert failures == []


def _together(works: list[Callable[[], None]]) -> None:
    threads = [threading.Thread(target=work) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def test_networks_traced_in_several_threads_are_the_same() -> None:
    model, inputs = case("encoder").make()
    found: list[Any] = []

    def look() -> None:
        network, _ = network_and_call(model, *inputs)
        found.append((list(network.sites), network.fixed))

    with untouched(model, *inputs):
        _together([look] * 4)
    assert len(found) == 4
    assert all(one == found[0] for one in found)


def test_an_input_that_is_written_to_is_copied_for_every_pass() -> None:
    class Adds(nn.Module):
        def forward(self, x: Tensor, y: Tensor) -> Tensor:
            x += F.dropout(y, 0.5, self.training)
            return x

    x, y = X.clone(), X.flip(0)
    network, call = network_and_call(Adds().eval(), x, y)
    assert network.written_inputs == {0}
    first = samples("loop", network, call, consistent(call))
    torch.testing.assert_close(samples("vmap", network, call, consistent(call)), first, **FLOAT32)
    assert torch.equal(x, X)


def test_an_error_of_ours_is_one_of_mcdrop() -> None:
    with pytest.raises(McdropError):
        network_and_call(nn.Sequential(nn.Dropout(0.5), nn.Flatten(0)).eval(), X)
