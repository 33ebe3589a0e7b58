"""The plain form: one JSON object in, one JSON object out."""

from typing import Final

from starlette.responses import Response

from mcdrop_service.encoding import encode_answer
from mcdrop_service.facts import InferenceRequest, ModelFacts, PredictionAnswer
from mcdrop_service.parsing import RequestLimits, parse_prediction
from mcdrop_service.web.answers import JsonResponse
from mcdrop_service.web.headers import IDENTITY

__all__ = ["PlainForm"]


class PlainForm:
    """Of `POST /v1/models/{name}/predict`."""

    coding: Final = IDENTITY

    def parse(self, body: bytes, facts: ModelFacts, limits: RequestLimits) -> InferenceRequest:
        """The request that a body holds."""
        return InferenceRequest(parse_prediction(body, facts, limits), None, frozenset(), None)

    def encode(self, answer: PredictionAnswer, asked: InferenceRequest) -> Response:  # noqa: ARG002
        """The answer as JSON."""
        return JsonResponse(encode_answer(answer))
