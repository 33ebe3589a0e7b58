"""`tritonclient.http.aio`, as its users write it; many inferences at once."""

import asyncio
import sys

import numpy as np
import tritonclient.http.aio as triton
from plain_route import ROWS, SAMPLES, SEED, check, plain_outputs


async def main(url: str) -> None:
    """Readiness, metadata, inference in company."""
    wanted = np.array(plain_outputs(url, ["mean"])["mean"]).astype(np.float32).tolist()
    rows = np.array(ROWS, dtype=np.float32)
    async with triton.InferenceServerClient(url.removeprefix("http://")) as client:
        check("live", await client.is_server_live(), True)
        check("ready", await client.is_model_ready("diabetes"), True)
        check("metadata", (await client.get_model_metadata("diabetes"))["platform"], "mcdrop_pytorch")
        given = triton.InferInput("x", list(rows.shape), "FP32").set_data_from_numpy(rows)
        parameters = {"n_samples": SAMPLES, "seed": SEED}
        answers = await asyncio.gather(
            *(client.infer("diabetes", [given], parameters=parameters) for _ in range(20))
        )
        check("twenty at once", [its.as_numpy("mean").tolist() for its in answers], [wanted] * 20)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
