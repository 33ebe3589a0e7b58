"""The scheduler: which units run next, and how every job ends."""

import heapq
import math
from collections import deque
from collections.abc import Callable, Hashable, Sequence
from itertools import count, groupby
from typing import Any

from mcdrop_service.scheduler.admission import Forecast, QueueLimits, Refusal, RefusedError
from mcdrop_service.scheduler.ledger import Ledger
from mcdrop_service.scheduler.line import Line, Place
from mcdrop_service.scheduler.outlook import CAUTION, Outlook
from mcdrop_service.scheduler.rotation import Rotation
from mcdrop_service.scheduler.work import Answers, Batch, Job, More, Outcome, Pieces, Ripe, Settled, Unit

__all__ = ["Scheduler"]

# What a key may spend per round, in seconds of batches: slow models cannot hold up fast ones.
QUANTUM_S = 0.01
MANY_DEADLINES = 1000


class Scheduler:
    """Jobs in, batches out, results in, outcomes out. Not safe to share between threads.

    Every method that needs the time is told it. `settled` tells what ended since it was last asked.

    Args:
        limits: What may wait at once.

    Attributes:
        ledger: The books.
        waiting_units: Units that were not handed out yet.
        reserved_units: The same with all that jobs can still grow by; this is what the limit holds for. Of
            answers that are being made both hold the pieces.
        held_bytes: Memory of all live jobs.
    """

    def __init__(self, limits: QueueLimits) -> None:
        self.ledger = Ledger()
        self.waiting_units = 0
        self.reserved_units = 0
        self.held_bytes = 0
        self._pieces = 0
        self._limits = limits
        self._tickets = count()
        self._live: dict[int, Place] = {}
        self._lines: dict[Hashable, Line] = {}
        self._keys: Rotation[Hashable] = Rotation(QUANTUM_S)
        self._apart: deque[tuple[Unit, ...]] = deque()
        self._deadlines: list[tuple[float, int]] = []
        self._forecast = Forecast()
        self._free_s = 0.0
        self._settled: list[Settled] = []

    def submit(self, job: Job, now_s: float) -> int:
        """Take a job on, or turn it away.

        Args:
            job: At least one unit.
            now_s: The time.

        Returns:
            Its ticket.

        Raises:
            RefusedError: If too much waits already, or it could not be done in time.
        """
        self.expire(now_s)
        self._check_room(job)
        self._check_deadline(job, now_s)
        ticket = next(self._tickets)
        place = self._live[ticket] = Place(ticket, job)
        self.ledger.accepted += 1
        self.reserved_units += job.units
        self.held_bytes += job.size_bytes
        self._pieces += job.pieces
        heapq.heappush(self._deadlines, (job.deadline_s, ticket))
        self._line_up(place)
        return ticket

    def next_batch(self, now_s: float) -> Batch | None:
        """Units to run now, or None when nothing waits.

        Args:
            now_s: The time; what is late is dropped first.

        Returns:
            A batch. It must come back through `complete` or `fault`.
        """
        self.expire(now_s)
        while self._apart:
            units = self._still_wanted(self._apart.popleft())
            if units:
                return self._started(self._live[units[0].ticket].job.key, units, now_s)
        if not self._lines:
            return None
        key = self._keys.turn(self._forecast.batch_s)
        line = self._lines[key]
        units = line.take()
        self.waiting_units -= len(units)
        self.reserved_units -= len(units)
        if isinstance(key, Answers):
            self._pieces -= len(units)
        if line.places:
            self._forecast.learn_fill(key, len(units))
        else:
            self._close(key)
        return self._started(key, units, now_s)

    def complete(self, batch: Batch, results: Sequence[Any], now_s: float) -> list[Ripe]:
        """Take the results of a batch in.

        Args:
            batch: From `next_batch`.
            results: One for each of its units, in order.
            now_s: The time.

        Returns:
            The jobs of which every unit is done. Each must come back through `settle`, `grow` or `make`; one
            of which every piece is done through `settle`.
        """
        self.expire(now_s)
        self._free_s = now_s
        self._forecast.learn(batch.key, now_s - batch.started_s, batch.kind)
        ripe: list[Ripe] = []
        for unit, result in zip(batch.units, results, strict=True):
            place = self._live.get(unit.ticket)
            if place is None:
                continue
            place.take_in(unit, result)
            if not place.missing:
                ripe.append(Ripe(place.ticket, place.job.payload, place.results, place.carried))
        return ripe

    def answers_made(self, key: Hashable, units: int, seconds: float) -> None:
        """Learn how long the answers take.

        Args:
            key: Of their jobs.
            units: Of which they were made.
            seconds: For all of them.
        """
        self._forecast.learn_answers(key, units, seconds)

    def suppose(self, key: Hashable, like: Hashable) -> None:
        """Expect of a new key what is known of another, until it is measured itself.

        Args:
            key: Of which nothing was run yet.
            like: Known, or not.
        """
        self._forecast.suppose(key, like)

    def grow(self, ticket: int, more: More, now_s: float) -> None:
        """Let a job that is ripe go on; one that has ended meanwhile does not.

        It takes its turn behind those that wait, as if it had just come.

        Args:
            ticket: Of a job that grows.
            more: What it wants; within what was reserved for it.
            now_s: The time.

        Raises:
            ValueError: If it is more than the job may take, or nothing.
        """
        self._go_on(ticket, lambda place: place.grow(more), now_s)

    def make(self, ticket: int, pieces: Pieces, now_s: float) -> None:
        """Let the answer to a job that is ripe be made in pieces; of one that has ended meanwhile none is.

        They wait in a line of their own, in which jobs take their turns as in others.

        Args:
            ticket: Of a job.
            pieces: Each of them will be a batch.
            now_s: The time.

        Raises:
            ValueError: If there are none.
        """
        self._go_on(ticket, lambda place: place.make(pieces), now_s)

    def fault(self, batch: Batch, now_s: float) -> None:
        """A batch failed: its jobs are run again apart, and one that fails alone has failed.

        Args:
            batch: From `next_batch`.
            now_s: The time.
        """
        self.expire(now_s)
        self._free_s = now_s
        alone = [tuple(units) for _, units in groupby(sorted(batch.units, key=_ticket), key=_ticket)]
        if len(alone) == 1:
            self._end(batch.units[0].ticket, Outcome.FAILED)
        else:
            self._apart.extend(alone)

    def settle(self, ticket: int, outcome: Outcome, now_s: float, answer: Any = None) -> None:
        """End a job. What has ended already stays as it ended; an answer that is late counts as expired.

        Args:
            ticket: From `submit`.
            outcome: How it ends.
            now_s: The time.
            answer: Told with the outcome, if this is how it ends.
        """
        self.expire(now_s)
        self._end(ticket, outcome, answer)

    def expire(self, now_s: float) -> None:
        """End every job whose deadline has come.

        Args:
            now_s: The time.
        """
        while self._deadlines and self._deadlines[0][0] <= now_s:
            _, ticket = heapq.heappop(self._deadlines)
            self._end(ticket, Outcome.EXPIRED)

    @property
    def first_deadline_s(self) -> float:
        """The earliest deadline of those that live; infinity if there is none."""
        while self._deadlines and self._deadlines[0][1] not in self._live:
            heapq.heappop(self._deadlines)
        return self._deadlines[0][0] if self._deadlines else math.inf

    def settled(self) -> list[Settled]:
        """What ended since this was last asked, in order."""
        told, self._settled = self._settled, []
        return told

    def predicted_s(self, job: Job) -> float:
        """Seconds until a job would be done, once the worker is free.

        Args:
            job: Not submitted yet.

        Returns:
            Of what waits now, in its order; 0 while no batch was ever timed.
        """
        return self._apart_s() + Outlook(self._forecast, self._lines, job).newcomer_s

    def _check_room(self, job: Job) -> None:
        if self.reserved_units + job.units > self._limits.max_units:
            raise self._refused(Refusal.QUEUE_FULL, self._backlog_s())
        if self.held_bytes + job.size_bytes > self._limits.max_bytes:
            raise self._refused(Refusal.MEMORY, self._backlog_s())

    def _check_deadline(self, job: Job, now_s: float) -> None:
        free_s = max(self._free_s, now_s) + self._apart_s()
        if self._all_fit(job, free_s):
            return
        outlook = Outlook(self._forecast, self._lines, job)
        late_s = free_s + outlook.cautious_s - job.deadline_s
        if late_s >= 0:
            if now_s + outlook.alone_s >= job.deadline_s:
                self._doubt(job)
            raise self._refused(Refusal.DEADLINE, late_s)
        if (harmed_s := outlook.harmed_s(free_s)) is not None:
            raise self._refused(Refusal.DEADLINE, harmed_s)

    def _doubt(self, job: Job) -> None:
        """Expect less of what takes too long alone, if nothing is under way by which that is measured."""
        live = [place.job for place in self._live.values()]
        if job.pieces and not any(other.key == job.key and other.kind == job.kind for other in live):
            self._forecast.doubt_pieces(job)
        if not any(other.key == job.key for other in live):
            self._forecast.doubt(job.key)

    def _all_fit(self, job: Job, free_s: float) -> bool:
        """Whether all that waits fits before the first deadline, in whatever order; looks at no job."""
        units, pieces = self.reserved_units + job.units, self._pieces + job.pieces
        all_s = self._forecast.units_s(job.key, units, job.capacity) + sum(
            self._forecast.units_s(key, units, line.capacity)
            for key, line in self._lines.items()
            if key != job.key
        )
        if pieces:
            all_s += pieces * self._forecast.longest_piece_s
        return free_s + (1 + CAUTION) * all_s < min(job.deadline_s, self.first_deadline_s)

    def _refused(self, refusal: Refusal, retry_after_s: float) -> RefusedError:
        self.ledger.refused[refusal.value] += 1
        return RefusedError(refusal, retry_after_s)

    def _backlog_s(self) -> float:
        return self._apart_s() + sum(self._line_s(key, line) for key, line in self._lines.items())

    def _apart_s(self) -> float:
        """Seconds for what runs apart after a fault, before all that waits in a line."""
        return sum(
            self._forecast.together_s(self._live[units[0].ticket].job.key, len(units))
            for units in map(self._still_wanted, self._apart)
            if units
        )

    def _line_s(self, key: Hashable, line: Line) -> float:
        units = sum(self._forecast.units_left(place) for place in line.places)
        pieces_s = sum(self._forecast.pieces_s(place.job, place.pieces) for place in line.places)
        return self._forecast.units_s(key, units, line.capacity) + pieces_s

    def _started(self, key: Hashable, units: tuple[Unit, ...], now_s: float) -> Batch:
        if isinstance(key, Answers):
            job = self._live[units[0].ticket].job
            self._free_s = now_s + self._forecast.pieces_s(job, 1)
            return Batch(key, units, now_s, job.kind)
        self._free_s = now_s + self._forecast.batch_s(key)
        return Batch(key, units, now_s)

    def _still_wanted(self, units: tuple[Unit, ...]) -> tuple[Unit, ...]:
        return tuple(unit for unit in units if unit.ticket in self._live)

    def _line_up(self, place: Place) -> None:
        self.waiting_units += place.waiting
        key = place.key
        if key not in self._lines:
            self._lines[key] = Line(place.capacity)
            self._keys.add(key)
        self._lines[key].add(place)

    def _go_on(self, ticket: int, begin: Callable[[Place], None], now_s: float) -> None:
        """Begin another round of a job, if it still lives; one that cannot begin changes nothing."""
        self.expire(now_s)
        if (place := self._live.get(ticket)) is not None:
            reserved, pieces = place.reserved, place.pieces
            begin(place)
            self.reserved_units += place.reserved - reserved
            self._pieces += place.pieces - pieces
            self._line_up(place)

    def _close(self, key: Hashable) -> None:
        del self._lines[key]
        self._keys.remove(key)

    def _end(self, ticket: int, outcome: Outcome, answer: Any = None) -> None:
        place = self._live.pop(ticket, None)
        if place is None:
            return
        self.ledger.ended[outcome] += 1
        if place.job.grows and outcome is Outcome.ANSWERED:
            self._forecast.learn_growth(place.job.key, place.taken / place.job.rows)
        self.waiting_units -= place.waiting
        self.reserved_units -= place.reserved
        self.held_bytes -= place.job.size_bytes
        self._pieces -= place.pieces
        if place.waiting:
            places = self._lines[place.key].places
            places.leave(place)
            if not places:
                self._close(place.key)
        self._settled.append(Settled(ticket, outcome, answer))
        self._forget_old_deadlines()

    def _forget_old_deadlines(self) -> None:
        """Drop those of ended jobs once they are the most part: a deadline can be long after the answer."""
        if len(self._deadlines) > MANY_DEADLINES + 2 * len(self._live):
            self._deadlines = [entry for entry in self._deadlines if entry[1] in self._live]
            heapq.heapify(self._deadlines)


def _ticket(unit: Unit) -> int:
    return unit.ticket
