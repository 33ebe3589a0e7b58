"""What is done otherwise on CUDA, as far as it can be seen without one."""

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from mcdrop import MCDropout
from mcdrop.engine.fingerprint import environment
from mcdrop.engine.interception import recurrent
from mcdrop.engine.interception.attention import masked_softmax
from mcdrop.engine.maskcache import MaskCache
from mcdrop.engine.masks import BLOCK
from mcdrop.engine.planning import Planned
from mcdrop.engine.verification import _is_repeated, verify
from tests.support.networks import classifier, features
from tests.support.replaying import network_and_call

CUDA = torch.device("cuda")


@pytest.fixture(scope="module")
def on_cuda() -> Planned:
    """A plan of a model that is said to be there, to be looked at and not run."""
    mc = MCDropout(classifier())
    mc.trace(features(3))
    return replace(mc.plan, network=replace(mc.plan.network, cache=MaskCache(CUDA)))


@pytest.mark.parametrize("rows", [1, 4, 100, 4000, 10**6])
@pytest.mark.parametrize("suffix", [1, 100, 2**12, 2**30])
def test_a_tile_holds_no_more_rows_and_samples_than_a_kernel_has_blocks(
    on_cuda: Planned, rows: int, suffix: int
) -> None:
    tile = replace(on_cuda, footprint=replace(on_cuda.footprint, suffix=suffix)).fast(rows)
    assert 0 < tile.rows * tile.blocks * BLOCK < 2**16
    assert tile.blocks > 0


def test_times_are_taken_when_all_is_computed(monkeypatch: pytest.MonkeyPatch, on_cuda: Planned) -> None:
    waited: list[Any] = []
    monkeypatch.setattr(torch.cuda, "synchronize", waited.append)
    on_cuda.network.wait()
    assert waited == [CUDA]
    network, call = network_and_call(classifier(), features(3))
    monkeypatch.setattr(type(network), "wait", lambda _: waited.append("end"))
    assert len(verify(network, call).seconds) == waited.count("end") - 1 == 3  # one is the judge's


def test_the_same_pass_again_may_differ_by_the_order_of_scattered_sums(on_cuda: Planned) -> None:
    one = [torch.ones(1, 3), torch.arange(3)]
    close, far = ([one[0] + by, one[1]] for by in (1e-6, 1e-4))
    assert _is_repeated(on_cuda.network, one, close)
    assert not _is_repeated(on_cuda.network, one, far)
    assert not _is_repeated(on_cuda.network, one, [one[0], one[1] + 1])
    here, _ = network_and_call(classifier(), features(3))
    assert _is_repeated(here, one, one)
    assert not _is_repeated(here, one, close)


def test_a_recurrent_kernel_gets_states_in_one_piece(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def kernel(x: Tensor, hx: tuple[Tensor, ...], *options: Any) -> tuple[Tensor, ...]:
        asked.append([each.is_contiguous() for each in hx])  # cuDNN takes no others
        return torch.lstm(x, hx, *options)

    monkeypatch.setitem(recurrent._KERNELS, "lstm", kernel)
    layer = nn.LSTM(3, 4, bidirectional=True).requires_grad_(requires_grad=False)
    x, states = torch.ones(5, 1, 3), torch.ones(7, 2, 1, 4)  # of seven samples and one row

    def of_one(state: Tensor) -> list[Tensor]:
        options = (list(layer.parameters()), True, True)
        found: list[Tensor] = recurrent._layer("lstm", x, None, [state, state], *options)
        return found

    torch.func.vmap(of_one)(states)
    assert asked == [[True, True]]


def test_whether_a_query_may_attend_to_nothing_is_not_asked() -> None:
    scores = torch.empty(2, 3, 3, device="meta")  # which could not tell
    mask = torch.empty(3, 3, dtype=torch.bool, device="meta")
    assert masked_softmax(scores, mask).shape == (2, 3, 3)


def test_masks_of_one_stream_are_not_handed_to_another(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = SimpleNamespace(cuda_stream=0)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda _device: stream)
    cache = MaskCache(CUDA)
    first, again = (cache.joined("address", lambda: torch.zeros(4), copies=False) for _ in range(2))
    several = [cache.several("address", lambda: (torch.zeros(4),)) for _ in range(3)][-1]
    stream.cuda_stream = 7
    assert first is again
    assert cache.joined("address", lambda: torch.zeros(4), copies=False) is not first
    assert cache.several("address", lambda: (torch.zeros(4),)) is not several


def test_what_kernels_are_chosen_by_is_in_the_fingerprint(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _device: "a card")
    facts = environment(CUDA)
    assert (facts["device"], facts["cudnn_benchmark"]) == ("a card", False)
    monkeypatch.setattr(torch.backends.cudnn, "benchmark", True)
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    changed = {name: value for name, value in environment(CUDA).items() if facts[name] != value}
    assert changed == {"cudnn_benchmark": True, "cublas_workspace_config": ":4096:8"}
    assert not set(changed) & set(environment(torch.device("cpu")))
