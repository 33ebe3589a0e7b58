"""From the bytes of a body to a checked `PredictionRequest`; knows neither torch nor HTTP."""

from mcdrop_service.parsing.prediction import RequestLimits, parse_prediction

__all__ = ["RequestLimits", "parse_prediction"]
