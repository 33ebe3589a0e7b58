"""From bytes to a checked request; knows neither torch nor HTTP."""

from mcdrop_service.parsing.compression import CODINGS, MOST_TIMES, inflated
from mcdrop_service.parsing.document import decode_object
from mcdrop_service.parsing.fields import RequestLimits
from mcdrop_service.parsing.inference import parse_inference
from mcdrop_service.parsing.prediction import parse_prediction

__all__ = [
    "CODINGS",
    "MOST_TIMES",
    "RequestLimits",
    "decode_object",
    "inflated",
    "parse_inference",
    "parse_prediction",
]
