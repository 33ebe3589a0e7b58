import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, distributed, nn
from torch._C._distributed_c10d import HashStore
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import distribute_tensor
from torch.fx import symbolic_trace

from mcdrop import MCDropout
from mcdrop.engine.hidden import functions_holding
from mcdrop.errors import McdropError, NothingRandomError
from tests.support.models import case
from tests.support.stochastic_modules import applied

X = torch.randn(4, 4, generator=torch.Generator().manual_seed(0))


def refusal(model: nn.Module, *inputs: Tensor) -> str:
    """What the error says."""
    with pytest.raises(McdropError) as caught:
        MCDropout(model.eval()).sample(*(inputs or (X,)), n_samples=16)
    return str(caught.value)


# --- functions that hold the original -------------------------------------------------------------


class ByFunction(nn.Module):
    """A dropout that a function makes, beside one that is a module."""

    def __init__(self, function: Callable[[nn.Module, Tensor], Tensor]) -> None:
        super().__init__()
        self.linear, self.drop = nn.Linear(4, 4), nn.Dropout(0.3)
        self.function = lambda x: function(self, x)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.function(self.drop(x))  # type: ignore[no-untyped-call]
        return out


def reads_the_flag(model: nn.Module, x: Tensor) -> Tensor:
    return F.dropout(x, 0.4, model.training)


def test_a_function_that_reads_the_flag_of_the_original_is_refused_though_another_dropout_is_on() -> None:
    assert "forward reads a flag in (model).function of the original model" in refusal(
        ByFunction(reads_the_flag)
    )


def test_a_hook_that_reads_the_flag_of_the_original_is_refused() -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.Dropout(0.3))
    model[0].register_forward_hook(lambda _, __, out: F.dropout(out, 0.4, model.training))
    assert "reads a flag in 0._forward_hooks of the original model" in refusal(model)


def test_a_function_that_holds_the_original_and_no_dropout_does_no_harm() -> None:
    model = ByFunction(lambda model, x: x * len(list(model.children()))).eval()
    assert functions_holding(model) == ["(model).function"]
    assert MCDropout(model).sample(X, n_samples=16).std(0).min() > 0


def test_functions_that_hold_nothing_are_not_named() -> None:
    unset: Any
    model = nn.Sequential(nn.Linear(4, 4))
    model.function = lambda: unset  # type: ignore[assignment]
    assert functions_holding(model) == []
    unset = 1


# --- draws out of sight ---------------------------------------------------------------------------


def test_the_module_that_draws_from_numpy_is_named() -> None:
    model = nn.Sequential(nn.Dropout(0.3), applied(lambda x, _: x * np.random.rand()))  # noqa: NPY002
    text = refusal(model)
    assert text.startswith("1 draws from NumPy's generator in a way that mcdrop does not see")
    assert "draw with torch functions such as torch.rand or F.dropout" in text


class NoiseOfNumPy(nn.Module):
    """Noise that torch does not know of, in train mode."""

    def forward(self, x: Tensor) -> Tensor:
        """(N, 4) -> (N, 4)."""
        return x * float(np.random.rand()) if self.training else x  # noqa: NPY002


def test_a_model_whose_only_noise_is_numpys_is_refused_by_that_name() -> None:
    text = refusal(nn.Sequential(nn.Linear(4, 4), NoiseOfNumPy()))
    assert text.startswith("1 draws from NumPy's generator in a way that mcdrop does not see")


def test_noise_of_numpy_beside_dropout_is_left_off_and_told() -> None:
    model = nn.Sequential(NoiseOfNumPy(), nn.Dropout(0.5))
    with pytest.warns(UserWarning, match="0 draws from NumPy's generator in train mode, .* is left off"):
        samples = MCDropout(model).sample(torch.ones(3, 4), n_samples=32)
    assert set(samples.unique().tolist()) == {0.0, 2.0}


def test_layers_that_are_skipped_and_draw_for_one_module_are_told_to_be_modules_of_their_own() -> None:
    def skips(x: Tensor, train: bool) -> Tensor:
        for _ in range(2):
            if not train or torch.rand(()) < 0.7:
                x = x + F.dropout(x, 0.1, train)
        return x

    assert "may be skipped (LayerDrop), what it draws must belong to a module of its own" in refusal(
        applied(skips)
    )


@pytest.mark.parametrize("seed", [torch.manual_seed, np.random.seed])
def test_a_forward_that_seeds_a_generator_with_the_same_number_each_time_is_refused(
    seed: Callable[[int], Any],
) -> None:
    def seeds(x: Tensor, train: bool) -> Tensor:
        seed(0)
        return F.dropout(x, 0.3, train)

    model = applied(seeds)
    before = torch.get_rng_state()
    assert "seed no generator in forward" in refusal(model)
    assert torch.equal(torch.get_rng_state(), before)


