"""The loop that people write, in FastAPI: `uvicorn benchmarks.servers.hand_written:app`."""

import torch
from fastapi import FastAPI
from pydantic import BaseModel

from benchmarks.servers.by_hand import ByHand

app = FastAPI()
model = ByHand()


class Question(BaseModel):
    """Rows as nested lists."""

    inputs: list[object]


@app.post("/predict")
async def predict(question: Question) -> dict[str, list[list[float]]]:
    """In the event loop: a thread for each request is slower, since they wait for one another."""
    return {"outputs": model(torch.tensor(question.inputs, dtype=torch.float32)).tolist()}
