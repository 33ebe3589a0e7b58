"""Masks: golden bits, stratification, and independence of everything that is not in the key."""

from collections.abc import Sequence
from math import ceil, floor, sqrt

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from mcdrop.engine.masks import BLOCK, RNGS, BlockKey, draw_block, draw_site, uniform_bits
from mcdrop.engine.philox import StreamKey
from mcdrop.engine.sites import Law, Site, SiteKey, site_id
from mcdrop.errors import OptionError
from tests.support.tolerances import EXACT, FLOAT64, monte_carlo

GOLDEN_KEY = StreamKey(7, 3, 2, 11)
GOLDEN_FIRST_ELEMENT = {
    "philox-1": [
        1765870025,
        3497306401,
        3176156248,
        3964709469,
        563423003,
        2582028898,
        1517281960,
        3405377990,
        525775441,
        2161622719,
        1880209704,
        2864498363,
        1223571298,
        816637941,
        31897596,
        4250679843,
    ],
    "philox-1-plain": [
        2484116639,
        3919829834,
        122327569,
        3414099037,
        3573859715,
        2026862419,
        3305809371,
        3867051828,
        424833459,
        3788160591,
        2657756717,
        2402086352,
        2801674883,
        493319671,
        2946440291,
        3522812753,
    ],
}
GOLDEN_KEPT = {
    "philox-1": "6d7f966c fcbc5f1b c7366b9f f2fbd6b1 7bcfffff 5d93e7f6 eec7fa7f 8f7ffedd "
    "9bffa57b 37b83dff b8c5f68f f1ffc9f6 6f6d3f57 feddfdac b7b26be3 ff6bd9e8",
    "philox-1-plain": "dfdb7f3e 2f555fff 67913937 e7f4fa61 ff9fffdb fdfeffab fe4ef6db e8fd5e7d "
    "bddd5fca bf47ae3b fc7ffdd7 df16d1b7 dadacf3d 9ae2eb32 3fcfa71e cae47fed",
}
DRAWS = 20_000

rngs = pytest.mark.parametrize("rng", RNGS)
seeds = st.integers(0, 2**63 - 1)
stream_keys = st.builds(StreamKey, seeds, seeds, st.integers(0, 2**40), st.integers(0, 2**64 - 1))


def law(name: str, p: float = 0.5, dtype: torch.dtype = torch.float32) -> Law:
    return Law(name, p, dtype)  # type: ignore[arg-type]  # a plain word reads better below


def site(shape: tuple[int, ...], *, row_axis: int | None = 0, row_factor: int = 1) -> Site:
    return Site(SiteKey("drop", 0), "dropout", 0.5, law("keep"), shape, row_axis, row_factor)


def uniforms(rng: str, elements: int = DRAWS, *, block: int = 0) -> Tensor:
    bits = uniform_bits(StreamKey(1, 2, block, 4), elements, rng)
    return torch.from_numpy(bits.astype(np.float64)) / 2**32


def correlation(a: Tensor, b: Tensor) -> float:
    return torch.corrcoef(torch.stack([a.flatten(), b.flatten()]))[0, 1].item()


def hexadecimal(mask: Tensor) -> str:
    return f"{int(''.join(str(int(kept)) for kept in mask.flatten()), 2):08x}"


@rngs
def test_the_bits_are_the_golden_ones(rng: str) -> None:
    assert uniform_bits(GOLDEN_KEY, 3, rng)[:, 0].tolist() == GOLDEN_FIRST_ELEMENT[rng]


@rngs
def test_the_masks_are_the_golden_ones(rng: str) -> None:
    masks = draw_block(law("keep", 0.3), (4, 8), StreamKey(1, 0, 5, 2**63), rng)
    assert " ".join(hexadecimal(mask) for mask in masks) == GOLDEN_KEPT[rng]


@given(stream_keys, st.integers(1, 40))
def test_half_of_a_stratified_block_is_dropped_at_one_half(key: StreamKey, elements: int) -> None:
    kept = draw_block(law("keep", 0.5), (elements,), key, "philox-1")
    assert kept.sum(0).tolist() == [8] * elements


@given(stream_keys, st.floats(0, 1))
def test_a_stratified_block_drops_its_share_rounded_up_or_down(key: StreamKey, p: float) -> None:
    dropped = BLOCK - draw_block(law("keep", p, torch.float64), (10,), key, "philox-1").sum(0)
    assert set(dropped.tolist()) <= {floor(BLOCK * p), ceil(BLOCK * p)}