def test_a_generator_of_numpy_that_the_forward_pass_makes_is_found_by_what_it_does() -> None:
    model = applied(lambda x, t: F.dropout(x, 0.3, t) * float(np.random.default_rng().random()))
    assert "draws outside of torch: draw with torch functions" in refusal(model)


def test_a_draw_in_a_thread_that_the_forward_pass_starts_is_refused() -> None:
    def elsewhere(x: Tensor, train: bool) -> Tensor:
        done: list[Tensor] = []
        thread = threading.Thread(target=lambda: done.append(F.dropout(x, 0.3, train)))
        thread.start()
        thread.join()
        return done[0]

    text = refusal(nn.Sequential(nn.Dropout(0.3), applied(elsewhere)))
    assert "1 draws from torch's generator in a way that mcdrop does not see" in text


@dataclass
class Device:
    """Where the generators of CUDA devices are asked for, in place of `torch.cuda`: there is one."""

    generator: torch.Generator
    initialized: bool = True

    @classmethod
    def installed(cls, monkeypatch: pytest.MonkeyPatch) -> "Device":
        """In the place of what torch has for CUDA."""
        device = cls(torch.Generator())
        monkeypatch.setattr(torch.cuda, "is_initialized", lambda: device.initialized)
        monkeypatch.setattr(torch.cuda, "get_rng_state_all", lambda: [device.generator.get_state()])
        monkeypatch.setattr(torch.cuda, "manual_seed_all", device.generator.manual_seed)
        return device

    def kernel(self, x: Tensor, *, train: bool) -> Tensor:
        """Dropout by a kernel of somebody else's, such as that of flash-attn: no operator of torch draws."""
        self.initialized = True
        if train:
            self.generator.manual_seed(self.generator.initial_seed() + 1)
        return x


