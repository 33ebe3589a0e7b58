"""The small bodies of the repository routes: a JSON object, or nothing at all."""

from starlette.requests import Request

from mcdrop_service.errors import BadRequestError, shown
from mcdrop_service.parsing import decode_object
from mcdrop_service.web.body import read_body
from mcdrop_service.web.watch import service_of

__all__ = ["only_ready", "small_object"]


async def small_object(request: Request) -> dict[str, object]:
    """The JSON object that a body holds; an empty one for an empty body.

    Args:
        request: Its body was not read yet.

    Raises:
        BadRequestError: If it holds something else.
    """
    service = service_of(request)
    with service.memory.account() as account:
        body = await read_body(request, service, account)
        return decode_object(body) if body else {}


async def only_ready(request: Request) -> bool:
    """Whether a request for the index asks for ready models only.

    Args:
        request: Its body was not read yet.

    Raises:
        BadRequestError: If it does not say true or false.
    """
    ready = (await small_object(request)).get("ready", False)
    if not isinstance(ready, bool):
        raise BadRequestError(f"ready must be true or false, got {shown(ready)}")
    return ready
