"""Moments and the Monte Carlo error: closed forms, laws, and its coverage in simulation."""

from functools import reduce
from itertools import chain
from math import sqrt

import pytest
import scipy.stats
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from mcdrop.blockmoments import BlockMoments, block_moments
from mcdrop.engine.masks import BLOCK, uniform_bits
from mcdrop.engine.philox import StreamKey
from mcdrop.moments import UNGROUPED, Moments, RunningMoments, merge
from tests.support.tolerances import EXACT, FLOAT32, FLOAT64, monte_carlo

REPLICATES = 2000

values = st.floats(-1e3, 1e3, allow_subnormal=False)
sizes = st.lists(st.integers(1, 16), min_size=1, max_size=5)


def column(*numbers: float) -> Tensor:
    return torch.tensor(numbers, dtype=torch.float64).unsqueeze(1)


def total(samples: Tensor) -> Moments:
    return RunningMoments.of(block_moments(samples)).total()


def standard_error(samples: Tensor, *, stratified: bool = True) -> Tensor:
    return RunningMoments.of(block_moments(samples), stratified=stratified).standard_error()


def constant_blocks(means: list[float]) -> Tensor:
    """(S, 1) samples of which all in a block are equal."""
    return column(*means).repeat_interleave(BLOCK, 0)


def test_moments_of_four_numbers_by_hand() -> None:
    found = total(column(1, 2, 3, 6))
    assert (found.count, found.mean.item(), found.m2.item()) == (4, 3.0, 14.0)
    assert found.variance.item() == 14 / 3


def test_a_single_sample_has_no_variance() -> None:
    assert total(column(5)).variance.item() == 0


def test_merging_two_blocks_by_hand() -> None:
    merged = merge(total(column(1, 3)), total(column(5, 7, 9)))
    assert (merged.count, merged.mean.item(), merged.m2.item()) == (5, 5.0, 40.0)


def test_float32_samples_are_summed_in_float64() -> None:
    found = total(torch.tensor([[2.0**24], [1.0]], dtype=torch.float32))
    assert found.mean.item() == (2**24 + 1) / 2


@given(st.lists(st.floats(width=32), min_size=1, max_size=40))
def test_a_column_has_the_same_bits_in_a_small_tensor_and_in_a_large_one(numbers: list[float]) -> None:
    alone = total(column(*numbers))
    among = total(column(*numbers).expand(-1, 2_000))
    for name in ("mean", "m2"):
        few, many = getattr(alone, name), getattr(among, name)
        torch.testing.assert_close(many, few.expand(2_000), rtol=0, atol=0, equal_nan=True)


def halved(samples: Tensor) -> Tensor:
    """The sum over (s, ...): the second half is added to the first, and what is left over is added later."""
    while (count := len(samples)) > 1:
        half = count // 2
        samples = torch.cat([samples[:half] + samples[half : 2 * half], samples[2 * half :]])
    return samples[0]


@pytest.mark.parametrize("rows", [2, 1100])
@pytest.mark.parametrize("count", [*range(1, 34), 50])
def test_samples_of_a_block_are_added_by_halves_however_many_they_are(count: int, rows: int) -> None:
    samples = torch.randn(count, rows, generator=torch.Generator().manual_seed(count), dtype=torch.float64)
    samples[:, 0] = -0.0
    found = block_moments(samples)
    for block, mean, m2 in zip(samples.split(BLOCK), found.mean, found.m2, strict=True):
        expected = halved(block) / len(block)
        for numbers, wanted in ((mean, expected), (m2, halved((block - expected).square()))):
            same = torch.as_tensor(numbers)[:, 0]
            assert torch.equal(same, wanted)
            assert torch.equal(same.signbit(), wanted.signbit())


@given(st.data(), sizes)
def test_merged_blocks_have_the_moments_of_all_samples(data: st.DataObject, counts: list[int]) -> None:
    parts = [column(*data.draw(st.lists(values, min_size=n, max_size=n))) for n in counts]
    merged, whole = reduce(merge, map(total, parts)), torch.cat(parts)
    torch.testing.assert_close(merged.mean, whole.mean(0), **FLOAT64)
    torch.testing.assert_close(merged.m2, (whole - whole.mean(0)).square().sum(0), rtol=1e-9, atol=1e-6)


@given(st.data(), st.lists(st.lists(values, min_size=16, max_size=16), min_size=1, max_size=6))
def test_the_order_of_blocks_changes_rounding_alone(data: st.DataObject, numbers: list[list[float]]) -> None:
    turned = total(column(*chain(*data.draw(st.permutations(numbers)))))
    expected = total(column(*chain(*numbers)))
    torch.testing.assert_close(turned.mean, expected.mean, **FLOAT64)
    torch.testing.assert_close(turned.m2, expected.m2, rtol=1e-9, atol=1e-6)