def test_a_kernel_of_others_that_draws_from_the_generator_of_a_device_is_refused_beside_other_dropout(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    device = Device.installed(monkeypatch)
    text = refusal(nn.Sequential(nn.Dropout(0.3), applied(lambda x, train: device.kernel(x, train=train))))
    assert "1 draws from CUDA's generator in a way that mcdrop does not see" in text


def test_a_device_that_forward_uses_for_the_first_time_is_no_draw(monkeypatch: pytest.MonkeyPatch) -> None:
    device = Device.installed(monkeypatch)
    device.initialized = False
    model = nn.Sequential(nn.Dropout(0.3), applied(lambda x, _: device.kernel(x, train=False)))
    mc = MCDropout(model.eval(), task="raw")
    assert len(mc.predict(X, n_samples=16).deterministic) == len(X)
    assert device.initialized


@pytest.mark.parametrize("randomness", ["same", "different"])
def test_a_draw_inside_a_vmap_of_the_model_is_refused_since_its_mapped_axis_is_out_of_sight(
    randomness: str,
) -> None:
    def mapped(x: Tensor, train: bool) -> Tensor:
        return torch.func.vmap(lambda row: F.dropout(row, 0.3, train), randomness=randomness)(x)

    assert "(model)#0 (dropout) is a random call inside torch.func.vmap" in refusal(applied(mapped))


# --- numbers of rows ------------------------------------------------------------------------------


def test_a_model_of_a_fixed_number_of_rows_is_refused_with_what_to_do() -> None:
    text = refusal(applied(lambda x, t: F.dropout(x, 0.3, t).reshape(4, 6)))
    assert "the model runs on 4 rows and fails on two or three: shape '[4, 6]' is invalid" in text
    assert "an exported program needs a dynamic batch dimension" in text


@pytest.mark.parametrize("name", ["encoder, time first", "LSTM, time first", "transformer, time first"])
def test_a_model_whose_sequences_come_first_is_told_to_name_the_axis_of_its_rows(name: str) -> None:
    model, (x,) = case(name).make()
    assert "batch_axis=1 if they are the second axis, as in (T, N, E)" in refusal(model, x)


def test_an_axis_that_comes_and_goes_with_the_rows_is_refused_with_its_usual_cause() -> None:
    class Squeezed(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return F.dropout(x, 0.3, self.training).squeeze()

    text = refusal(Squeezed())
    assert "a tensor of shape (4,), and one of 2 axes when it was traced" in text
    assert "squeeze() without an axis is a usual cause" in text


@dataclass
class Answer:
    """What torch cannot take apart."""

    logits: Tensor


def test_an_output_without_a_tensor_that_torch_can_find_is_refused_by_its_type() -> None:
    class Answers(nn.Module):
        def forward(self, x: Tensor) -> Answer:
            return Answer(F.dropout(x, 0.3, self.training))

    assert "the model returned Answer, in which no tensor is found" in refusal(Answers())


class Lazy(nn.Module):
    """Makes its layer when it is first called."""

    def __init__(self) -> None:
        super().__init__()
        self.layer: nn.Module | None = None

    def forward(self, x: Tensor) -> Tensor:
        """(N, F) -> (N, 3)."""
        self.layer = self.layer or nn.Linear(x.shape[1], 3)
        output: Tensor = F.dropout(self.layer(x), 0.3, self.training)
        return output


def test_a_layer_that_forward_makes_is_sampled_once_it_was_made() -> None:
    model = Lazy()
    assert "first call draws its first weights: run the model once before" in refusal(model)
    model(X)
    assert MCDropout(model).sample(X, n_samples=16).std(0).max() > 0


def test_an_error_of_the_model_that_has_other_reasons_is_its_own() -> None:
    with pytest.raises(RuntimeError, match="can't be cast to the desired output type"):
        MCDropout(nn.Dropout(0.3)).sample(torch.arange(4))


def test_a_model_that_fails_on_a_single_row_is_refused_with_what_to_do() -> None:
    model = applied(lambda x, t: F.dropout(x, 0.3, t).squeeze() @ torch.eye(6) if x.shape[0] > 1 else x[2])
    assert "the model fails on a single row" in refusal(model)


def test_inputs_that_the_model_does_not_take_raise_the_error_of_the_model() -> None:
    with pytest.raises(RuntimeError, match="mat1 and mat2 shapes cannot be multiplied"):
        MCDropout(nn.Sequential(nn.Linear(5, 3), nn.Dropout(0.3))).sample(X)


# --- dropout that is off for ever -----------------------------------------------------------------


class Functional(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return F.dropout(x, 0.3, self.training)


def test_a_graph_that_was_traced_in_eval_mode_says_that_its_dropout_is_a_constant() -> None:
    with pytest.raises(NothingRandomError, match=r"\(model\) \(dropout, p = 0.3\).*traced in eval mode"):
        MCDropout(symbolic_trace(Functional().eval())).sample(X)
    assert MCDropout(symbolic_trace(Functional().train())).sample(X, n_samples=16).std(0).max() > 0


def test_a_flag_of_the_models_own_is_told() -> None:
    text = refusal(applied(lambda x, _: F.dropout(x, 0.3, False)))
    assert "off even in train mode: (model) (dropout, p = 0.3)" in text
    assert "should read self.training" in text


@pytest.mark.filterwarnings("ignore:.*torch.ao.quantization is deprecated:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:.*quantiz:UserWarning")
def test_quantised_layers_of_dropout_are_told_and_ranges_over_the_batch_are_refused() -> None:
    from torch.ao.nn.quantized import Dropout  # noqa: PLC0415 - slow to import

    assert "Quantised layers of dropout pass on what they get" in refusal(nn.Sequential(Dropout(0.3)))
    model = nn.Sequential(nn.Linear(4, 8), nn.Dropout(0.3), nn.Linear(8, 3))
    dynamic = torch.ao.quantization.quantize_dynamic(model, {nn.Linear}, dtype=torch.qint8)
    assert "the model couples its rows" in refusal(dynamic)


# --- wrappers -------------------------------------------------------------------------------------


def test_a_parallel_wrapper_changes_no_sample() -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.Dropout(0.3)).eval()
    wanted = MCDropout(model).sample(X, n_samples=16)
    torch.testing.assert_close(MCDropout(nn.DataParallel(model)).sample(X, n_samples=16), wanted)


def test_a_parallel_wrapper_of_several_devices_runs_on_the_first() -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.Dropout(0.3)).eval()
    wanted = MCDropout(model).sample(X, n_samples=16)
    spread = nn.DataParallel(model)
    spread.device_ids, spread.src_device_obj = [0, 1], torch.device("cpu")  # as it is where there are two
    torch.testing.assert_close(MCDropout(spread).sample(X, n_samples=16), wanted)
    assert spread.device_ids == [0, 1]


@pytest.fixture(scope="module")
def process_group() -> Iterator[None]:
    """A group of this process alone."""
    distributed.init_process_group("gloo", store=HashStore(), rank=0, world_size=1)
    yield
    distributed.destroy_process_group()


@pytest.mark.usefixtures("process_group")
def test_a_distributed_wrapper_changes_no_sample() -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.Dropout(0.3)).eval()
    wanted = MCDropout(model).sample(X, n_samples=16)
    wrapped = nn.parallel.DistributedDataParallel(model)
    torch.testing.assert_close(MCDropout(wrapped).sample(X, n_samples=16), wanted)


@pytest.mark.usefixtures("process_group")
def test_parameters_that_are_spread_over_processes_are_refused_by_name() -> None:
    mesh = init_device_mesh("cpu", (1,))
    model = nn.Sequential(nn.Linear(4, 4), nn.Dropout(0.3))
    for name, parameter in list(model[0].named_parameters()):
        setattr(model[0], name, nn.Parameter(distribute_tensor(parameter.data, mesh)))
    assert "0 (Linear) has parameters that are spread over processes (DTensor)" in refusal(model)


@pytest.mark.usefixtures("process_group")
def test_a_sharded_model_is_refused_by_name() -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.Dropout(0.3))
    fully_shard(model, mesh=init_device_mesh("cpu", (1,)))
    assert "the model (FSDPSequential) is sharded by FSDP" in refusal(model)
