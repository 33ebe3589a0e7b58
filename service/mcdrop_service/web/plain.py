"""The plain form: one JSON object in, one JSON object out."""

from typing import Final

from starlette.responses import Response

from mcdrop_service.encoding import encode_answer
from mcdrop_service.facts import InferenceRequest, ModelFacts, PredictionAnswer
from mcdrop_service.parsing import RequestLimits, parse_prediction
from mcdrop_service.web.answers import json_response

__all__ = ["PlainForm"]


class PlainForm:
    """Of `POST /v1/models/{name}/predict`."""

    packed: Final = False

    def most_bytes(self, size: int) -> int:
        """The size as it is."""
        return size

    def unpack(self, body: bytes, max_bytes: int) -> bytes:  # noqa: ARG002  compression is refused before
        """The body as it came."""
        return body

    def parse(self, body: bytes, facts: ModelFacts, limits: RequestLimits) -> InferenceRequest:
        """The request that a body holds."""
        return InferenceRequest(parse_prediction(body, facts, limits), None, frozenset(), None)

    def encode(self, answer: PredictionAnswer, asked: InferenceRequest) -> Response:  # noqa: ARG002
        """The answer as JSON."""
        return json_response(encode_answer(answer))
