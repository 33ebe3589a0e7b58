"""From requests to batches of work, fairly and within bounds; knows neither torch nor HTTP.

The unit of work is one row times one block of 16 samples. The scheduler is a plain object that is told the
time and does nothing by itself: no thread, no clock, no lock, no timer. Whoever owns it runs the batches.
"""

from mcdrop_service.scheduler.admission import QueueLimits, Refusal, RefusedError
from mcdrop_service.scheduler.ledger import Ledger
from mcdrop_service.scheduler.scheduler import Scheduler
from mcdrop_service.scheduler.work import Answers, Batch, Job, More, Outcome, Pieces, Ripe, Settled, Unit

__all__ = [
    "Answers",
    "Batch",
    "Job",
    "Ledger",
    "More",
    "Outcome",
    "Pieces",
    "QueueLimits",
    "Refusal",
    "RefusedError",
    "Ripe",
    "Scheduler",
    "Settled",
    "Unit",
]
