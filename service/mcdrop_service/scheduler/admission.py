"""Whether a job is taken on: bounds on what waits, and a forecast of how long it would take."""

import math
from collections.abc import Hashable
from dataclasses import dataclass
from enum import Enum
from typing import Generic, TypeVar

from mcdrop_service.scheduler.line import Place
from mcdrop_service.scheduler.work import Answers, Job

__all__ = ["Forecast", "QueueLimits", "Refusal", "RefusedError"]

K = TypeVar("K", bound=Hashable)

WEIGHT_OF_LATEST = 0.2
MOST_TIMES = 4.0
"""For so many means a batch counts at most: where a machine stalls for a moment, its model is not slow."""
MOST_KEYS = 1024


@dataclass(frozen=True)
class QueueLimits:
    """What may wait at once.

    Attributes:
        max_units: Units that were not handed out yet, with all that jobs can still grow by.
        max_bytes: Memory of all live jobs.
    """

    max_units: int
    max_bytes: int


class Refusal(Enum):
    """Why a job was turned away."""

    QUEUE_FULL = "queue_full"
    MEMORY = "memory"
    DEADLINE = "deadline"


class RefusedError(Exception):
    """A job was turned away, and not accepted.

    Args:
        refusal: Why.
        retry_after_s: After how long asking again makes sense.
    """

    def __init__(self, refusal: Refusal, retry_after_s: float) -> None:
        super().__init__(f"{refusal.value}, retry after {retry_after_s:.3f} s")
        self.refusal = refusal
        self.retry_after_s = retry_after_s


class Means(Generic[K]):
    """Exponentially weighted means of what was seen, by key.

    The keys that were measured last are remembered; there can be any number of input lengths.
    """

    def __init__(self) -> None:
        self._means: dict[K, float] = {}
        self._supposed: set[K] = set()

    def learn(self, key: K, value: float, *, most_times: float = math.inf) -> None:
        """Take a measurement in, for at most so many times the mean."""
        before = self._means.pop(key, 0.0) or value
        latest = min(value, most_times * before)
        self._means[key] = value if key in self._supposed else before + WEIGHT_OF_LATEST * (latest - before)
        self._supposed.discard(key)
        if len(self._means) > MOST_KEYS:
            self._forget(next(iter(self._means)))

    def suppose(self, key: K, mean: float) -> None:
        """Take a mean for that of a key until the next measurement takes its place; 0 is not known."""
        if mean:
            self._means[key] = mean
            self._supposed.add(key)
            if len(self._means) > MOST_KEYS:
                self._forget(next(iter(self._means)))

    def of(self, key: K) -> float:
        """The mean; 0 while nothing is known."""
        return self._means.get(key, 0.0)

    @property
    def largest(self) -> float:
        """Of all of them; 0 if there are none."""
        return max(self._means.values(), default=0.0)

    @property
    def keys(self) -> tuple[K, ...]:
        """Those that are known."""
        return tuple(self._means)

    def _forget(self, key: K) -> None:
        del self._means[key]
        self._supposed.discard(key)


class Forecast:
    """What to expect of a key, from what was seen lately: of its batches, answers, and jobs that grow."""

    def __init__(self) -> None:
        self._seconds = Means[Hashable]()
        self._piece_s = Means[tuple[Answers, Hashable]]()
        self._blocks = Means[Hashable]()
        self._fill = Means[Hashable]()
        self._answer_s = Means[Hashable]()
        self._answer_units = Means[Hashable]()

    def learn(self, key: Hashable, seconds: float, kind: Hashable = None) -> None:
        """How long a batch took, or a piece of some kind."""
        if isinstance(key, Answers):
            self._seconds.learn(key, seconds)  # of unlike kinds
            self._piece_s.learn((key, kind), seconds, most_times=MOST_TIMES)
        else:
            self._seconds.learn(key, seconds, most_times=MOST_TIMES)

    def learn_fill(self, key: Hashable, units: int) -> None:
        """How many units a batch held while more waited: few, where those of unlike lots cannot share one."""
        self._fill.learn(key, units)

    def learn_answers(self, key: Hashable, units: int, seconds: float) -> None:
        """How long it took to make answers of the results of some units."""
        self._answer_s.learn(key, seconds)
        self._answer_units.learn(key, units)

    def doubt(self, key: Hashable) -> None:
        """Take half of the seconds of a key back: nothing corrects what was measured in a bad moment.

        The next measurement counts alone: if it takes as long as was known, the next one like it is refused.
        """
        for means, its in ((self._seconds, key), (self._seconds, Answers(key)), (self._answer_s, key)):
            means.suppose(its, means.of(its) / 2)
        self._answer_units.suppose(key, self._answer_units.of(key))

    def doubt_pieces(self, job: Job) -> None:
        """The same of the pieces of a job, which are of a kind that others of its key do not measure."""
        self._piece_s.suppose((Answers(job.key), job.kind), self.pieces_s(job, 1) / 2)

    def suppose(self, key: Hashable, like: Hashable) -> None:
        """Of a key that was never measured expect what is known of another, until it is measured itself."""
        for means in (self._seconds, self._blocks, self._fill, self._answer_s, self._answer_units):
            means.suppose(key, means.of(like))
        self._seconds.suppose(Answers(key), self._seconds.of(Answers(like)))
        for answers, kind in self._piece_s.keys:
            if answers == Answers(like):
                self._piece_s.suppose((Answers(key), kind), self._piece_s.of((answers, kind)))

    def learn_growth(self, key: Hashable, blocks: float) -> None:
        """How many blocks the rows of a job that grew took, in the mean."""
        self._blocks.learn(key, blocks)

    def batch_s(self, key: Hashable) -> float:
        """Seconds for one batch; 0 while nothing is known."""
        return self._seconds.of(key)

    def units_s(self, key: Hashable, units: int, capacity: int) -> float:
        """Seconds for some units in full batches, and for making answers of them."""
        batches = math.ceil(units / (self._fill.of(key) or capacity))
        return batches * self.batch_s(key) + self._answers_s(key, units)

    def pieces_s(self, job: Job, pieces: int) -> float:
        """Seconds for some pieces of an answer: as of all kinds, while nothing is known of this one."""
        if not pieces:
            return 0.0
        answers = Answers(job.key)
        return pieces * (self._piece_s.of((answers, job.kind)) or self.batch_s(answers))

    @property
    def longest_piece_s(self) -> float:
        """Seconds that a piece takes at most, of whatever key and kind."""
        return self._piece_s.largest

    def together_s(self, key: Hashable, units: int) -> float:
        """Seconds for some units in one batch, and for making answers of them."""
        return self.batch_s(key) + self._answers_s(key, units)

    def job_units(self, job: Job) -> int:
        """Units of a new job; of one that grows, if its rows take what those of others took lately."""
        least = job.blocks if job.first_blocks is None else job.first_blocks
        return job.rows * min(max(least, self._usual_blocks(job)), job.blocks)

    def units_left(self, place: Place) -> int:
        """The same of a job under way, without what was handed out, and without the pieces of its answer."""
        if place.making:
            return 0
        return place.outlook(self._usual_blocks(place.job)) if place.job.grows else place.waiting

    def _answers_s(self, key: Hashable, units: int) -> float:
        return units * self._answer_s.of(key) / (self._answer_units.of(key) or 1)

    def _usual_blocks(self, job: Job) -> int:
        return math.ceil(self._blocks.of(job.key))
