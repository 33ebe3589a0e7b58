"""Run every kind of randomness, and everything that is done with predictions, on the second device.

    make test-second-device

With words that the names of some runs hold, only those. The exit code is 1 if one fails.
"""

import asyncio
import copy
import os
import sys
import tempfile
import time
import types
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from mcdrop_service.execution import Engine
from mcdrop_service.execution.repository import Repository
from mcdrop_service.facts import PredictionAnswer, PredictionRequest
from mcdrop_service.scheduler import QueueLimits
from mcdrop_service.telemetry import Notes
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.cpp_extension import load

import mcdrop
from mcdrop import MCDropout
from mcdrop.engine.failures import first_line
from mcdrop.engine.oracle import largest_difference
from tests.support.models import CASES, Case
from tests.support.networks import classifier, features, regressor
from tests.support.stochastic_modules import StochasticDepth

_MODELS: Final = Path(__file__).parents[2] / "models"
_NAME: Final = "second"
_CLOSE: Final = 1e-4
_NATIVE: Final = ("gradients in forward", "normal")
"""What torch itself cannot run here: a backward pass wants streams, `torch.normal` has no default device."""


def main(words: list[str]) -> int:
    """Run what is named, or all; the exit code."""
    device = second_device()
    runs = {**dict(_kinds(device)), **_predictions(device)}
    chosen = {name: run for name, run in runs.items() if not words or any(word in name for word in words)}
    failed = [name for name, run in chosen.items() if not _passes(name, run)]
    sys.stdout.write(
        f"{len(chosen) - len(failed)} of {len(chosen)} ran on {device}; bad: {failed or 'none'}\n"
    )
    return bool(failed)


def second_device() -> torch.device:
    """The device, compiled if it was not before."""
    load("mcdrop_second_device", [str(Path(__file__).with_name("device.cpp"))], extra_cflags=["-O0"])
    torch._C._rename_privateuse1_backend(_NAME)
    module = types.ModuleType(f"torch.{_NAME}")
    facts: dict[str, Callable[..., Any]] = {
        "is_available": lambda: True,
        "current_device": lambda: 0,
        "device_count": lambda: 1,
        "_is_in_bad_fork": lambda: False,
        "manual_seed_all": lambda _seed: None,
    }
    vars(module).update(facts)
    torch._register_device_module(_NAME, module)
    _add_kernels()
    return torch.device(_NAME, 0)


def _add_kernels() -> None:
    """What other devices bring for themselves: convolutions, and the fused cells of recurrent layers."""
    library = torch.library.Library("aten", "IMPL")
    vars(sys.modules[__name__])["_library"] = library
    library.impl("_thnn_fused_lstm_cell", _lstm_cell, "PrivateUse1")
    library.impl("_thnn_fused_gru_cell", _gru_cell, "PrivateUse1")
    library.impl("convolution_overrideable", _convolution, "PrivateUse1")


def _convolution(x: Tensor, weight: Tensor, bias: Tensor | None, *options: Any) -> Tensor:
    own = bias if bias is None else bias.cpu()
    return torch.convolution(x.cpu(), weight.cpu(), own, *options).to(x.device)


