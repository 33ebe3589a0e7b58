import copy
import threading
import types
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from mcdrop.engine.view import called_originals, private_view, set_train_mode, state_tensors, watch_paths
from mcdrop.errors import UnsupportedModelError
from tests.support.models import CASES, Case


@pytest.mark.parametrize("case", CASES, ids=lambda c: c.name)
def test_a_view_has_modules_of_its_own_over_the_same_tensors(case: Case) -> None:
    model, _ = case.make()
    view = private_view(model)
    pairs = list(zip(model.modules(), view.modules(), strict=True))
    assert all(a is not b and type(a) is type(b) for a, b in pairs)
    tensors = [*model.parameters(), *model.buffers()]
    assert all(a is b for a, b in zip(tensors, [*view.parameters(), *view.buffers()], strict=True))
    assert not any(module.training for module in view.modules())


class Awkward(nn.Module):
    """Everything that makes copy.deepcopy fail or duplicate memory."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(2, 2)
        self.not_a_leaf = self.linear.weight * 2
        self.plain = torch.randn(3)
        self.listed = [torch.randn(3), {"deep": torch.randn(3)}]
        self.unregistered = [nn.Linear(2, 2)]
        self.lock = threading.Lock()
        self.stream = (n for n in range(3))
        self.generator = torch.Generator()

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.linear(x)
        return out


def test_what_does_not_copy_is_shared_and_no_tensor_is_held_twice() -> None:
    model = Awkward()
    view = private_view(model)
    assert isinstance(view, Awkward)
    assert view.not_a_leaf is model.not_a_leaf
    assert view.plain is model.plain
    assert view.listed[0] is model.listed[0]
    assert view.unregistered[0] is not model.unregistered[0]
    assert view.unregistered[0].weight is model.unregistered[0].weight
    assert view.lock is model.lock
    assert view.stream is model.stream
    view.listed.append(torch.zeros(1))
    assert len(model.listed) == 2


def test_old_weight_norm_and_tied_weights_survive() -> None:
    with pytest.warns(FutureWarning, match="weight_norm"):
        normed = nn.utils.weight_norm(nn.Linear(2, 2))
    tied = nn.Linear(2, 2)
    tied.weight = normed.get_parameter("weight_v")
    model = nn.Sequential(normed, tied)
    model(torch.randn(1, 2))
    view = private_view(model)
    assert view.get_parameter("0.weight_v") is view.get_parameter("1.weight") is tied.weight
    torch.testing.assert_close(view(torch.ones(1, 2)), model(torch.ones(1, 2)))


def test_state_that_is_to_be_cloned_is_cloned_and_nothing_else() -> None:
    model = nn.Sequential(nn.BatchNorm1d(2), Awkward())
    state = state_tensors(model)
    names = {"0.running_mean", "0.running_var", "0.num_batches_tracked", "1.not_a_leaf.0", "1.plain.0"}
    assert set(state) == {*names, "1.listed.0", "1.listed.1"}
    view = private_view(model, clone=["0.running_mean", "1.plain.0"])
    shared = {name for name, tensor in state_tensors(view).items() if tensor is state[name]}
    assert set(state) - shared == {"0.running_mean", "1.plain.0"}


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
def test_compiled_modules_are_replaced_by_what_they_were_compiled_from() -> None:
    inner = nn.Linear(2, 2)
    inner_compiled: Any = torch.compile(inner, backend="eager")
    model: Any = torch.compile(nn.Sequential(inner_compiled, nn.Dropout(0.5)), backend="eager")
    view = private_view(model)
    assert [type(module).__name__ for module in view.modules()] == ["Sequential", "Linear", "Dropout"]
    assert view.get_parameter("0.weight") is inner.weight
    assert hasattr(model, "_orig_mod")


def test_only_the_named_modules_are_put_in_train_mode() -> None:
    view = private_view(nn.Sequential(nn.Dropout(0.1), nn.Sequential(nn.Dropout(0.2))))
    set_train_mode(view, {"1.0"})
    assert [path for path, module in view.named_modules() if module.training] == ["1.0"]


def test_the_paths_of_running_modules_are_known_and_forgotten_when_one_raises() -> None:
    seen: list[list[str]] = []

    class Looks(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            seen.append(list(paths.running))
            if x.sum() < 0:
                raise ValueError("no")
            return x

    view = nn.Sequential(nn.Sequential(Looks()))
    paths = watch_paths(view)
    view(torch.ones(1))
    with pytest.raises(ValueError, match="no"):
        view(-torch.ones(1))
    assert seen == [["", "0", "0.0"]] * 2
    assert paths.running == []
    assert paths.innermost() == ""


def test_layers_that_draw_nothing_are_passed_over_unless_something_of_the_user_runs_in_them() -> None:
    class Own(nn.Linear):
        pass

    hooked, patched = nn.Linear(1, 1), nn.Linear(1, 1)
    hooked.register_forward_hook(lambda _module, _args, out: torch.dropout(out, 0.5, train=True))
    patched.forward = torch.rand_like  # type: ignore[method-assign]
    view = nn.Sequential(nn.Linear(1, 1), nn.Dropout(), Own(1, 1), hooked, patched)
    watch_paths(view)
    assert [bool(layer._forward_pre_hooks) for layer in view] == [False, True, True, True, True]
    lone = nn.Linear(1, 1)
    watch_paths(lone)
    assert lone._forward_pre_hooks


def test_calls_of_the_original_are_seen_in_this_thread_and_no_hook_is_left() -> None:
    model = nn.Sequential(nn.Linear(2, 2))
    x = torch.ones(1, 2)
    hooks = dict(torch.nn.modules.module._global_forward_pre_hooks)
    with called_originals(model) as called:
        copy.deepcopy(model)(x)
        elsewhere = threading.Thread(target=model, args=(x,))
        elsewhere.start()
        elsewhere.join()
        assert called == []
        model(x)
    assert called == ["(model)", "0"]
    assert dict(torch.nn.modules.module._global_forward_pre_hooks) == hooks


class KerasLayer(nn.Module):
    """Says that it is from Keras."""


KerasLayer.__module__ = "keras.src.layers"


class Sharded(nn.Module):
    """Says that it is from FSDP2."""


Sharded.__module__ = "torch.distributed.fsdp._fully_shard"


class Stubborn(nn.Module):
    """Cannot be copied at all."""

    def __deepcopy__(self, memo: Any) -> Any:
        raise RuntimeError("not me")


@pytest.mark.parametrize(
    ("module", "text"),
    [
        (KerasLayer(), r"1 \(KerasLayer\) is a Keras layer"),
        (Sharded(), r"1 \(Sharded\) is sharded by FSDP"),
        (nn.LazyLinear(2), r"1 \(LazyLinear\) has lazy parameters .* run the model once"),
        (Stubborn(), r"Sequential cannot be copied for sampling \(not me\)"),
    ],
    ids=["keras", "fsdp2", "lazy", "stubborn"],
)
@pytest.mark.filterwarnings("ignore:Lazy modules are a new feature")
def test_what_cannot_be_looked_into_is_refused_by_name(module: nn.Module, text: str) -> None:
    with pytest.raises(UnsupportedModelError, match=text):
        private_view(nn.Sequential(nn.Dropout(0.5), module))


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
def test_torchscript_is_refused_by_name() -> None:
    scripted = torch.jit.script(nn.Sequential(nn.Linear(2, 2), nn.Dropout(0.5)))
    with pytest.raises(UnsupportedModelError, match=r"1 \(.*ScriptModule.*\) is TorchScript"):
        private_view(nn.Sequential(nn.Linear(2, 2), scripted))
    with pytest.raises(UnsupportedModelError, match=r"the model \(.*ScriptModule\) is TorchScript"):
        private_view(scripted)


def test_a_bound_method_put_in_place_of_forward_is_bound_to_the_view() -> None:
    model = nn.Linear(2, 2)
    model.forward = types.MethodType(lambda self, x: (self, x), model)  # type: ignore[method-assign]
    view = private_view(model)
    assert view(1)[0] is view
