"""One `MCDropout` shared: by threads that begin together, across the batches of a loader, after a failure."""

import copy
import pickle
import threading
from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from mcdrop import MCDropout
from tests.support.models import case
from tests.support.networks import classifier, features
from tests.support.predictives import assert_same_rows
from tests.support.tolerances import EXACT, FLOAT32

X = features(12)
INDEPENDENT = MCDropout(classifier(), task="classification", n_samples=32, masks="independent")


def together(*works: Callable[[], None]) -> None:
    """Run works in threads that begin at the same time; the first error of any is raised."""
    ready = threading.Barrier(len(works))
    errors: list[BaseException] = []

    def run(work: Callable[[], None]) -> None:
        ready.wait()
        try:
            work()
        except BaseException as error:  # noqa: BLE001 - whatever it is, it belongs to the test
            errors.append(error)

    threads = [threading.Thread(target=run, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda mc: pickle.loads(pickle.dumps(mc))])  # noqa: S301
def test_a_copy_or_another_process_gets_the_same_answers(copied: Callable[[MCDropout], MCDropout]) -> None:
    mc = MCDropout(classifier(), task="classification", n_samples=32, masks="independent")
    expected = mc.predict(X, exact=True)
    other = copied(mc)
    assert other.model is not mc.model
    assert_same_rows(other.predict(X, exact=True), expected)


@pytest.mark.parametrize("name", ["encoder", "LSTM", "DropPath"])
def test_four_threads_that_begin_together_get_their_answers_while_the_owner_calls_the_model(
    name: str,
) -> None:
    model, inputs = case(name).make()
    wanted = {seed: MCDropout(model).sample(*inputs, n_samples=32, seed=seed) for seed in range(4)}
    with torch.no_grad():
        in_eval = model(*inputs)
    mc, found = MCDropout(model), dict[int, Tensor]()

    def samples(seed: int) -> None:
        found[seed] = mc.sample(*inputs, n_samples=32, seed=seed)

    def owner() -> None:
        with torch.no_grad():
            for _ in range(30):
                torch.testing.assert_close(model(*inputs), in_eval, **EXACT)

    before = torch.get_rng_state()
    together(owner, *(lambda seed=seed: samples(seed) for seed in range(4)))
    assert torch.equal(torch.get_rng_state(), before)
    assert not any(module.training or module._forward_hooks for module in model.modules())
    for seed, expected in wanted.items():
        torch.testing.assert_close(found[seed], expected, **FLOAT32)


@given(cuts=st.lists(st.integers(1, 11), max_size=4, unique=True), named=st.booleans())
@settings(max_examples=15)
def test_ids_of_rows_count_on_across_the_batches_of_a_loader(cuts: list[int], named: bool) -> None:
    ids = range(40, 52) if named else None
    whole = INDEPENDENT.predict(X, exact=True, row_ids=ids)
    batches = torch.tensor_split(X, sorted(cuts))
    assert_same_rows(INDEPENDENT.predict(iter(batches), exact=True, row_ids=ids), whole)


class Failing(nn.Module):
    """Fails in the middle of a pass, when it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.inner, self.fails = classifier(), False

    def forward(self, x: Tensor) -> Tensor:
        """(N, 6) -> (N, 3)."""
        hidden = self.inner[:3](x)  # type: ignore[index]
        if self.fails:
            raise ValueError("in the middle")
        output: Tensor = self.inner[3:](hidden)  # type: ignore[index]
        return output


@pytest.mark.parametrize("first", [True, False], ids=["at the first call", "later"])
def test_a_pass_that_fails_in_the_middle_changes_nothing(first: bool) -> None:
    model = Failing().eval()
    expected = MCDropout(model).sample(X, n_samples=32)
    mc = MCDropout(model)
    if not first:
        mc.sample(X, n_samples=32)
    failing = model if first else mc.plan.network.view
    assert isinstance(failing, Failing)
    before = torch.get_rng_state()
    failing.fails = True
    with pytest.raises(ValueError, match="in the middle"):
        mc.sample(X, n_samples=32)
    failing.fails = False
    assert torch.equal(torch.get_rng_state(), before)
    assert not any(module.training or module._forward_hooks for module in model.modules())
    torch.testing.assert_close(mc.sample(X, n_samples=32), expected, **EXACT)


def test_without_verification_the_samples_are_the_same_and_the_plan_says_so() -> None:
    checked, unchecked = MCDropout(classifier()), MCDropout(classifier(), verify=False)
    torch.testing.assert_close(unchecked.sample(X), checked.sample(X), **FLOAT32)
    torch.testing.assert_close(unchecked.sample(X, exact=True), checked.sample(X, exact=True), **EXACT)
    assert unchecked.plan.verification is None
    assert checked.plan.verification is not None


def test_no_tensor_of_the_model_is_held_twice() -> None:
    model, (x,) = case("encoder").make()
    mc = MCDropout(model)
    mc.sample(x, n_samples=32)
    network, own = mc.plan.network, [t.data_ptr() for t in (*model.parameters(), *model.buffers())]
    for view in (network.view, network.evaluation):
        assert [t.data_ptr() for t in (*view.parameters(), *view.buffers())] == own
