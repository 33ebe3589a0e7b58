from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

import mcdrop
from mcdrop.engine.maskcache import BESIDE, MaskCache, MaskCaches
from mcdrop.engine.masks import BlockKey, draw_block
from mcdrop.engine.philox import StreamKey
from mcdrop.engine.replay import BlockDraws
from mcdrop.engine.sites import Law, Site, SiteKey
from mcdrop.errors import DomainError
from tests.support.tolerances import EXACT

LAW = Law("noise", 0.3, torch.float32)
CPU = torch.device("cpu")


def test_a_block_that_comes_again_is_not_drawn_again() -> None:
    cache, key = MaskCache(CPU), StreamKey(0, 0, 0, 1)
    first = cache.draw(LAW, (8,), key, "philox-1")
    assert cache.draw(LAW, (8,), key, "philox-1") is first
    torch.testing.assert_close(first, draw_block(LAW, (8,), key, "philox-1"), **EXACT)


@settings(max_examples=30)
@given(st.lists(st.integers(0, 6), min_size=1, max_size=30))
def test_what_is_found_is_what_would_be_drawn_however_little_is_kept(asked: list[int]) -> None:
    cache = MaskCache(CPU, limit=4 * (16 * 8 * 4 + BESIDE))  # four blocks
    for site in asked:
        got = cache.draw(LAW, (8,), StreamKey(0, 0, 0, site), "philox-1")
        torch.testing.assert_close(got, draw_block(LAW, (8,), StreamKey(0, 0, 0, site), "philox-1"), **EXACT)


def test_the_oldest_go_first_when_the_bound_is_reached() -> None:
    cache = MaskCache(CPU, limit=4 * (256 * 4 + BESIDE))
    made: list[int] = []

    def maker(number: int) -> Callable[[], Tensor]:
        def make() -> Tensor:
            made.append(number)
            return torch.zeros(256)

        return make

    for number in (0, 1, 2, 3, 0, 4, 0, 1):
        cache.joined(number, maker(number), copies=False)
    assert made == [0, 1, 2, 3, 4, 1]  # 0 was asked for in between, 1 was the oldest


@pytest.mark.parametrize(
    ("copies", "room", "kept"), [(True, 2**19, True), (True, 2**18, False), (False, 2**19, False)]
)
def test_joined_blocks_that_are_large_are_kept_from_the_second_time_on_if_there_is_room(
    copies: bool, room: int, kept: bool
) -> None:
    cache = MaskCache(CPU, limit=2**18 + room)
    block = cache.draw(LAW, (2**10,), StreamKey(0, 0, 0, 1), "philox-1")
    for number in range(3):
        cache.joined(number, lambda: torch.zeros(2**14), copies=copies)  # small: kept at once
    large = [cache.joined("large", lambda: torch.zeros(2**16 + 1), copies=copies) for _ in range(3)]
    assert large[0] is not large[1]
    assert (large[1] is large[2]) == kept
    assert cache.draw(LAW, (2**10,), StreamKey(0, 0, 0, 1), "philox-1") is block  # nothing was pushed out


def test_masks_of_several_sites_are_kept_from_the_second_time_on() -> None:
    cache, made = MaskCache(CPU, limit=2**17), []

    def make() -> tuple[Tensor, ...]:
        made.append(1)
        return torch.zeros(4), torch.ones(4)

    found = [cache.several("address", make) for _ in range(4)]
    assert len(made) == 2
    assert found[1] is found[2] is found[3]
    large = [cache.several("large", lambda: (torch.zeros(2**12),)) for _ in range(3)]
    assert len({id(each) for each in large}) == 3


def test_of_too_many_addresses_some_come_for_the_first_time_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mcdrop.engine.maskcache._REMEMBERED", 3)
    cache = MaskCache(CPU)
    for number in range(20):
        cache.several(number, lambda: (torch.zeros(4),))
    assert len(cache._came) <= 3


