"""KServe's `InferenceRESTClient`, as its users write it, with JSON and with binary data."""

import asyncio
import sys

import numpy as np
from kserve import InferenceRESTClient, InferInput, InferRequest, RESTConfig
from plain_route import ROWS, SAMPLES, SEED, check, plain_outputs


async def main(url: str) -> None:
    """Readiness and inference."""
    wanted = np.array(plain_outputs(url, ["mean"])["mean"]).astype(np.float32).tolist()
    client = InferenceRESTClient(RESTConfig(protocol="v2", timeout=60))
    check("live", await client.is_server_live(url), True)
    check("ready", await client.is_server_ready(url), True)
    check("model ready", await client.is_model_ready(url, "diabetes"), True)
    rows = np.array(ROWS, dtype=np.float32)
    for binary in (True, False):
        given = InferInput("x", list(rows.shape), "FP32")
        given.set_data_from_numpy(rows, binary_data=binary)
        request = InferRequest("diabetes", [given], parameters={"n_samples": SAMPLES, "seed": SEED})
        answer = await client.infer(url, request, model_name="diabetes")
        means = next(its for its in answer.outputs if its.name == "mean").as_numpy().tolist()
        check(f"mean ({'binary' if binary else 'JSON'})", means, wanted)
    await client.close()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
