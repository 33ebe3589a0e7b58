"""What those are told whose requests were turned away."""

import pytest
from mcdrop_service.execution.refusing import turned_away
from mcdrop_service.scheduler import Refusal, RefusedError


@pytest.mark.parametrize(("wait_s", "told_s"), [(0.0, 1), (0.3, 1), (1.0, 1), (1.2, 2), (30.01, 31)])
def test_nobody_is_asked_to_come_back_before_there_is_room(wait_s: float, told_s: int) -> None:
    error = turned_away(RefusedError(Refusal.DEADLINE, wait_s))
    assert error.retry_after_s == told_s
    assert f"ask again in {told_s} s, or allow more time" in error.message
