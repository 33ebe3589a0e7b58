"""A strategy that fails is not used, its reason is kept, and the next one gives the same answer."""

import pytest
import torch
from torch import Tensor, nn

from mcdrop import MCDropout
from mcdrop.engine.block import Block
from mcdrop.engine.fallback import Fallback
from mcdrop.engine.masks import BlockKey
from tests.support.networks import features, fixed
from tests.support.tolerances import EXACT, FLOAT32


class Places(nn.Module):
    """Adds what a table says of each place, with room for so many rows; vmap fails at its `.item()`."""

    def __init__(self, room: int, width: int = 8, *, decides: bool = True) -> None:
        super().__init__()
        self.first, self.drop, self.second = nn.Linear(6, width), nn.Dropout(0.4), nn.Linear(width, 3)
        self.decides = decides
        self.register_buffer("table", torch.zeros(room, width))

    def forward(self, x: Tensor) -> Tensor:
        """(N, 6) -> (N, 3)."""
        hidden = self.drop(torch.relu(self.first(x))) + self.get_buffer("table")[: len(x)]
        if self.decides and hidden.sum().item() > 1e9:
            hidden = hidden * 0
        output: Tensor = self.second(hidden)
        return output


X = features(4)


def expected(room: int, width: int) -> Tensor:
    """The samples of the same network that does not decide, by the strategy that needs no copies."""
    samples: Tensor = MCDropout(fixed(Places(room, width, decides=False)), n_samples=40).sample(X)
    return samples


@pytest.mark.parametrize("room", [4, 5, 16, 40, 64])
@pytest.mark.parametrize("width", [8, 20_000], ids=["small, so timed", "large"])
def test_copies_of_the_rows_that_have_no_room_are_given_up(room: int, width: int) -> None:
    mc = MCDropout(fixed(Places(room, width)), n_samples=40)
    torch.testing.assert_close(mc.sample(X), expected(room, width), **FLOAT32)
    torch.testing.assert_close(mc.sample(X, exact=True), expected(room, width), **FLOAT32)
    for rows in (X[:1], X):
        assert mc.sample(rows).shape == (40, len(rows), 3)
    assert mc.plan.verification is not None
    assert "vmap" in mc.plan.verification.refused


def test_the_plan_says_why_a_strategy_was_given_up() -> None:
    mc = MCDropout(fixed(Places(4)), n_samples=40)
    mc.sample(X)
    assert mc.plan.verification is not None
    assert mc.plan.verification.agreeing() == ["fold", "loop"]
    assert mc.plan.fallback.failed["fold"].startswith("RuntimeError: The size of tensor a (16) must match")
    assert mc.plan.fast(4).strategy == "loop"


def test_a_strategy_that_fails_on_some_rows_later_is_given_up_then() -> None:
    mc = MCDropout(fixed(Places(4)), n_samples=40)
    mc.trace(X)
    network, fallback = mc.plan.network, Fallback(("fold", "loop"))
    block = Block(network, mc.as_call(X), [[BlockKey(0, 0, 0)]], "philox-1", 16)
    assert fallback.usable("fold") == "fold"
    with torch.inference_mode():
        (outputs,) = fallback.run("fold", block, block.draws())
    torch.testing.assert_close(outputs, mc.sample(X, n_samples=16), **EXACT)
    assert fallback.usable("fold") == "loop"


def test_what_every_strategy_says_of_the_rows_is_what_the_network_says() -> None:
    mc = MCDropout(fixed(Places(4)), n_samples=40)
    mc.sample(X)
    failed = dict(mc.plan.fallback.failed)
    with pytest.raises(RuntimeError, match=r"size of tensor a \(6\) must match the size of tensor b \(4\)"):
        mc.sample(features(6))
    assert mc.plan.fallback.failed == failed
    torch.testing.assert_close(mc.sample(X), expected(4, 8), **FLOAT32)


class PeculiarError(Exception):
    """An error of the network's own kind."""


@pytest.mark.parametrize(
    "error", [AssertionError, KeyError, NotImplementedError, AttributeError, PeculiarError]
)
def test_it_may_fail_with_any_error(error: type[Exception]) -> None:
    class Few(Places):
        def forward(self, x: Tensor) -> Tensor:
            """Refuses more than four rows."""
            if len(x) > 4:
                raise error("too many rows")
            return super().forward(x)

    mc = MCDropout(fixed(Few(40)), n_samples=40)
    torch.testing.assert_close(mc.sample(X), expected(40, 8), **FLOAT32)
    assert mc.plan.fallback.failed["fold"].startswith(error.__name__)
    with pytest.raises(error, match="too many rows"):
        mc.sample(features(5))


def test_an_interruption_is_no_failure() -> None:
    def interrupts(_done: int, _total: int | None) -> None:
        raise KeyboardInterrupt

    mc = MCDropout(fixed(Places(4)), n_samples=40, task="raw")
    with pytest.raises(KeyboardInterrupt):
        mc.predict(X, progress=interrupts)
    assert set(mc.plan.fallback.failed) == {"fold"}