@given(stream_keys)
def test_the_samples_of_an_element_take_every_stratum_once(key: StreamKey) -> None:
    strata = np.sort(uniform_bits(key, 5, "philox-1") >> 28, axis=0)
    assert np.array_equal(strata, np.tile(np.arange(16)[:, None], 5))


@rngs
@pytest.mark.parametrize("p", [0.01, 0.1, 0.3, 0.5, 0.9])
def test_every_sample_drops_with_probability_p(rng: str, p: float) -> None:
    dropped = 1 - draw_block(law("keep", p), (DRAWS,), GOLDEN_KEY, rng).mean(1)
    assert (dropped - p).abs().max() <= monte_carlo(DRAWS, scale=sqrt(p * (1 - p)))


@rngs
def test_every_sample_is_uniform(rng: str) -> None:
    cells = torch.stack([sample.histc(20, 0, 1) for sample in uniforms(rng)]) / DRAWS
    assert (cells - 1 / 20).abs().max() <= monte_carlo(DRAWS, scale=sqrt(1 / 20 * 19 / 20))


@rngs
@pytest.mark.parametrize("lag", [1, 2, 16])
def test_the_elements_of_a_sample_are_independent(rng: str, lag: int) -> None:
    for sample in uniforms(rng)[:4]:
        assert abs(correlation(sample[lag:], sample[:-lag])) <= monte_carlo(DRAWS - lag)


@rngs
def test_blocks_are_independent(rng: str) -> None:
    assert abs(correlation(uniforms(rng), uniforms(rng, block=1))) <= monte_carlo(BLOCK * DRAWS)


def test_stratified_samples_repel_each_other_as_strata_do() -> None:
    expected = -(1 - 16**-2) / 15  # of two of the 16 strata without replacement; the jitter adds variance
    drawn = uniforms("philox-1")
    for sample in (1, 7, 15):
        assert abs(correlation(drawn[0], drawn[sample]) - expected) <= monte_carlo(DRAWS)


def test_plain_samples_are_independent() -> None:
    drawn = uniforms("philox-1-plain")
    for sample in (1, 7, 15):
        assert abs(correlation(drawn[0], drawn[sample])) <= monte_carlo(DRAWS)


@rngs
@given(stream_keys, st.integers(1, 6), st.integers(0, 6), st.integers(1, 5))
def test_growing_the_slowest_axis_keeps_what_was_there(
    rng: str, key: StreamKey, length: int, more: int, width: int
) -> None:
    short = draw_block(law("keep"), (length, width), key, rng)
    long = draw_block(law("keep"), (length + more, width), key, rng)
    torch.testing.assert_close(long[:, :length], short, **EXACT)


@rngs
@given(
    st.lists(seeds, min_size=1, max_size=6),
    st.integers(0, 2),
    st.integers(1, 3),
    st.integers(0, 2**40),
)
def test_a_row_has_the_masks_that_it_has_alone(
    rng: str, ids: list[int], row_axis: int, factor: int, block: int
) -> None:
    shape = [2, 3, 4]
    shape[row_axis] = factor
    alone = site(tuple(shape), row_axis=row_axis, row_factor=factor)
    shape[row_axis] = factor * len(ids)
    keys = [BlockKey(5, row, block) for row in ids]
    together = draw_site(alone, law("keep"), tuple(shape), keys, rng)
    for row, key in enumerate(keys):
        part = together.narrow(1 + row_axis, factor * row, factor)
        single = draw_site(alone, law("keep"), alone.shape, [key], rng)
        torch.testing.assert_close(part, single.reshape(part.shape), **EXACT)


@pytest.mark.parametrize("factor", [1, 2])
def test_rows_of_one_key_share_their_masks(factor: int) -> None:
    drawn = draw_site(
        site((2 * factor, 5), row_factor=factor),
        law("keep"),
        (3 * factor, 5),
        [BlockKey(0, 0, 0)],
        "philox-1",
    )
    rows = drawn.expand(BLOCK, 3 * factor, 5).reshape(BLOCK, 3, factor, 5)
    torch.testing.assert_close(rows, rows[:, :1].expand_as(rows), **EXACT)


def test_a_site_without_a_row_axis_has_one_mask_for_all() -> None:
    keys = [BlockKey(6, row, 1) for row in (3, 9)]
    drawn = draw_site(site((7, 5), row_axis=None), law("keep"), (7, 5), keys, "philox-1")
    number = site_id(SiteKey("drop", 0), "dropout")
    alone = draw_block(law("keep"), (7, 5), StreamKey(6, 0, 1, number), "philox-1")
    torch.testing.assert_close(drawn, alone, **EXACT)