def _lstm_cell(
    inputs: Tensor, hidden: Tensor, cell: Tensor, b_in: Tensor | None = None, b_hidden: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    gates = inputs + hidden if b_in is None or b_hidden is None else inputs + hidden + b_in + b_hidden
    enter, forget, candidate, leave = gates.chunk(4, 1)
    after = forget.sigmoid() * cell + enter.sigmoid() * candidate.tanh()
    return leave.sigmoid() * after.tanh(), after, gates


def _gru_cell(
    inputs: Tensor, hidden: Tensor, state: Tensor, b_in: Tensor | None = None, b_hidden: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    if b_in is not None and b_hidden is not None:
        inputs, hidden = inputs + b_in, hidden + b_hidden
    (reset, update, new), (reset_h, update_h, new_h) = inputs.chunk(3, 1), hidden.chunk(3, 1)
    candidate = (new + (reset + reset_h).sigmoid() * new_h).tanh()
    return (state - candidate) * (update + update_h).sigmoid() + candidate, inputs


def _passes(name: str, run: Callable[[], object]) -> bool:
    try:
        run()
    except Exception as error:  # noqa: BLE001 - whatever it is, it is told
        sys.stdout.write(f"BAD {name}: {type(error).__name__}: {first_line(error)}\n")
        return False
    return True


# --- every kind --------------------------------------------------------------------------------------


def _kinds(device: torch.device) -> Iterator[tuple[str, Callable[[], object]]]:
    for case in CASES:
        if case.name not in _NATIVE:
            yield case.name, lambda case=case: _as_on_the_cpu(case, device)  # type: ignore[misc]


def _as_on_the_cpu(case: Case, device: torch.device) -> None:
    """Samples and predictions; tensors that a model makes by itself are on the default device."""
    model, inputs = case.make()
    there = copy.deepcopy(model).to(device)
    moved = tuple(x if _are_lengths(x) else x.to(device) for x in inputs)
    wanted = MCDropout(model, n_samples=20, batch_axis=case.batch_axis).sample(*inputs)
    mc = MCDropout(there, n_samples=20, batch_axis=case.batch_axis, task="raw")
    with device if not any(map(_are_lengths, inputs)) else torch.device("cpu"):
        got = mc.sample(*moved)
        if isinstance(got, Tensor):
            mc.predict(*moved, exact=True, quantiles=[0.1])
            mc.predict(*moved, n_samples="auto", tolerance=0.2, max_samples=48)
    leaves = torch.utils._pytree.tree_leaves
    assert all(tensor.device == device for tensor in leaves(got))
    difference = largest_difference(leaves(wanted), [tensor.cpu() for tensor in leaves(got)])
    assert difference <= _CLOSE, f"differs by {difference:.2g} from the CPU"


def _are_lengths(x: Tensor) -> bool:
    return x.dim() == 1 and x.dtype == torch.long


# --- layers on two devices ---------------------------------------------------------------------------


class _Spread(nn.Module):
    """Layers on two devices, with draws that are written into tensors of both."""

    def __init__(self, first: torch.device, last: torch.device) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.places = first, last
        self.begin = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), StochasticDepth(0.3, "row")).to(first)
        self.end = nn.Sequential(nn.Linear(8, 8), StochasticDepth(0.3, "row"), nn.Linear(8, 3)).to(last)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(N, 6) -> (N, 8) and (N, 3), on the one and on the other device."""
        first, last = self.places
        begun = self.begin(x.to(first))
        return begun, self.end(begun.to(last))


def _spread(first: torch.device, last: torch.device) -> None:
    x, here = features(9), torch.device("cpu")
    wanted = MCDropout(_Spread(here, here).eval(), n_samples=20).sample(x)
    mc = MCDropout(_Spread(first, last).eval(), n_samples=20)
    got = mc.sample(x)
    assert mc.plan.verification is not None
    assert not mc.plan.verification.refused, f"a strategy fails: {mc.plan.verification.refused}"
    assert [tensor.device for tensor in got] == [first, last], "outputs are elsewhere"
    difference = largest_difference(list(wanted), [tensor.cpu() for tensor in got])
    assert difference <= _CLOSE, f"differs by {difference:.2g} from the CPU"


# --- scores -------------------------------------------------------------------------------------------


class _Sums(TorchDispatchMode):
    """Notes sums whose order CUDA does not fix, of tensors that are not on the CPU."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.seen: set[str] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.overloadpacket.__name__
        if name in ("index_add", "index_add_", "cumsum", "bincount", "scatter_add_") and not args[0].is_cpu:
            self.seen.add(name)
        return func(*args, **(kwargs or {}))


def _sums_there(run: Callable[[], object]) -> None:
    with _Sums() as sums:
        run()
    assert not sums.seen, f"{sorted(sums.seen)} run on the device"


def _sets(mc: MCDropout, x: Tensor, y: Tensor) -> None:
    pred: Any = mc.calibrated(mcdrop.calibrate(mc.predict(x), y, "sets")).predict(x)
    assert pred.prediction_set.device == x.device, "the sets are elsewhere"


