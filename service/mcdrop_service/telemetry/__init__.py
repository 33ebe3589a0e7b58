"""What an operator sees: metrics, statistics, logs. Knows neither torch nor HTTP."""

from mcdrop_service.telemetry.ended import CLIENT_GONE
from mcdrop_service.telemetry.journal import Journal
from mcdrop_service.telemetry.logs import log_as_json
from mcdrop_service.telemetry.metrics import METRICS_TYPE, Gauges, Metrics
from mcdrop_service.telemetry.notes import Notes
from mcdrop_service.telemetry.statistics import Statistics

__all__ = [
    "CLIENT_GONE",
    "METRICS_TYPE",
    "Gauges",
    "Journal",
    "Metrics",
    "Notes",
    "Statistics",
    "log_as_json",
]
