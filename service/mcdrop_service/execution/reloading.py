"""Loading models while the service runs: load, probe, exchange, drain. What fails changes nothing."""

import asyncio
import logging
from collections.abc import Collection
from functools import partial
from typing import Protocol

from mcdrop.errors import McdropError
from mcdrop_service.errors import BadRequestError, NotBitwiseError, NotFoundError, NotReadyError, shown
from mcdrop_service.execution.engine import Engine
from mcdrop_service.execution.repository import Repository

__all__ = ["Reloader"]

logger = logging.getLogger("mcdrop_service")


class OnLoad(Protocol):
    """Is told of every attempt."""

    def __call__(self, model: str, /, *, well: bool) -> None:
        """Of the model of that name, and whether it is served now."""
        ...


class Reloader:
    """One change at a time; requests are answered all the while.

    Files are read and models are probed in the thread that owns torch, between two batches: building a model
    uses the global generator, which must not move while another one is traced.

    Args:
        engine: Serves the models.
        repository: Where they are.
        on_load: Told of every attempt.
    """

    def __init__(self, engine: Engine, repository: Repository, on_load: OnLoad) -> None:
        self._engine = engine
        self._repository = repository
        self._on_load = on_load
        self._lock = asyncio.Lock()
        self._refresh_waits = False

    async def load(self, name: str) -> None:
        """Read all versions of a model anew, and serve them in the place of the old ones.

        Args:
            name: Of a model in the repository.

        Raises:
            NotFoundError: If there is none of that name.
            NotReadyError: If the repository cannot be read.
            BadRequestError: If it cannot be served; what was served before still is.
        """
        async with self._lock:
            if name not in await self._wanted():
                raise NotFoundError(f"the repository has no model {shown(name)}")
            await self._load(name)

    async def unload(self, name: str) -> None:
        """Serve a model no longer; what it was asked before is still answered.

        Args:
            name: Of a model that is served.

        Raises:
            NotFoundError: If it is not.
        """
        async with self._lock:
            self._engine.versions(name)
            await self._engine.exchange(name, ())
            logger.info("unloaded %s", name)

    async def refresh(self) -> None:
        """Serve what the repository holds: load every model anew, unload those that are gone.

        If it cannot be read, as a volume that is away for a moment, nothing changes. One that waits for its
        turn is enough for all that ask meanwhile.
        """
        if self._refresh_waits:
            return
        self._refresh_waits = True
        async with self._lock:
            self._refresh_waits = False
            try:
                wanted = await self._wanted()
            except NotReadyError:
                return
            for name in wanted:
                try:
                    await self._load(name)
                except BadRequestError:
                    continue
            for name in set(self._engine.names) - set(wanted):
                await self._engine.exchange(name, ())
                logger.info("unloaded %s: the repository has it no longer", name)

    async def unserved(self) -> list[str]:
        """Models of the repository that are not served; none if it cannot be read."""
        try:
            wanted = await self._wanted()
        except NotReadyError:
            return []
        return sorted(set(wanted) - set(self._engine.names))

    async def _wanted(self) -> Collection[str]:
        try:
            return await asyncio.to_thread(self._repository.wanted)
        except (McdropError, OSError) as error:
            logger.error("the repository cannot be read, and what was served still is: %s", error)  # noqa: TRY400
            raise NotReadyError("the repository cannot be read; the service's log says why") from error

    async def _load(self, name: str) -> None:
        try:
            models = await self._engine.in_worker(partial(self._repository.load, name))
            await self._engine.exchange(name, models)
        except Exception as error:
            # what is wrong with a checkpoint says so itself; anything else needs the place where it happened
            foreign = not isinstance(error, (McdropError, NotBitwiseError))
            logger.error(  # noqa: TRY400  see above
                "%s could not be loaded; what was served before still is: %s", name, error, exc_info=foreign
            )
            self._on_load(name, well=False)
            raise BadRequestError(
                f"the model {name} could not be loaded; the service's log says why"
            ) from error
        self._on_load(name, well=True)
        logger.info("loaded %s", name, extra={"fields": {"versions": self._engine.versions(name)}})
