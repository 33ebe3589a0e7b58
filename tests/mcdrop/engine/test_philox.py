"""The generator's words: golden values, a second implementation, and addressing."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcdrop.engine.philox import MAX_SEED, StreamKey, check_seed, words
from mcdrop.errors import DomainError

MASK = 2**64 - 1
MULTIPLIERS = 0xD2E7470EE14C6C93, 0xCA5A826395121157
WEYL = 0x9E3779B97F4A7C15, 0xBB67AE8584CAA73B

uint64s = st.integers(0, MASK)
keys = st.builds(StreamKey, st.integers(0, MAX_SEED), st.integers(0, MAX_SEED), uint64s, uint64s)


def philox4x64(counter: tuple[int, int, int, int], key: tuple[int, int]) -> list[int]:
    """Philox4x64-10 as the paper writes it, figure 2 and section 4.3."""
    (a, b, c, d), (low, high) = counter, key
    for _ in range(10):
        first, second = MULTIPLIERS[0] * a, MULTIPLIERS[1] * c
        a, b, c, d = (second >> 64) ^ b ^ low, second & MASK, (first >> 64) ^ d ^ high, first & MASK
        low, high = (low + WEYL[0]) & MASK, (high + WEYL[1]) & MASK
    return [a, b, c, d]


def test_the_words_are_the_golden_ones() -> None:
    assert words(StreamKey(0, 0, 0, 0), 8).tolist() == [
        213000021201967259,
        4455796210202625458,
        2055444239878205049,
        10411612076246414556,
        9267267987884836803,
        5120919030223861725,
        17460660323513034167,
        18189711684604811196,
    ]
    assert words(StreamKey(7, 3, 2, MASK), 2).tolist() == [15906573358389252423, 2195028802641706944]
    assert words(StreamKey(MAX_SEED, MAX_SEED, 1, 5), 2, start=8).tolist() == [
        8866844370712471332,
        185027852253985329,
    ]


def test_the_second_implementation_gives_the_known_answers_of_its_authors() -> None:
    assert philox4x64((0, 0, 0, 0), (0, 0)) == [
        0x16554D9ECA36314C,
        0xDB20FE9D672D0FDC,
        0xD7E772CEE186176B,
        0x7E68B68AEC7BA23B,
    ]
    assert philox4x64((MASK, MASK, MASK, MASK), (MASK, MASK)) == [
        0x87B092C3013FE90B,
        0x438C3C67BE8D0224,
        0x9CC7D7C69CD777B6,
        0xA09CAEBF594F0BA0,
    ]


@given(keys, st.integers(0, 2**40))
def test_the_words_agree_with_a_second_implementation(key: StreamKey, group: int) -> None:
    counter = (group + 1, key.block, key.site, 0)  # NumPy counts up before it draws
    expected = philox4x64(counter, (key.seed, key.row))
    assert words(key, 4, start=4 * group).tolist() == expected


@given(keys, st.integers(0, 40), st.integers(0, 10))
def test_a_word_does_not_depend_on_where_reading_begins(key: StreamKey, count: int, group: int) -> None:
    whole = words(key, 4 * group + count)
    assert np.array_equal(whole[4 * group :], words(key, count, start=4 * group))


@given(keys, st.integers(0, 3))
def test_streams_that_differ_in_one_field_differ(key: StreamKey, field: int) -> None:
    other = key._replace(**{key._fields[field]: key[field] ^ 1})
    assert not np.array_equal(words(key, 4), words(other, 4))


def test_a_start_inside_a_group_of_four_is_refused() -> None:
    with pytest.raises(DomainError, match="start must be a multiple of 4, got 6"):
        words(StreamKey(0, 0, 0, 0), 4, start=6)


@pytest.mark.parametrize("seed", [0, 1, MAX_SEED, np.int64(5), np.uint64(MAX_SEED)])
def test_a_seed_of_63_bits_is_taken_as_an_int(seed: int | np.integer) -> None:
    assert type(check_seed(seed)) is int
    assert check_seed(seed) == int(seed)


@pytest.mark.parametrize("seed", [-1, MAX_SEED + 1, True, 1.0, "1", None])
def test_anything_else_is_no_seed(seed: object) -> None:
    with pytest.raises(DomainError, match=r"seed must be an integer between 0 and 2\^63 - 1, got"):
        check_seed(seed)