@given(st.lists(values, min_size=1, max_size=60), st.floats(-1e12, 1e12))
def test_a_variance_is_never_negative_and_of_equal_samples_zero(numbers: list[float], offset: float) -> None:
    assert total(column(*numbers) + offset).m2.min() >= 0
    equal = total(torch.full((len(numbers), 1), offset))
    assert equal.m2.item() == 0 or equal.variance.sqrt().item() <= 1e-9 * abs(offset)


@pytest.mark.parametrize("offset", [1e8, -1e8])
def test_a_large_offset_keeps_the_variance(offset: float) -> None:
    numbers = torch.arange(200, dtype=torch.float64).reshape(200, 1) % 7
    found = total(numbers + offset)
    torch.testing.assert_close(found.variance, numbers.var(0), **FLOAT32)
    torch.testing.assert_close(found.mean, numbers.mean(0) + offset, **FLOAT64)


@given(st.integers(1, 5), st.integers(0, 4))
def test_a_row_has_the_same_bits_in_every_place(rows: int, place: int) -> None:
    samples = torch.linspace(-1, 1, 48 * 5).reshape(48, 5)
    alone = total(samples[:, place : place + 1])
    among = total(samples.roll(rows, 1))
    where = (place + rows) % 5
    torch.testing.assert_close(among.m2[where : where + 1], alone.m2, **EXACT)
    torch.testing.assert_close(among.mean[where : where + 1], alone.mean, **EXACT)


@pytest.mark.parametrize("rows", [3, 3000])
@pytest.mark.parametrize("samples", [5, 16, 37])
def test_a_quantity_beside_another_has_the_moments_that_it_has_alone(rows: int, samples: int) -> None:
    generator = torch.Generator().manual_seed(rows)
    first = torch.randn(samples, rows, 2, generator=generator, dtype=torch.float64)
    second = torch.randn(samples, rows, generator=generator, dtype=torch.float64)
    both = RunningMoments.of(block_moments(first, second))
    assert both.quantities == 2
    assert torch.equal(both.total().mean, total(first).mean)
    assert torch.equal(both.total().m2, total(first).m2)
    assert torch.equal(both.standard_error(), standard_error(first))
    assert torch.equal(both.tensor(both.mean(1), 1), total(second).mean)


