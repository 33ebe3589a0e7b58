"""From plain data to the bytes of an answer; knows neither torch nor HTTP."""

from mcdrop_service.encoding.answer import encode_answer, encode_document, encode_error
from mcdrop_service.encoding.inference import encode_inference

__all__ = ["encode_answer", "encode_document", "encode_error", "encode_inference"]
