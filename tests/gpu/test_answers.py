"""Answers on a CUDA device: those of the CPU to rounding, exact mode to the last bit, and little memory."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

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


@pytest.mark.parametrize("classes", [1000, 1027])
def test_exact_laws_of_many_classes_depend_neither_on_neighbours_nor_on_order(
    classes: int, device: torch.device
) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 64), nn.Dropout(0.3), nn.Linear(64, classes)).to(device).eval()
    mc, rows = MCDropout(model, task="classification", n_samples=32), [31, 3, 8]
    whole, some = (mc.predict(x.to(device), exact=True) for x in (X, X[rows]))
    for name in ("mean", "std", "predictive_entropy", "expected_entropy", "mutual_information"):
        torch.testing.assert_close(getattr(some, name), getattr(whole, name)[rows], **EXACT)


def test_the_generators_of_the_device_stay_where_they_were(device: torch.device) -> None:
    torch.cuda.manual_seed_all(7)
    before = torch.cuda.get_rng_state_all(), torch.get_rng_state()
    mc = of_device(device)
    mc.predict(X.to(device))
    mc.predict(X.to(device), exact=True)
    assert all(torch.equal(a, b) for a, b in zip(before[0], torch.cuda.get_rng_state_all(), strict=True))
    assert torch.equal(before[1], torch.get_rng_state())


def test_no_weight_is_held_twice(device: torch.device) -> None:
    model = nn.Sequential(nn.Linear(4096, 4096), nn.Dropout(0.5)).to(device).eval()
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
    assert MCDropout(nn.Dropout(0.3)).sample(X.to(device), n_samples=16).device.type == "cuda"


def test_another_default_device_changes_nothing(device: torch.device) -> None:
    expected = of_device("cpu").predict(X, n_samples="auto", tolerance=0.02)
    with device:
        found = of_device("cpu").predict(X, n_samples="auto", tolerance=0.02)
    torch.testing.assert_close(found.mean, expected.mean, **EXACT)


def test_products_may_be_rounded_as_torch_rounds_them_from_the_first(device: torch.device) -> None:
    torch.backends.cudnn.allow_tf32 = True  # put back by the fixture
    torch.set_float32_matmul_precision("high")
    torch.manual_seed(0)
    model = nn.Sequential(
        *(nn.Conv2d(3, 64, 3), nn.ReLU(), nn.Conv2d(64, 64, 3), nn.Dropout2d(0.2)),
        *(nn.Flatten(), nn.Linear(64 * 144, 5)),
    ).eval()
    x = torch.randn(9, 3, 16, 16)
    there = MCDropout(model.to(device), task="classification", n_samples=32)
    found = there.predict(x.to(device), exact=True)
    some = there.predict(x[[4, 2]].to(device), exact=True)
    torch.testing.assert_close(some.mean, found.mean[[4, 2]], **EXACT)
    expected = MCDropout(model.cpu(), task="classification", n_samples=32).predict(x)
    torch.testing.assert_close(found.mean.cpu(), expected.mean, rtol=0.05, atol=0.01)


class Attention(nn.Module):
    """Fused attention behind a dropout."""

    def forward(self, x: Tensor) -> Tensor:
        """(N, T, E) -> (N, E)."""
        x = F.dropout(x, 0.3, self.training).unsqueeze(1)
        out: Tensor = F.scaled_dot_product_attention(x, x, x).squeeze(1).mean(1)
        return out


def test_more_rows_and_samples_than_a_kernel_has_blocks_are_computed(device: torch.device) -> None:
    x = torch.randn(9000, 4, 8, generator=torch.Generator().manual_seed(0))
    mc = MCDropout(Attention().eval(), n_samples=16)
    found = mc.sample(x.to(device))
    assert mc.plan.fallback.failed == {}
    torch.testing.assert_close(
        found[:, :16].cpu(), MCDropout(Attention()).sample(x[:16], n_samples=16), **KERNELS
    )


class Begun(nn.Module):
    """A recurrent layer whose initial states are random."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layer = nn.GRU(3, 4, bidirectional=True, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        """(N, T, 3) -> (N, T, 8)."""
        begin = F.dropout(x[:, 0, :1].expand(2, len(x), 4).contiguous(), 0.3, self.training)
        out: Tensor = self.layer(x, begin)[0]
        return out


@pytest.mark.parametrize("rows", [1, 3])
def test_recurrent_layers_begin_with_states_of_each_sample(rows: int, device: torch.device) -> None:
    x = torch.randn(rows, 5, 3, generator=torch.Generator().manual_seed(0))
    mc = MCDropout(Begun().to(device).eval(), n_samples=16)
    found = mc.sample(x.to(device))
    assert mc.plan.verification is not None
    assert not {**mc.plan.fallback.failed, **mc.plan.verification.refused}
    torch.testing.assert_close(found.cpu(), MCDropout(Begun().eval()).sample(x, n_samples=16), **KERNELS)


def test_threads_with_streams_of_their_own_get_the_same_samples(device: torch.device) -> None:
    mc, x = of_device(device), X.to(device)
    expected = mc.sample(x, seed=5)

    def in_a_stream(_: int) -> Tensor:
        stream = torch.cuda.Stream(device)
        stream.wait_stream(torch.cuda.current_stream(device))
        with torch.cuda.stream(stream):
            found: list[Tensor] = [mc.sample(x, seed=5) for _ in range(20)]
            stream.synchronize()
        return found[-1]

    with ThreadPoolExecutor(4) as threads:
        for found in threads.map(in_a_stream, range(8)):
            torch.testing.assert_close(found, expected, **KERNELS)
