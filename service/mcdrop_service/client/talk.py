"""The conversations with a service, each a generator that knows no network."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final
from urllib.parse import quote

from mcdrop.predictive import Predictive
from mcdrop_service.client.description import ModelDescription, described
from mcdrop_service.client.errors import BadRequestError, ClientError, UnreadableAnswerError
from mcdrop_service.client.patience import Patience, Watch, answered
from mcdrop_service.client.question import Inputs, PredictOptions, Question, inference_request
from mcdrop_service.client.reading import document_of, inference_of, predictive_of
from mcdrop_service.client.wire import Conversation, Failure, HttpRequest, Send

__all__ = ["Talk"]

_MOST_EXCHANGES: Final = 3
"""How often a model may be another one than was described before the client stops believing it."""


@dataclass(frozen=True)
class Talk:
    """With one service; remembers what it said of its models. Safe to share between threads.

    Attributes:
        headers: Of every request; they can hold a key, so no text of this shows them.
        patience: How long and how often.
        clock: Seconds, as `time.monotonic`.
        jitter: Numbers in [0, 1).
    """

    headers: Mapping[str, str] = field(repr=False)
    patience: Patience
    clock: Callable[[], float]
    jitter: Callable[[], float]
    _models: dict[str, ModelDescription] = field(default_factory=dict, repr=False)

    def is_ready(self) -> Conversation[bool]:
        """Whether the service can answer now; False also where nothing answers."""
        reply = yield Send(HttpRequest("GET", "/readyz", self.headers), self.patience.timeout_s)
        return not isinstance(reply, Failure) and reply is not None and reply.status == 200

    def models(self) -> Conversation[tuple[str, ...]]:
        """The names of all models."""
        document = yield from self._got("/v1/models", self._watch(None))
        try:
            return tuple(document["models"])
        except (KeyError, TypeError) as error:
            raise UnreadableAnswerError(f"wanted a list of models, got {document!r}") from error

    def model(self, name: str, version: str | None = None) -> Conversation[ModelDescription]:
        """What the service says of a model, now."""
        return (yield from self._described(_path(name, version), self._watch(None)))

    def predict(self, name: str, inputs: Inputs, options: PredictOptions) -> Conversation[Predictive]:
        """The predictive of some rows.

        What was said of the model is asked once and remembered. An answer carries the digest of the model
        that gave it: if it is another one, or if a request is refused that may have fitted the old one, the
        model is asked about again.
        """
        watch, question = self._watch(options.get("timeout_s")), Question.of(inputs, options)
        path = _path(name, options.get("version"))
        trace = options.get("traceparent")
        headers = self.headers if trace is None else {**self.headers, "traceparent": trace}
        model = self._models.get(path) or (yield from self._described(path, watch))
        for _ in range(_MOST_EXCHANGES):
            found = yield from self._asked(path, question, model, headers, watch)
            if isinstance(found, Predictive):
                return found
            known, model = model, (yield from self._described(path, watch))
            if model.digest == known.digest:
                raise found
        raise UnreadableAnswerError(f"{name} became another model {_MOST_EXCHANGES} times in one call")

    def _asked(
        self, path: str, question: Question, model: ModelDescription, headers: Mapping[str, str], watch: Watch
    ) -> Conversation[Predictive | ClientError]:
        """The predictive, or why there is none if another model may be the reason."""
        request = partial(inference_request, f"/v2{path}", question, model, headers)
        try:
            answer = yield from answered(request, self.patience, watch)
        except BadRequestError as refused:
            return refused
        document, tensors = inference_of(answer)
        came = document.get("parameters", {}).get("model_digest")
        if came != model.digest:
            return UnreadableAnswerError(
                f"{model.name} says that its digest is {model.digest}, and its answer came from {came}; "
                "services that share an address must serve the same versions; or name one: version='1'"
            )
        levels = model.levels(question.quantiles)
        return predictive_of((document, tensors), model, levels, answer.headers.get("x-request-id"))

    def _described(self, path: str, watch: Watch) -> Conversation[ModelDescription]:
        model = described((yield from self._got(f"/v1{path}", watch)))
        self._models[path] = model
        return model

    def _got(self, path: str, watch: Watch) -> Conversation[Any]:
        request = HttpRequest("GET", path, self.headers)
        answer = yield from answered(lambda _left_s: request, self.patience, watch)
        return document_of(answer)

    def _watch(self, timeout_s: float | None) -> Watch:
        limit_s = self.patience.timeout_s if timeout_s is None else timeout_s
        return Watch(self.clock, self.clock() + limit_s, self.jitter)


def _path(name: str, version: str | None) -> str:
    path = f"/models/{quote(name, safe='')}"
    return path if version is None else f"{path}/versions/{quote(str(version), safe='')}"