# --- the service --------------------------------------------------------------------------------------


def _served(name: str, device: torch.device) -> None:
    """The service's answers are the library's, to the last bit, also when they come by a written block."""
    path = _MODELS / name
    x: NDArray[np.float32] = np.load(path / "test.npz")["x"].astype(np.float32)[:5]
    wanted = mcdrop.load(path, device=device).predict(x, n_samples=40, seed=3, exact=True)
    for got in asyncio.run(_answers(name, device, x)):
        assert np.array_equal(got.outputs["mean"], wanted.mean.numpy(force=True)), "other bits"


async def _answers(name: str, device: torch.device, x: NDArray[np.float32]) -> list[PredictionAnswer]:
    models = Repository(_MODELS, (name,), device=str(device)).load_all()
    engine = Engine(models, QueueLimits(1000, 2**26), lambda *_: None)
    await engine.start()
    request = PredictionRequest({"x": x}, len(x), 40, 3, ("mean",))
    try:
        found = engine.find(name)
        return [await engine.predict(found, request, time.monotonic() + 60, Notes()) for _ in range(3)]
    finally:
        engine.stop()


# --- everything that is done with predictions ----------------------------------------------------------


def _predictions(device: torch.device) -> dict[str, Callable[[], object]]:
    here, labels = features(60), torch.arange(60) % 3
    x, y = here.to(device), labels.to(device)
    classes = MCDropout(classifier().to(device), task="classification", n_samples=40)
    numbers = MCDropout(regressor().to(device), task="regression", tau=2.0, n_samples=40)
    own = MCDropout(classifier().to(device), task="classification", n_samples=40, masks="independent")
    whole = MCDropout(classifier().to(device), task="raw", batch_axis=None)
    bare = MCDropout(nn.Dropout(0.3), n_samples=16)
    return {
        "layers on two devices": lambda: _spread(torch.device("cpu"), device),
        "layers on two devices, the other way": lambda: _spread(device, torch.device("cpu")),
        **{f"the service, {name}": partial(_served, name, device) for name in ("diabetes", "digits")},
        "inputs on the CPU": lambda: classes.predict(here),
        "an array": lambda: classes.predict(here.numpy()),
        "a loader": lambda: classes.predict(iter([x[:3], x[3:]])),
        "auto and exact": lambda: classes.predict(x, n_samples="auto", tolerance=0.02, exact=True),
        "masks of the rows' own": lambda: own.predict(x, row_ids=torch.arange(60, device=device)),
        "a whole": lambda: whole.predict(x, n_samples="auto", tolerance=0.1),
        "a model without parameters": lambda: bare.sample(x).cpu() - bare.sample(here),
        "rows": lambda: classes.predict(x)[torch.tensor([1, 2], device=device)],
        "a file": lambda: classes.predict(x).save(f"{tempfile.mkdtemp()}/predictions.npz"),
        "quantiles": lambda: numbers.predict(x).interval(0.9),
        "sensitivity": lambda: classes.sensitivity(x),
        "the doctor": lambda: mcdrop.inspect(classes, x, y=y),
        "rates": lambda: mcdrop.tune_rates(classes, x, y=y),
        "scores": lambda: mcdrop.evaluate(classes.predict(x), y),
        "scores, outcomes on the CPU": lambda: mcdrop.evaluate(classes.predict(x), labels),
        "scores of numbers": lambda: mcdrop.evaluate(numbers.predict(x), here[:, :1].numpy()),
        "scores take no sums there": lambda: _sums_there(lambda: mcdrop.evaluate(classes.predict(x), y)),
        "prediction sets take no sums there": lambda: _sums_there(lambda: _sets(classes, x, y)),
        "scores of a stream": lambda: mcdrop.evaluate(
            (classes.predict(part), labels[:30]) for part in x.split(30)
        ),
        "a calibrator": lambda: mcdrop.calibrate(classes.predict(x), labels, "temperature"),
    }


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")  # of layers, about other devices than these
    sys.exit(main(sys.argv[1:]))