def test_another_drawer_is_asked_once_for_rows_of_one_key() -> None:
    asked: list[StreamKey] = []

    def draw(wanted: Law, shape: Sequence[int], key: StreamKey, rng: str) -> Tensor:
        asked.append(key)
        return draw_block(wanted, shape, key, rng)

    keys = [BlockKey(0, row, 0) for row in (4, 9, 4)]
    draw_site(site((2, 5)), law("keep"), (3, 5), keys, "philox-1", draw=draw)
    assert sorted(key.row for key in asked) == [4, 9]


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("p", [0.1, 0.5])
def test_noise_is_what_is_kept_over_the_rate_that_is_kept(p: float, dtype: torch.dtype) -> None:
    kept = draw_block(law("keep", p, dtype), (100,), GOLDEN_KEY, "philox-1")
    noise = draw_block(law("noise", p, dtype), (100,), GOLDEN_KEY, "philox-1")
    assert noise.dtype is dtype
    torch.testing.assert_close(noise, kept / (1 - p), **EXACT)


@given(stream_keys)
def test_stratified_noise_has_a_mean_of_one_over_a_block_where_strata_allow_it(key: StreamKey) -> None:
    mean = draw_block(law("noise", 0.25, torch.float64), (10,), key, "philox-1").mean(0)
    torch.testing.assert_close(mean, torch.ones(10, dtype=torch.float64), **FLOAT64)


@rngs
@pytest.mark.parametrize("name", ["keep", "noise"])
def test_everything_is_dropped_at_one_and_nothing_at_zero(rng: str, name: str) -> None:
    assert not draw_block(law(name, 1.0), (500,), GOLDEN_KEY, rng).any()
    assert (draw_block(law(name, 0.0), (500,), GOLDEN_KEY, rng) == 1).all()


@rngs
def test_rates_beyond_the_resolution_are_taken_to_the_nearest(rng: str) -> None:
    assert (draw_block(law("keep", 1e-12), (500,), GOLDEN_KEY, rng) == 1).all()
    assert not draw_block(law("keep", 1 - 1e-12, torch.float64), (500,), GOLDEN_KEY, rng).any()


@rngs
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
def test_uniform_draws_stay_below_one(rng: str, dtype: torch.dtype) -> None:
    drawn = draw_block(law("uniform", dtype=dtype), (DRAWS,), GOLDEN_KEY, rng)
    assert drawn.dtype is dtype
    assert drawn.min() >= 0
    assert drawn.max() < 1
    assert abs(drawn.double().mean() - 0.5) <= monte_carlo(drawn.numel(), scale=sqrt(1 / 12)) + 2.0**-9


@rngs
def test_normal_draws_are_standard_and_finite(rng: str) -> None:
    drawn = draw_block(law("normal", dtype=torch.float64), (DRAWS,), GOLDEN_KEY, rng)
    assert drawn.isfinite().all()
    assert abs(drawn.mean()) <= monte_carlo(drawn.numel())
    assert abs(drawn.square().mean() - 1) <= monte_carlo(drawn.numel(), scale=sqrt(2))
    assert abs(drawn.pow(4).mean() - 3) <= monte_carlo(drawn.numel(), scale=sqrt(96))


def test_an_unknown_generator_is_refused() -> None:
    with pytest.raises(OptionError, match="rng must be one of philox-1, philox-1-plain, got 'mt19937'"):
        uniform_bits(GOLDEN_KEY, 1, "mt19937")


@pytest.mark.parametrize("rng", sorted(RNGS))
def test_a_large_mask_drawn_in_pieces_has_the_bits_of_the_whole(rng: str) -> None:
    key = StreamKey(5, 0, 2, 9)
    large = draw_block(Law("keep", 0.3, torch.float32), (2, 2**15 + 3), key, rng)
    whole = uniform_bits(key, large[0].numel(), rng) >= round(0.3 * 2**32)
    assert np.array_equal(large.bool().flatten(1).numpy(), whole)


def test_a_block_that_is_drawn_in_parts_has_the_dtype_of_its_law() -> None:
    law = Law("noise", 0.5, torch.float64)
    assert draw_block(law, (2**15 + 1,), StreamKey(0, 0, 0, 1), "philox-1").dtype == torch.float64