def test_threads_with_seeds_of_their_own_get_the_answers_that_each_gets_alone() -> None:
    model = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Dropout(0.4), nn.Linear(16, 2)).eval()
    x = torch.linspace(-1, 1, 12).reshape(3, 4)
    alone = [mcdrop.MCDropout(model, n_samples=40).sample(x, seed=seed) for seed in range(8)]
    mc = mcdrop.MCDropout(model, n_samples=40)
    with ThreadPoolExecutor(4) as threads:
        together = list(threads.map(lambda seed: mc.sample(x, seed=seed % 8, exact=seed >= 8), range(16)))
    for seed, samples in enumerate(together):
        torch.testing.assert_close(samples, alone[seed % 8], rtol=1e-5, atol=1e-5)


def test_rows_of_which_one_has_the_id_that_is_shared_elsewhere_are_joined_on_one_device() -> None:
    elsewhere = torch.device("meta")  # which mixes with the CPU as little as CUDA does
    site = Site(SiteKey("drop", 0), "dropout", 0.3, LAW, (2, 8))
    for ids in ([0, 1, 2], [1, 0], [0, 0]):
        keys = [BlockKey(0, row, 0) for row in ids]
        draws = BlockDraws({site.key: site}, [keys], "philox-1", MaskCache(elsewhere))
        drawn = draws.get(site.key, site.kind, LAW, (len(ids), 8))
        assert (drawn.device, drawn.shape) == (elsewhere, (16, len(ids), 8))


def test_all_shapes_of_input_share_what_a_model_may_keep_and_get_their_own_masks() -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.Dropout(0.4), nn.Linear(4, 2)).eval()
    mc, inputs = (
        mcdrop.MCDropout(model, n_samples=40),
        [torch.ones(2, *shape, 4) for shape in [(), (3,), (7,)]],
    )
    samples = [mc.sample(x) for _ in range(2) for x in inputs][3:]
    caches = {mc._planner.planned(mc.as_call(x)).network.cache for x in inputs}
    assert len(caches) == 1
    for x, found in zip(inputs, samples, strict=True):
        torch.testing.assert_close(found, mcdrop.MCDropout(model, n_samples=40).sample(x), **EXACT)


class TurningDropout(nn.Module):
    """Drops out of a batch of squares whose rows are the first axis, or, of wide inputs, the second."""

    def forward(self, x: Tensor) -> Tensor:
        """The same shape."""
        turned = x.transpose(0, 1) if x.shape[2] > 3 else x
        dropped = nn.functional.dropout(turned[..., :3], 0.5, self.training)
        return dropped.transpose(0, 1) if x.shape[2] > 3 else dropped


def test_masks_whose_rows_lie_on_other_axes_are_not_taken_for_each_other() -> None:
    inputs = [torch.ones(2, 5, 3), torch.ones(2, 5, 4)]
    mc = mcdrop.MCDropout(TurningDropout(), n_samples=32)
    together = [mc.sample(x) for x in inputs]
    for x, found in zip(inputs, together, strict=True):
        torch.testing.assert_close(found, mcdrop.MCDropout(TurningDropout(), n_samples=32).sample(x), **EXACT)


def test_a_model_that_changed_forgets_its_masks() -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.Dropout(0.4)).eval()
    mc = mcdrop.MCDropout(model, n_samples=32)
    mc.sample(torch.ones(2, 4))
    before = mc.plan.network.cache
    model[0] = nn.Linear(4, 4)
    mc.sample(torch.ones(2, 4))
    assert mc.plan.network.cache is not before


def test_a_limit_of_nothing_keeps_nothing() -> None:
    cache = MaskCaches(0).on(CPU)
    blocks = [cache.draw(LAW, (8,), StreamKey(0, 0, 0, 1), "philox-1") for _ in range(2)]
    assert blocks[0] is not blocks[1]
    torch.testing.assert_close(blocks[0], blocks[1], **EXACT)


@pytest.mark.parametrize("limit", [-1, 1.5, True, "64"])
def test_a_limit_that_is_no_number_of_bytes_is_refused(limit: int) -> None:
    with pytest.raises(DomainError, match="mask_cache must be a number of bytes"):
        MaskCaches(limit)
