"""The outermost middleware, called as a server calls it."""

import asyncio
import json
import re
from typing import Any

import pytest
from mcdrop_service.telemetry import Notes
from mcdrop_service.web.shield import Shield
from mcdrop_service.web.watch import KEY
from starlette.requests import ClientDisconnect
from starlette.types import Message, Receive, Scope, Send


def sent(error: Exception, *, after_start: bool = False) -> list[Any]:
    """What is sent when the application inside raises."""
    messages: list[Any] = []

    async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
        if after_start:
            await send({"type": "http.response.start", "status": 200, "headers": []})
        raise error

    async def receive() -> Message:
        return {"type": "http.disconnect"}

    notes = Notes("0af7")

    async def send(message: Message) -> None:
        notes.status = message.get("status", notes.status)  # as `Watch` does
        messages.append(message)

    scope = {"type": "http", "method": "GET", "path": "/", "headers": [], KEY: notes}
    asyncio.run(Shield(app)(scope, receive, send))
    return messages


def test_an_unforeseen_failure_is_an_id_outside_and_a_traceback_in_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    start, body = sent(RuntimeError("secret of /etc/mcdrop"))
    message = json.loads(body["body"])["error"]
    found = re.fullmatch("internal error; the service's log has it under (0af7)", message)
    assert start["status"] == 500
    assert found is not None
    assert found[1] in caplog.text
    assert "secret" in caplog.text


def test_a_client_that_went_away_is_no_failure(caplog: pytest.LogCaptureFixture) -> None:
    assert sent(ClientDisconnect())[0]["status"] == 500
    assert caplog.text == ""


def test_a_failure_in_the_middle_of_an_answer_is_left_to_the_server() -> None:
    with pytest.raises(RuntimeError):
        sent(RuntimeError("late"), after_start=True)
