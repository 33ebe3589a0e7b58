"""No request makes the service fetch anything, start anything or unpickle anything."""

from pathlib import Path

import pytest

from tests.service.models import FAKE_SERVER
from tests.support.wire import get, post, running

URL = "http://127.0.0.1:9/model"
TENSOR = {"name": "x", "shape": [1, 3], "datatype": "FP32"}


@pytest.mark.parametrize("connects", [False, True])
def test_the_service_opens_no_connection_of_its_own(tmp_path: Path, connects: bool) -> None:
    """The other case shows that the audit sees one: there the model itself connects."""
    log = tmp_path / "log"
    with log.open("w") as file, running((*FAKE_SERVER, "audited"), file) as server:
        for body in (
            {"inputs": [[1, 2, 3]]},
            {"inputs": URL},
            {"inputs": [[1, 2, 3]], "outputs": [URL]},
            {"inputs": [{**TENSOR, "data": [1, 2, 3]}]},
            {"inputs": [{**TENSOR, "data": URL}]},
            {"inputs": [{**TENSOR, "parameters": {"shared_memory_region": URL}}]},
            {"inputs": [{**TENSOR, "data": [1, 2, 3]}], "parameters": {"triton_url": URL}},
            b"\x80\x04\x95\x0e\x00\x00\x00\x00\x00\x00\x00.",
        ):
            for path in ("/v1/models/toy/predict", "/v2/models/toy/infer", "/v2/repository/index"):
                post(server, path, body, referer=URL, x_forwarded_host="127.0.0.1:9")
        for path in ("/metrics", "/docs", "/openapi.json", f"/v1/models/{URL}", "/v2/models/toy/stats"):
            get(server, path)
        if connects:
            assert post(server, "/v1/models/toy/predict", {"inputs": [[669, 0, 0]]}).status == 200
    assert ("AUDIT socket.connect" in log.read_text()) is connects
    assert ("AUDIT" in log.read_text()) is connects
