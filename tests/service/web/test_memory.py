"""What requests and long answers take of the bytes that they share, and give back."""

from contextlib import suppress

import pytest
from mcdrop_service.errors import QueueFullError
from mcdrop_service.web.memory import MemoryBudget


def test_what_a_request_took_is_given_back_also_if_it_is_refused() -> None:
    budget = MemoryBudget(10)
    with budget.account() as account:
        account.take(10)
    with suppress(QueueFullError), budget.account() as account:
        account.take(10)
        account.take(1)
    budget.account().take(10)


def test_what_was_handed_over_is_held_until_its_new_holder_gives_it_back() -> None:
    budget = MemoryBudget(10)
    with budget.account() as account:
        account.take(10)
        answer = account.handed_over()
    with answer, pytest.raises(QueueFullError, match="too many bytes of requests and answers"):
        budget.account().take(1)
    budget.account().take(10)
