"""The order in which unlike work is done, beside equal shares that are dealt out for real."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mcdrop_service.scheduler.fair_order import FairOrder

ROUNDING = 1e-6


def by_equal_shares(arrivals: list[tuple[int, int]]) -> list[float]:
    """When jobs that come at a time and want so much would be done, if one a second were shared equally."""
    left = {index: float(units) for index, (_, units) in enumerate(arrivals)}
    done, now = [0.0] * len(arrivals), 0.0
    while left:
        here = [index for index in left if arrivals[index][0] <= now]
        later = min((at for at, _ in arrivals if at > now), default=float("inf"))
        if not here:
            now = later
            continue
        step = min(min(left[index] for index in here) * len(here), later - now)
        now += step
        for index in here:
            left[index] -= step / len(here)
            if left[index] <= ROUNDING:
                del left[index]
                done[index] = now
    return done


def in_fair_order(arrivals: list[tuple[int, int]]) -> list[float]:
    """The same, if whoever comes first gets all of it."""
    order: FairOrder[int] = FairOrder()
    left = [units for _, units in arrivals]
    done = [0.0] * len(arrivals)
    now = 0
    while any(left):
        for index, (at, units) in enumerate(arrivals):
            if at == now:
                order.add(index, units)
        now += 1
        if not len(order):
            continue
        first = order.first
        left[first] -= 1
        order.serve(1, [] if left[first] else [first])
        done[first] = now
    return done


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(1, 12)), min_size=1, max_size=12))
def test_nobody_is_done_later_than_if_all_shared_equally(arrivals: list[tuple[int, int]]) -> None:
    """But for the one unit that is under way when a smaller job comes."""
    shared = by_equal_shares(arrivals)
    assert all(
        mine <= theirs + 1 + ROUNDING for mine, theirs in zip(in_fair_order(arrivals), shared, strict=True)
    )


@pytest.mark.parametrize("members", [("leaves", "stays"), ("stays", "leaves")])
def test_a_member_that_leaves_takes_no_share_any_more(members: tuple[str, str]) -> None:
    order: FairOrder[str] = FairOrder()
    for member in members:
        order.add(member, 10)
    order.leave("leaves")
    order.serve(8, [])
    order.add("comes", 1)  # at a share of 8, not of 4
    order.add("small", 3)
    assert list(order) == ["comes", "stays", "small"]
    assert order.rank(1) == 1


def test_what_is_given_out_at_once_is_shared_by_those_who_still_want_some() -> None:
    order: FairOrder[str] = FairOrder()
    for member, units in (("done", 1), ("a", 9), ("b", 9)):
        order.add(member, units)
    order.serve(9, ["done"])  # one for each of three, and three for each of two
    order.add("comes", 5)
    assert list(order) == ["a", "b", "comes"]
