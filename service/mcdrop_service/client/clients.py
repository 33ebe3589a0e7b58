"""The two clients: they carry out conversations with httpx, one with threads and one with asyncio."""

import asyncio
import time
from types import TracebackType
from typing import Self, TypeVar, Unpack

import httpx

from mcdrop.predictive import Predictive
from mcdrop_service.client.carrying import LIMITS, Line, answer_of
from mcdrop_service.client.description import ModelDescription
from mcdrop_service.client.patience import Patience
from mcdrop_service.client.question import Inputs, PredictOptions
from mcdrop_service.client.wire import Conversation, Ended, Reply, Send, Wait, next_step

__all__ = ["AsyncClient", "Client"]

T = TypeVar("T")


class Client:
    """Asks a service, and waits for the answers. Safe to share between threads.

    Args:
        url: The service's address, such as `http://127.0.0.1:8000`, with the path of a proxy if it has one.
        api_key: Sent as `Authorization: Bearer`.
        patience: How long and how often; by default a minute and five attempts.
        http: An httpx client of your own, for other certificates, proxies or limits; `close` leaves it open.

    Raises:
        OptionError: If `url` is no address.
    """

    def __init__(
        self,
        url: str,
        *,
        api_key: str | None = None,
        patience: Patience | None = None,
        http: httpx.Client | None = None,
    ) -> None:
        self._line = Line.to(url, api_key, patience)
        self._own = http is None
        self._http = httpx.Client(limits=LIMITS) if http is None else http

    def predict(self, model: str, inputs: Inputs, **options: Unpack[PredictOptions]) -> Predictive:
        """The predictive distribution of each row, with the bits of `MCDropout.predict(..., exact=True)`.

        Args:
            model: Its name at the service.
            inputs: N rows, as the model takes them: a tensor, an array, nested lists; several by name.
            **options: See `PredictOptions`: version, n_samples, tolerance, max_samples, seed, quantiles,
                keep_samples, timeout_s, traceparent.

        Returns:
            The predictive of the model's task, on the CPU; its `origin` says which service, model and
            fingerprint. What was not asked for (other quantiles, the samples) raises `SamplesNotKeptError`.

        Raises:
            ClientError: If there is no answer, or a refusal.
            InputError: If an input cannot become the dtype that the model takes.
            OptionError: If inputs are missing or unknown, or an option is.
            DomainError: If a quantile level is not between 0 and 1.
        """
        return self._held(self._line.talk.predict(model, inputs, options))

    def models(self) -> tuple[str, ...]:
        """The names of all models.

        Raises:
            ClientError: If there is no answer, or a refusal.
        """
        return self._held(self._line.talk.models())

    def model(self, name: str, *, version: str | None = None) -> ModelDescription:
        """What the service says of a model: inputs, outputs, defaults, digest, classes, scores.

        Raises:
            ClientError: If there is no answer, or a refusal.
        """
        return self._held(self._line.talk.model(name, version))

    def is_ready(self) -> bool:
        """Whether the service can answer now; False also where nothing answers."""
        return self._held(self._line.talk.is_ready())

    def close(self) -> None:
        """Close the connections."""
        if self._own:
            self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Client({self._line.url!r})"

    def _held(self, conversation: Conversation[T]) -> T:
        reply: Reply | None = None
        while not isinstance(step := next_step(conversation, reply), Ended):
            reply = self._done(step)
        return step.value

    def _done(self, step: Send | Wait) -> Reply | None:
        if isinstance(step, Wait):
            time.sleep(step.seconds)
            return None
        try:
            return answer_of(self._http.request(**self._line.arguments(step)))
        except httpx.TransportError as error:
            return self._line.failure(error)


class AsyncClient:
    """The same for asyncio: `async with AsyncClient(url) as client: pred = await client.predict(...)`.

    Args:
        url: As of `Client`.
        api_key: As of `Client`.
        patience: As of `Client`.
        http: An httpx client of your own; `aclose` leaves it open.

    Raises:
        OptionError: If `url` is no address.
    """

    def __init__(
        self,
        url: str,
        *,
        api_key: str | None = None,
        patience: Patience | None = None,
        http: httpx.AsyncClient | None = None,
    ) -> None:
        self._line = Line.to(url, api_key, patience)
        self._own = http is None
        self._http = httpx.AsyncClient(limits=LIMITS) if http is None else http

    async def predict(self, model: str, inputs: Inputs, **options: Unpack[PredictOptions]) -> Predictive:
        """As `Client.predict`."""
        return await self._held(self._line.talk.predict(model, inputs, options))

    async def models(self) -> tuple[str, ...]:
        """As `Client.models`."""
        return await self._held(self._line.talk.models())

    async def model(self, name: str, *, version: str | None = None) -> ModelDescription:
        """As `Client.model`."""
        return await self._held(self._line.talk.model(name, version))

    async def is_ready(self) -> bool:
        """As `Client.is_ready`."""
        return await self._held(self._line.talk.is_ready())

    async def aclose(self) -> None:
        """Close the connections."""
        if self._own:
            await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    def __repr__(self) -> str:
        return f"AsyncClient({self._line.url!r})"

    async def _held(self, conversation: Conversation[T]) -> T:
        reply: Reply | None = None
        while not isinstance(step := next_step(conversation, reply), Ended):
            reply = await self._done(step)
        return step.value

    async def _done(self, step: Send | Wait) -> Reply | None:
        if isinstance(step, Wait):
            await asyncio.sleep(step.seconds)
            return None
        try:
            return answer_of(await self._http.request(**self._line.arguments(step)))
        except httpx.TransportError as error:
            return self._line.failure(error)
