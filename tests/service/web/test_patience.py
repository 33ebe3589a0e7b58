"""One timer for all limits of one length."""

import asyncio

import pytest
from mcdrop_service.web.patience import Patience


async def waited(patience: Patience, event: asyncio.Event) -> bool:
    """Whether the event came in time."""
    try:
        with patience.limit():
            await event.wait()
    except TimeoutError:
        return False
    return True


def test_who_is_late_is_stopped_and_nobody_else() -> None:
    async def main() -> list[bool]:
        patience, never, soon = Patience(0.05), asyncio.Event(), asyncio.Event()
        late = [asyncio.create_task(waited(patience, never)) for _ in range(3)]
        in_time = asyncio.create_task(waited(patience, soon))
        asyncio.get_running_loop().call_soon(soon.set)
        return await asyncio.gather(*late, in_time)

    assert asyncio.run(main()) == [False, False, False, True]


def test_limits_that_begin_later_end_later() -> None:
    async def main() -> tuple[bool, bool]:
        patience, never = Patience(0.05), asyncio.Event()
        first = await waited(patience, never)
        return first, await waited(patience, never)

    assert asyncio.run(main()) == (False, False)


def test_a_task_that_is_cancelled_from_elsewhere_stays_cancelled() -> None:
    async def main() -> None:
        task = asyncio.create_task(waited(Patience(10), asyncio.Event()))
        asyncio.get_running_loop().call_soon(task.cancel)
        await task

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(main())


def test_there_is_no_timer_when_nobody_waits() -> None:
    async def main() -> bool:
        patience, soon = Patience(0.01), asyncio.Event()
        soon.set()
        await waited(patience, soon)
        await waited(patience, asyncio.Event())  # its end comes after that of the first would have come
        return patience.is_awake

    assert asyncio.run(main()) is False
