"""Answers on a CUDA device: those of the CPU to rounding, exact mode to the last bit, and little memory."""

from collections.abc import Iterator

import pytest
import torch

import mcdrop
from mcdrop import MCDropout
from tests.support.networks import classifier, features
from tests.support.tolerances import EXACT, Tolerance

KERNELS = Tolerance(rtol=1e-4, atol=1e-4)
X = features(40)


def of_device(device: torch.device | str) -> MCDropout:
    return MCDropout(classifier().to(device), task="classification", n_samples=48)


def test_samples_are_those_of_the_cpu_to_rounding(device: torch.device) -> None:
    got = of_device(device).sample(X.to(device))
    assert got.device.type == "cuda"
    torch.testing.assert_close(got.cpu(), of_device("cpu").sample(X), **KERNELS)


@pytest.mark.parametrize("rows", [[0], [3, 1], [39, 0, 7, 7], list(range(39, -1, -1))])
def test_exact_answers_depend_neither_on_neighbours_nor_on_order(
    rows: list[int], device: torch.device
) -> None:
    mc = of_device(device)
    whole, some = (mc.predict(x.to(device), exact=True) for x in (X, X[rows]))
    torch.testing.assert_close(some.mean, whole.mean[rows], **EXACT)
    torch.testing.assert_close(some.std, whole.std[rows], **EXACT)


def test_the_generators_of_the_device_stay_where_they_were(device: torch.device) -> None:
    torch.cuda.manual_seed_all(7)
    before = torch.cuda.get_rng_state_all(), torch.get_rng_state()
    mc = of_device(device)
    mc.predict(X.to(device))
    mc.predict(X.to(device), exact=True)
    assert all(torch.equal(a, b) for a, b in zip(before[0], torch.cuda.get_rng_state_all(), strict=True))
    assert torch.equal(before[1], torch.get_rng_state())


def test_no_weight_is_held_twice(device: torch.device) -> None:
    model = torch.nn.Sequential(torch.nn.Linear(4096, 4096), torch.nn.Dropout(0.5)).to(device).eval()
    x = torch.randn(2, 4096, device=device)
    mc = MCDropout(model)
    held = torch.cuda.memory_allocated()
    mc.sample(x, n_samples=16)
    weights = sum(p.nbytes for p in model.parameters())
    assert torch.cuda.memory_allocated() - held < weights / 2
    assert {p.data_ptr() for p in mc.plan.network.view.parameters()} == {
        p.data_ptr() for p in model.parameters()
    }


@pytest.fixture
def _little_memory(device: torch.device) -> Iterator[None]:
    """Room for 64 MiB beyond what is held."""
    torch.cuda.empty_cache()
    total = torch.cuda.get_device_properties(device).total_memory
    torch.cuda.set_per_process_memory_fraction((torch.cuda.memory_reserved() + 2**26) / total)
    yield
    torch.cuda.set_per_process_memory_fraction(1.0)
    torch.cuda.empty_cache()


@pytest.mark.usefixtures("_little_memory")
def test_where_the_device_runs_out_of_memory_tiles_are_halved_and_the_answer_is_the_same(
    device: torch.device,
) -> None:
    wide = MCDropout(classifier(width=4096).to(device), task="classification", n_samples=32)
    x = features(4096)
    found = wide.predict(x.to(device), keep_samples=False)
    expected = MCDropout(classifier(width=4096), task="classification", n_samples=32).predict(x[:16])
    torch.testing.assert_close(found.mean[:16].cpu(), expected.mean, **KERNELS)


def test_masks_of_the_rows_own_are_those_of_the_cpu(device: torch.device) -> None:
    got, wanted = (
        MCDropout(classifier().to(place), masks="independent", n_samples=32).sample(X.to(place))
        for place in (device, torch.device("cpu"))
    )
    torch.testing.assert_close(got.cpu(), wanted, **KERNELS)


def test_outcomes_on_the_cpu_are_scored_beside_a_prediction_on_the_device(device: torch.device) -> None:
    pred, y = of_device(device).predict(X.to(device)), torch.arange(len(X)) % 3
    here, there = (mcdrop.evaluate(pred, labels).to_dict() for labels in (y, y.to(device)))
    assert here == there


def test_a_model_without_parameters_runs_where_its_inputs_are(device: torch.device) -> None:
    assert MCDropout(torch.nn.Dropout(0.3)).sample(X.to(device), n_samples=16).device.type == "cuda"


def test_another_default_device_changes_nothing(device: torch.device) -> None:
    expected = of_device("cpu").predict(X, n_samples="auto", tolerance=0.02)
    with device:
        found = of_device("cpu").predict(X, n_samples="auto", tolerance=0.02)
    torch.testing.assert_close(found.mean, expected.mean, **EXACT)
