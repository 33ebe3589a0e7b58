"""The form of the Open Inference Protocol: JSON, with or without binary data behind it, compressed or not."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from starlette.responses import Response

from mcdrop_service.encoding import encode_inference
from mcdrop_service.errors import BadRequestError, UnsupportedMediaTypeError, shown
from mcdrop_service.facts import InferenceRequest, ModelFacts, PredictionAnswer
from mcdrop_service.parsing import CODINGS, RequestLimits, parse_inference
from mcdrop_service.web.answers import JsonResponse
from mcdrop_service.web.headers import IDENTITY, JSON, content_coding, media_type

__all__ = ["JSON_LENGTH", "InferenceForm", "form_of"]

JSON_LENGTH: Final = "inference-header-content-length"
BYTES: Final = "application/octet-stream"


@dataclass(frozen=True)
class InferenceForm:
    """Of `POST /v2/models/{name}/infer`.

    Attributes:
        coding: Content coding of the body; `identity` for none.
        json_bytes: Length of the JSON part of the unpacked body; None if there is nothing else.
    """

    coding: str
    json_bytes: int | None

    def parse(self, body: bytes, facts: ModelFacts, limits: RequestLimits) -> InferenceRequest:
        """The request that a body holds."""
        return parse_inference(body, self.json_bytes, facts, limits)

    def encode(self, answer: PredictionAnswer, asked: InferenceRequest) -> Response:
        """The answer, with the length of its JSON part where binary data follows."""
        content, json_bytes = encode_inference(answer, asked)
        if json_bytes is None:
            return JsonResponse(content)
        return Response(content, media_type=BYTES, headers={JSON_LENGTH: str(json_bytes)})


def form_of(headers: Mapping[bytes, bytes]) -> InferenceForm:
    """What the headers of a request say of its form.

    Args:
        headers: No content type at all is fine: some clients send none.

    Raises:
        UnsupportedMediaTypeError: If the content type or the compression is not one that is read here.
        BadRequestError: If the length of the JSON part is no number.
    """
    kind, coding = media_type(headers), content_coding(headers)
    if kind not in {JSON, BYTES}:
        raise UnsupportedMediaTypeError(
            f"the content type must be {JSON} or {BYTES}, got {shown(kind)}; with curl, add "
            f"-H 'content-type: {JSON}'"
        )
    if coding not in {IDENTITY, *CODINGS}:
        raise UnsupportedMediaTypeError(
            f"the content encoding must be {', '.join(CODINGS)} or none, got {shown(coding)}"
        )
    length = headers.get(JSON_LENGTH.encode())
    if length is not None and not (length.isdigit() and len(length) < 20):
        raise BadRequestError(
            "Inference-Header-Content-Length must be a number of bytes, got "
            f"{shown(length.decode('latin-1'))}"
        )
    return InferenceForm(coding, None if length is None else int(length))
