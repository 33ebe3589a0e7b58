"""The same in LitServe: `python -m benchmarks.servers.lit PORT BATCH`."""

import sys
from typing import Any

import litserve
import torch
from torch import Tensor

from benchmarks.servers.by_hand import ByHand


class Api(litserve.LitAPI):  # type: ignore[misc, unused-ignore]
    """One row in a request."""

    def setup(self, device: str) -> None:  # noqa: ARG002  LitServe's signature
        """Load the network, in the worker process."""
        self.model = ByHand()

    def decode_request(self, request: dict[str, Any]) -> Tensor:
        """A row."""
        return torch.tensor(request["inputs"][0], dtype=torch.float32)

    def batch(self, inputs: list[Tensor]) -> Tensor:
        """Rows together."""
        return torch.stack(inputs)

    def predict(self, x: Tensor) -> list[list[float]]:
        """For each row its numbers."""
        rows: list[list[float]] = self.model(x if self.max_batch_size > 1 else x[None]).tolist()
        return rows

    def unbatch(self, output: list[list[float]]) -> list[list[list[float]]]:
        """Rows apart."""
        return [[row] for row in output]

    def encode_response(self, output: list[list[float]]) -> dict[str, list[list[float]]]:
        """As JSON."""
        return {"outputs": output}


if __name__ == "__main__":
    batch = int(sys.argv[2])
    api = Api(max_batch_size=batch, batch_timeout=0.002 if batch > 1 else 0.0)
    server = litserve.LitServer(api, accelerator="cpu", workers_per_device=1, timeout=60)
    server.run(host="127.0.0.1", port=int(sys.argv[1]), log_level="warning", generate_client_file=False)
