"""`tritonclient.http`, as its users write it: metadata, inference in every form, the repository."""

import sys

import numpy as np
import tritonclient.http as triton
from plain_route import ROWS, SAMPLES, SEED, check, plain_outputs
from tritonclient.utils import InferenceServerException


def tensor(*, binary: bool) -> triton.InferInput:
    """The input of the diabetes model."""
    rows = np.array(ROWS, dtype=np.float32)
    given = triton.InferInput("x", list(rows.shape), "FP32")
    given.set_data_from_numpy(rows, binary_data=binary)
    return given


def main(url: str, management: str, token: str) -> None:
    """Everything that the client can ask over REST."""
    wanted = plain_outputs(url, ["mean", "std"])
    with triton.InferenceServerClient(url.removeprefix("http://")) as client:
        check("live", client.is_server_live(), True)
        check("ready", client.is_server_ready(), True)
        check("model ready", client.is_model_ready("diabetes"), True)
        check("model not ready", client.is_model_ready("none"), False)
        check("version ready", client.is_model_ready("diabetes", "1"), True)
        check("server", client.get_server_metadata()["name"], "mcdrop")
        check("metadata", client.get_model_metadata("diabetes")["inputs"][0]["shape"], [-1, 10])
        check(
            "index", {entry["name"] for entry in client.get_model_repository_index()}, {"diabetes", "digits"}
        )
        for binary in (True, False):
            for compression in (None, "gzip", "deflate"):
                inference(client, wanted, binary=binary, compression=compression)
        defaults = client.infer(
            "diabetes", [tensor(binary=True)], parameters={"n_samples": SAMPLES, "seed": SEED}
        )
        check("all outputs", defaults.as_numpy("mean").tolist(), exactly(wanted["mean"]))
        stats = client.get_inference_statistics("diabetes")["model_stats"][0]
        check("statistics", stats["inference_stats"]["success"]["count"] >= 7, True)
        refusals(client)
    with triton.InferenceServerClient(management.removeprefix("http://")) as client:
        headers = {"authorization": f"Bearer {token}"}
        client.unload_model("digits", headers=headers)
        states = {
            entry["name"]: entry["state"] for entry in client.get_model_repository_index(headers=headers)
        }
        check("unload", states, {"diabetes": "READY", "digits": "UNAVAILABLE"})
        client.load_model("digits", headers=headers)
        states = {
            entry["name"]: entry["state"] for entry in client.get_model_repository_index(headers=headers)
        }
        check("load", states, {"diabetes": "READY", "digits": "READY"})


def inference(
    client: triton.InferenceServerClient,
    wanted: dict[str, list[float]],
    *,
    binary: bool,
    compression: str | None,
) -> None:
    """One inference, compared to the last bit."""
    answer = client.infer(
        "diabetes",
        [tensor(binary=binary)],
        model_version="1",
        outputs=[triton.InferRequestedOutput(name, binary_data=binary) for name in wanted],
        request_id="mine",
        timeout=30_000_000,
        request_compression_algorithm=compression,
        response_compression_algorithm=compression,
        parameters={"n_samples": SAMPLES, "seed": SEED},
    )
    form = f"{'binary' if binary else 'JSON'}, {compression or 'not compressed'}"
    for name, numbers in wanted.items():
        check(f"{name} ({form})", answer.as_numpy(name).tolist(), exactly(numbers))
    check("id", answer.get_response()["id"], "mine")
    check("seed", answer.get_response()["parameters"]["seed"], SEED)


def exactly(numbers: list[float]) -> list[float]:
    """Decimals as the float32 that they stand for."""
    found: list[float] = np.array(numbers, dtype=np.float64).astype(np.float32).tolist()
    return found


def refusals(client: triton.InferenceServerClient) -> None:
    """The client must raise its own error, with our words."""
    for name, parameters, words in [
        ("none", {}, "unknown model 'none'; this service has diabetes, digits"),
        ("diabetes", {"n_samples": 1}, "n_samples must be a whole number from 2 to 1024 or 'auto', got 1"),
    ]:
        try:
            client.infer(name, [tensor(binary=True)], parameters=parameters)
        except InferenceServerException as error:
            check("refusal", error.message(), words)
        else:
            raise SystemExit(f"wanted a refusal: {words}")


if __name__ == "__main__":
    main(*sys.argv[1:])
