"""The way of every prediction through the rooms: body, parsing, execution, encoding."""

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol, TypeVar

from starlette.requests import Request
from starlette.responses import Response

from mcdrop_service.errors import TooLargeError
from mcdrop_service.execution import Served
from mcdrop_service.facts import SAMPLES, InferenceRequest, ModelFacts, PredictionAnswer, PredictionRequest
from mcdrop_service.parsing import MOST_TIMES, RequestLimits, inflated
from mcdrop_service.web.answers import LongResponse
from mcdrop_service.web.body import read_body
from mcdrop_service.web.disconnect import while_connected
from mcdrop_service.web.headers import IDENTITY
from mcdrop_service.web.memory import Account
from mcdrop_service.web.watch import notes_of, service_of

__all__ = ["Form", "aside", "ask", "unpacked"]

T = TypeVar("T")

# Above this, parsing and encoding leave the event loop free by going to a thread.
LARGE = 100_000
TIMES_IN_JSON: Final = 3
"""A number's digits to its bytes: ten or eleven and a comma in float32, twenty in float64."""


class Form(Protocol):
    """A form of requests and answers: the plain one, or that of the Open Inference Protocol."""

    @property
    def coding(self) -> str:
        """Content coding of the body; `identity` for none."""
        ...

    def parse(self, body: bytes, facts: ModelFacts, limits: RequestLimits) -> InferenceRequest:
        """The request that a body holds."""
        ...

    def encode(self, answer: PredictionAnswer, asked: InferenceRequest) -> Response:
        """The answer."""
        ...


async def ask(request: Request, served: Served, form: Form) -> Response:
    """Read, understand, predict and answer.

    Args:
        request: Its body was not read yet.
        served: The model that was asked.
        form: Of body and answer.

    Returns:
        The answer.

    Raises:
        ServiceError: If it is refused.
        ClientDisconnect: If the client goes away.
    """
    service, notes = service_of(request), notes_of(request.scope)
    notes.model, notes.version = served.facts.name, served.facts.version
    with service.memory.account() as account:
        body = await read_body(request, service, account)
        work = _answer(request, served, form, body, account)
        response = await while_connected(request.scope, work)
        return response if notes.numbers <= LARGE else LongResponse(response, account.handed_over())


async def _answer(request: Request, served: Served, form: Form, body: bytes, account: Account) -> Response:
    """The answer; how many numbers it holds is noted."""
    service, notes = service_of(request), notes_of(request.scope)
    settings, most, began_s = service.settings, service.memory.max_bytes, time.monotonic()
    plain = body
    if form.coding != IDENTITY:
        plain = await unpacked(body, form.coding, settings.longest_body)
        account.take(max(len(plain) - len(body), 0))
    asked = await aside(len(plain), form.parse, plain, served.facts, service.request_limits)
    notes.parsed_s = time.monotonic()
    notes.parsing_s = notes.parsed_s - began_s
    notes.rows, notes.n_samples = asked.prediction.rows, asked.prediction.n_samples
    patience_s = min(settings.request_timeout_ms / 1000, asked.timeout_s or float("inf"))
    if asked.prediction.rows * asked.prediction.n_samples * served.facts.widest_bytes > LARGE:
        _check_fits(account, most, length_of(sizes_before(asked.prediction, served.facts), asked))
    answer = await service.engine.predict(served, asked.prediction, notes.arrived_s + patience_s, notes)
    notes.outputs = answer.outputs
    notes.numbers = sum([array.size for array in answer.outputs.values()])
    if notes.numbers > LARGE:
        size = length_of({name: array.nbytes for name, array in answer.outputs.items()}, asked)
        _check_fits(account, most, size)
        account.take(size)
    return await aside(notes.numbers, form.encode, answer, asked)


def sizes_before(prediction: PredictionRequest, facts: ModelFacts) -> Mapping[str, int]:
    """Bytes of the outputs that an answer will have, by name, as far as they are known before it is made."""
    of_row = facts.row_bytes
    mean = of_row.get("mean", 0)
    each = {"quantiles": len(prediction.quantiles) * mean}
    for name in prediction.outputs:
        each[name] = prediction.n_samples * mean if name in SAMPLES else of_row.get(name, 0)
    return {name: prediction.rows * size for name, size in each.items()}


def length_of(sizes: Mapping[str, int], asked: InferenceRequest) -> int:
    """Bytes of a long answer, about.

    Args:
        sizes: Bytes of its outputs, by name.
        asked: Which of them are sent as they are.
    """
    return sum(size * (1 if name in asked.binary else TIMES_IN_JSON) for name, size in sizes.items())


def _check_fits(account: Account, most: int, size: int) -> None:
    if account.taken_bytes + size > most:
        raise TooLargeError(
            f"the answer would be about {size} bytes long to a body of {account.taken_bytes}, and all bodies "
            f"together may take {most}; ask for fewer rows, samples or outputs at a time, or for binary data "
            "of the Open Inference Protocol"
        )


async def unpacked(body: bytes, coding: str, most: int) -> bytes:
    """A body without its compression; a small one that may become large leaves the event loop free.

    Args:
        body: As it came.
        coding: Of the body.
        most: Longest result.

    Raises:
        BadRequestError: If it is not compressed as it says.
        TooLargeError: If more comes out.
    """
    return await aside(len(body) * MOST_TIMES, inflated, body, coding, most)


async def aside(size: int, function: Callable[..., T], *args: Any) -> T:
    """Call a function in a thread when the work is large, else here: a hop costs more than small work.

    Args:
        size: Bytes or numbers that it works on.
        function: Called once.
        *args: For it.

    Returns:
        What it returns.
    """
    return await asyncio.to_thread(function, *args) if size > LARGE else function(*args)