def test_few_rows_and_many_are_joined_with_the_bits_that_all_have_together() -> None:
    samples = torch.randn(40, 2000, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    samples.requires_grad_()
    few, many = samples[:, :10].detach(), samples[:, 10:]
    rows = BlockMoments.join([block_moments(few), block_moments(many)])
    blocks = BlockMoments.chain([block_moments(samples[:16]).take(slice(10)), block_moments(few[16:])])
    for found, expected in ((rows, samples), (blocks, few)):
        assert torch.equal(RunningMoments.of(found).total().mean, total(expected).mean)
        assert torch.equal(RunningMoments.of(found).total().m2, total(expected).m2)
    assert blocks.counts == (16, 16, 8)
    assert torch.equal(RunningMoments.of(blocks.head(2)).total().m2, total(few[:32]).m2)
    last = blocks.take(torch.tensor([9]))
    assert torch.equal(RunningMoments.of(last).total().mean, total(few[:, 9:]).mean)


@pytest.mark.parametrize("rows", [5, 1100])
def test_up_to_32_blocks_the_error_of_all_so_far_is_known_after_every_block(rows: int) -> None:
    samples = torch.randn(UNGROUPED, rows, generator=torch.Generator().manual_seed(6), dtype=torch.float64)
    blocks, last = block_moments(samples), torch.tensor([rows - 1])
    before = RunningMoments(UNGROUPED)
    for count in range(1, len(blocks) + 1):
        now = before.followed_by(blocks.head(count).since(count - 1))
        assert torch.equal(now.standard_error(), standard_error(samples[: count * BLOCK]))
        if count > 1:
            assert torch.equal(before.standard_error(), standard_error(samples[: (count - 1) * BLOCK]))
        before = now.take(last) if count == len(blocks) else now
    assert torch.equal(before.standard_error(), standard_error(samples)[last])


def test_nan_stays_in_its_row() -> None:
    samples = torch.tensor([[1.0, torch.nan], [2.0, 3.0]])
    found = total(samples)
    assert found.mean.isnan().tolist() == [False, True]
    assert found.variance.isnan().tolist() == [False, True]


@pytest.mark.parametrize(("samples", "factor"), [(10, 1.0), (16, 16 / 15), (48, 16 / 15), (120, 16 / 15)])
def test_below_eight_blocks_the_error_is_the_conservative_one(samples: int, factor: float) -> None:
    numbers = torch.randn(samples, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    expected = (numbers.var(0) * factor / samples).sqrt()
    torch.testing.assert_close(standard_error(numbers), expected, **FLOAT64)


def test_eight_blocks_are_compared_with_each_other() -> None:
    means = [1.0, 2.0, 4.0, 3.0, 0.0, 2.0, 2.0, 6.0]
    expected = torch.tensor(means, dtype=torch.float64).std() / sqrt(8)
    torch.testing.assert_close(standard_error(constant_blocks(means))[0], expected, **FLOAT64)


def test_from_32_blocks_on_neighbours_are_grouped() -> None:
    means = [float(i * i % 11) for i in range(64)]
    pairs = torch.tensor(means, dtype=torch.float64).reshape(32, 2).mean(1)
    torch.testing.assert_close(standard_error(constant_blocks(means))[0], pairs.std() / sqrt(32), **FLOAT64)


def test_groups_of_unequal_size_are_weighted_by_their_size() -> None:
    means = [float(i * i % 11) for i in range(33)]
    groups, sizes = [sum(means[:2]) / 2, *means[2:]], [2] + [1] * 31
    centre = sum(means) / 33
    spread = sum(size * (group - centre) ** 2 for group, size in zip(groups, sizes, strict=True))
    assert standard_error(constant_blocks(means)).item() == pytest.approx(sqrt(spread / 31 / 33), rel=1e-9)


def test_a_partial_block_adds_its_own_share() -> None:
    numbers = torch.randn(136, 2, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    between = numbers[:128].reshape(8, 16, 2).mean(1).var(0) / 8
    expected = ((128 / 136) ** 2 * between + (8 / 136) ** 2 * numbers.var(0) / 8 * 16 / 15).sqrt()
    torch.testing.assert_close(standard_error(numbers), expected, **FLOAT64)


@pytest.mark.parametrize("samples", [1, 10, 48, 136, 600])
def test_independent_samples_have_the_textbook_error(samples: int) -> None:
    numbers = torch.randn(samples, 2, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    found = standard_error(numbers, stratified=False)
    spread = numbers.std(0) if samples > 1 else torch.zeros(2, dtype=torch.float64)
    torch.testing.assert_close(found, spread / sqrt(samples), **FLOAT64)


@pytest.mark.parametrize("samples", [1, 10, 48, 136, 600])
def test_equal_samples_have_no_error(samples: int) -> None:
    assert standard_error(torch.full((samples, 2), 0.1)).tolist() == [0, 0]


def simulated(samples: int) -> Tensor:
    """(S, replicates) of a function of 6 dropped units with interactions, in stratified blocks of 16."""
    weights = torch.tensor([1.0, -2.0, 0.5, 1.5, -1.0, 0.7], dtype=torch.float64)
    blocks = []
    for block in range(-(-samples // BLOCK)):
        bits = uniform_bits(StreamKey(11, 0, block, 0), REPLICATES * 6, "philox-1")
        kept = torch.from_numpy(bits >= 2**31).reshape(BLOCK, REPLICATES, 6).to(torch.float64)
        blocks.append(torch.relu(kept @ weights) + kept[..., 0] * kept[..., 1])
    return torch.cat(blocks)[:samples]


def truth() -> float:
    """The mean of that function over all 64 masks."""
    weights = torch.tensor([1.0, -2.0, 0.5, 1.5, -1.0, 0.7], dtype=torch.float64)
    kept = torch.cartesian_prod(*[torch.tensor([0.0, 1.0], dtype=torch.float64)] * 6)
    return (torch.relu(kept @ weights) + kept[:, 0] * kept[:, 1]).mean().item()


@pytest.mark.parametrize("samples", [16, 48, 112])
def test_in_simulation_the_conservative_error_is_not_too_small(samples: int) -> None:
    drawn = simulated(samples)
    mean_square = (drawn.mean(0) - truth()).square().mean().item()
    stated = standard_error(drawn).square().mean().item()
    assert stated >= mean_square * (1 - monte_carlo(REPLICATES, scale=sqrt(2)))


@pytest.mark.parametrize("samples", [128, 136, 250, 512])
def test_in_simulation_the_error_between_blocks_is_the_true_one(samples: int) -> None:
    drawn = simulated(samples)
    mean_square = (drawn.mean(0) - truth()).square().mean().item()
    stated = standard_error(drawn).square().mean().item()
    assert abs(stated / mean_square - 1) <= 2 * monte_carlo(REPLICATES, scale=sqrt(2))


@pytest.mark.parametrize("samples", [128, 256, 512])
def test_in_simulation_students_interval_covers_as_it_says(samples: int) -> None:
    drawn = simulated(samples)
    reach = scipy.stats.t.ppf(0.975, samples // BLOCK - 1) * standard_error(drawn)
    covered = ((drawn.mean(0) - truth()).abs() <= reach).double().mean().item()
    assert abs(covered - 0.95) <= monte_carlo(REPLICATES, scale=sqrt(0.95 * 0.05))
