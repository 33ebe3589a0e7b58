import threading
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mcdrop import MCDropout
from mcdrop.engine.eager import compiled_functions_off
from tests.support.stochastic_modules import applied

X = torch.randn(4, 4, generator=torch.Generator().manual_seed(0))


def compiled(model: nn.Module) -> Any:
    calls: list[str] = []

    def backend(graph: torch.fx.GraphModule, _: list[Tensor]) -> torch.fx.GraphModule:
        calls.append("compiled")
        return graph

    wrapped: Any = torch.compile(model, backend=backend)
    wrapped.calls = calls
    return wrapped


def test_a_function_that_was_compiled_is_sampled_as_it_was_written() -> None:
    def drop(x: Tensor, train: bool) -> Tensor:
        return F.dropout(x, 0.3, train)

    torch.manual_seed(0)
    model = applied(torch.compile(drop, backend="eager")).eval()
    written = applied(drop).eval()
    written.load_state_dict(model.state_dict())
    got, wanted = (MCDropout(m).sample(X, n_samples=32) for m in (model, written))
    torch.testing.assert_close(got, wanted)
    assert got.std(0).min() > 0


def test_the_switch_goes_on_again_when_the_last_thread_has_left() -> None:
    model = compiled(nn.Linear(4, 4))
    inside, leave = threading.Event(), threading.Event()

    def stays() -> None:
        with compiled_functions_off():
            inside.set()
            leave.wait(10)

    other = threading.Thread(target=stays)
    with compiled_functions_off():
        other.start()
        inside.wait(10)
    model(X)
    assert model.calls == []
    leave.set()
    other.join()
    model(X)
    assert model.calls == ["compiled"]
