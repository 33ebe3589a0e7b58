"""`open-inference-openapi`, the protocol's generated client: everything that it can ask."""

import sys

from open_inference.openapi.client import OpenInferenceClient
from open_inference.openapi.types import InferenceRequest
from plain_route import ROWS, SAMPLES, SEED, check, plain_outputs


def main(url: str) -> None:
    """Health, metadata and inference, with and without a version."""
    wanted = plain_outputs(url, ["mean"])["mean"]
    client = OpenInferenceClient(base_url=url)
    client.check_server_liveness()
    client.check_server_readiness()
    client.check_model_readiness("diabetes")
    client.check_model_version_readiness("diabetes", "1")
    check("server", client.read_server_metadata().name, "mcdrop")
    check("metadata", client.read_model_metadata("diabetes").inputs[0].shape, [-1, 10])
    check("version", client.read_model_version_metadata("diabetes", "1").versions, ["1"])
    request = InferenceRequest(
        inputs=[{"name": "x", "shape": [2, 10], "datatype": "FP32", "data": ROWS}],
        parameters={"n_samples": SAMPLES, "seed": SEED},
        outputs=[{"name": "mean"}],
    )
    for answer in (
        client.model_infer("diabetes", request=request),
        client.model_version_infer("diabetes", "1", request=request),
    ):
        numbers = answer.outputs[0].data
        check("mean", getattr(numbers, "__root__", numbers), [number for row in wanted for number in row])


if __name__ == "__main__":
    main(sys.argv[1])
