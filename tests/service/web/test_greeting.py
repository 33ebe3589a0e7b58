"""What the operator reads when the service is ready."""

import json
import shlex
from socket import socket
from typing import cast

import pytest
from mcdrop_service.facts import InputFacts
from mcdrop_service.web import greeting, url_of

from tests.service.models import PIXELS, TABLE, facts

URL = "http://127.0.0.1:8000"


@pytest.mark.parametrize("asks_for_key", [False, True])
def test_the_request_that_is_printed_is_one_command_for_the_smallest_model(asks_for_key: bool) -> None:
    models = [facts(PIXELS, name="images"), facts(TABLE, name="tables")]
    command = shlex.split(greeting([URL], models, asks_for_key=asks_for_key).strip().splitlines()[-1])
    assert command[:3] == ["curl", "-s", f"{URL}/v1/models/tables/predict"]
    assert json.loads(command[-1])["inputs"] == [[0, 0, 0]]
    assert ("authorization: Bearer KEY" in command) is asks_for_key


@pytest.mark.parametrize(("host", "url"), [("::1", "http://[::1]:80"), ("127.0.0.1", "http://127.0.0.1:80")])
def test_an_address_of_ipv6_is_in_brackets(host: str, url: str) -> None:
    class Bound:
        """A socket."""

        def getsockname(self) -> tuple[object, ...]:
            return host, 80, 0, 0

    assert url_of(cast("socket", Bound())) == url


def test_a_request_that_no_shell_would_take_is_not_printed() -> None:
    told = greeting([URL], [facts(InputFacts("image", "float32", (3, 224, 224)), name="images")])
    assert told == f"mcdrop serves images on {URL} (documentation: {URL}/docs).\n"
