import random
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import mcdrop
from mcdrop.engine.inputs import as_call
from mcdrop.engine.tracing import Trace, trace
from mcdrop.errors import UnsupportedModelError
from tests.support.models import case
from tests.support.stochastic_modules import Encoder, LayerDrop, applied

X = torch.randn(4, 4, generator=torch.Generator().manual_seed(0))


def traced(model: nn.Module, *inputs: Any, batch_axis: int = 0) -> Trace:
    return trace(model.eval(), as_call(model, inputs or (X,), {}, batch_axis))


def test_a_site_knows_where_it_is_and_what_it_draws() -> None:
    model = nn.Sequential(nn.Linear(4, 6), nn.Sequential(nn.Dropout(0.3)), nn.Dropout(0.5))
    sites = traced(model).sites
    assert [(s.name, s.kind, s.p, s.shape, s.row_axis) for s in sites] == [
        ("1.0#0", "dropout", 0.3, (2, 6), 0),
        ("2#0", "dropout", 0.5, (2, 6), 0),
    ]


def test_a_module_that_is_called_twice_has_two_sites() -> None:
    drop = nn.Dropout(0.3)
    assert [s.name for s in traced(nn.Sequential(drop, nn.Linear(4, 4), drop)).sites] == ["0#0", "0#1"]


@pytest.mark.parametrize(
    ("name", "axis", "factor"),
    [
        ("nn.Dropout", 0, 1),
        ("nn.Dropout of time first", 1, 1),
        ("nn.Dropout of flattened rows", 0, 5),
        ("attention, weights", 0, 2),
        ("LSTM", 1, 1),
        ("rand for all rows", None, 1),
        ("DropConnect", None, 1),
        ("StochasticDepth by batch", None, 1),
    ],
)
def test_the_row_axis_of_a_mask_is_found(name: str, axis: int | None, factor: int) -> None:
    chosen = case(name)
    model, inputs = chosen.make()
    site = trace(model, as_call(model, inputs, {}, chosen.batch_axis)).sites[0]
    assert (site.row_axis, site.row_factor) == (axis, factor)


# --- who is in train mode -------------------------------------------------------------------------


def test_only_the_owners_of_random_calls_are_in_train_mode() -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4), nn.Dropout(0.5))
    assert traced(model).owners == {"2"}


def test_a_parent_that_guards_its_child_is_in_train_mode_too() -> None:
    model, inputs = case("a parent that guards its child").make()
    found = traced(model, *inputs)
    assert found.owners == {"", "drop"}
    assert len(found.sites) == 1


def test_a_child_whose_method_is_called_instead_of_itself_is_in_train_mode_too() -> None:
    class Helper(nn.Module):
        def apply_dropout(self, x: Tensor) -> Tensor:
            return F.dropout(x, 0.4, self.training)

    class Calls(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.helper = Helper()

        def forward(self, x: Tensor) -> Tensor:
            return self.helper.apply_dropout(x)

    assert len(traced(Calls()).sites) == 1


def test_an_auxiliary_head_of_training_stays_off() -> None:
    class Network(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.drop, self.auxiliary = nn.Dropout(0.4), nn.Dropout(0.7)

        def forward(self, x: Tensor) -> Any:
            x = self.drop(x)
            return (x, self.auxiliary(x)) if self.training else x

    found = traced(Network())
    assert [s.name for s in found.sites] == ["drop#0"]
    assert len(found.outputs.axes) == 1


def test_a_branch_of_training_that_fails_on_a_few_rows_does_not_hide_the_sites_before_it() -> None:
    class Network(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.drop = nn.Dropout(0.4)

        def forward(self, x: Tensor) -> Tensor:
            x = self.drop(x)
            if self.training and len(x) < 16:
                raise ValueError("needs a large batch")
            return x

    assert [s.name for s in traced(Network()).sites] == ["drop#0"]


class Guarded(nn.Module):
    """Dropout behind a flag, and in train mode a second output, with dropout of its own."""

    def __init__(self, p: float) -> None:
        super().__init__()
        self.always, self.guarded = nn.Dropout(0.2), nn.Dropout(p)
        self.auxiliary = nn.Sequential(nn.Dropout(0.7), nn.Linear(4, 4))

    def forward(self, x: Tensor) -> Any:
        """(N, 4) -> (N, 4), in train mode two of them."""
        x = self.always(x)
        x = self.guarded(x) if self.training else x
        return (x, self.auxiliary(x)) if self.training else x


def test_dropout_that_is_lost_with_the_flag_of_its_parent_is_told() -> None:
    assert traced(Guarded(0.5)).lost == ("auxiliary.0#0", "guarded#0")
    with pytest.warns(UserWarning, match=r"guarded#0 .* in which the model returns something else"):
        mcdrop.MCDropout(Guarded(0.5).eval()).sample(X)


def test_nothing_is_told_of_heads_that_belong_to_training() -> None:
    found = traced(Guarded(0))
    assert ([s.name for s in found.sites], found.lost) == (["always#0"], ())


class WantsLabels(nn.Module):
    """Computes a loss in the middle of forward, in train mode."""

    def __init__(self, first: float, second: float) -> None:
        super().__init__()
        self.before, self.loss, self.after = nn.Dropout(0.2), nn.CrossEntropyLoss(), nn.Dropout(0.4)
        self.inner = nn.Sequential(nn.Linear(4, 4), nn.Dropout(0.3))
        self.first, self.second = first, second

    def forward(self, x: Tensor, labels: Tensor | None = None) -> Tensor:
        """(N, 4) -> (N, 4)."""
        x = F.dropout(self.before(x), self.first, self.training)
        if self.training:
            self.loss(x, labels)
        return F.dropout(self.after(self.inner(x)), self.second, self.training)


def test_a_branch_of_training_that_fails_does_not_hide_the_sites_behind_it() -> None:
    assert [s.name for s in traced(WantsLabels(0, 0)).sites] == ["before#0", "inner.1#0", "after#0"]


def test_dropout_that_the_failing_module_itself_makes_behind_that_is_refused() -> None:
    with pytest.raises(UnsupportedModelError, match=r"the model fails in train mode \(.*without labels"):
        traced(WantsLabels(0, 0.5))


def test_that_there_was_no_memory_is_not_taken_for_a_branch_of_training() -> None:
    def full(x: Tensor, train: bool) -> Tensor:
        if train:
            raise torch.OutOfMemoryError("no memory")
        return x

    with pytest.raises(torch.OutOfMemoryError):
        traced(nn.Sequential(nn.Dropout(0.5), applied(full)))


def test_encoders_are_in_train_mode_since_their_fast_path_hides_dropout() -> None:
    model = Encoder(layers=1)
    owners = traced(model, torch.randn(4, 5, 4)).owners
    assert {"encoder", "encoder.layers.0", "encoder.layers.0.self_attn"} <= owners


# --- randomness in the control flow ---------------------------------------------------------------


def test_layer_drop_is_known_to_vary_and_all_its_sites_are_found() -> None:
    found = traced(LayerDrop(4, 0.01))
    assert not found.fixed
    assert {s.name for s in found.sites} == {f"(model)#{i}" for i in range(4)} | {
        f"layers.{i}.1#0" for i in range(4)
    }
    assert all(s.row_axis == (None if s.kind == "rand" else 0) for s in found.sites)


def test_a_network_that_always_makes_the_same_calls_is_known_to() -> None:
    assert traced(nn.Sequential(nn.Dropout(0.01), nn.Dropout(0.99))).fixed


# --- refusals -------------------------------------------------------------------------------------


def numpy_draw(x: Tensor, _: bool) -> Tensor:
    return F.dropout(x, 0.3) * float(np.random.rand())  # noqa: NPY002 - what a user may do


def python_draw(x: Tensor, _: bool) -> Tensor:
    return F.dropout(x, 0.3) * random.random()  # noqa: S311


@pytest.mark.parametrize(
    ("function", "text"), [(numpy_draw, "NumPy's generator"), (python_draw, "Python's random")]
)
def test_draws_from_outside_torch_are_refused(function: Callable[[Tensor, bool], Tensor], text: str) -> None:
    numpy_state, python_state = np.random.get_state(legacy=False), random.getstate()  # noqa: NPY002
    with pytest.raises(UnsupportedModelError, match=f"draws from {text} in a way that mcdrop does not see"):
        traced(applied(function))
    assert str(np.random.get_state(legacy=False)) == str(numpy_state)  # noqa: NPY002
    assert random.getstate() == python_state


def test_an_operator_that_draws_unseen_is_refused_by_its_name() -> None:
    def unseen(x: Tensor, _: bool) -> Tensor:
        with torch._C.DisableTorchFunction():
            return F.dropout(x, 0.3) * torch.rand(())

    with pytest.raises(UnsupportedModelError, match="1 calls bernoulli_, 1 calls rand in a way"):
        traced(nn.Sequential(nn.Dropout(0.2), applied(unseen)))


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
def test_a_scripted_function_is_refused_since_its_draws_are_out_of_sight() -> None:
    scripted = torch.jit.script(_scripted)
    with pytest.raises(UnsupportedModelError, match="in a way that mcdrop does not see"):
        traced(nn.Sequential(nn.Dropout(0.2), applied(scripted)))


def _scripted(x: Tensor, train: bool) -> Tensor:
    return torch.dropout(x, 0.4, train)


def _closure(forward: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    return lambda x: forward(x) + 1


def test_a_forward_that_closes_over_the_model_is_refused() -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.Dropout(0.5))
    model.forward = _closure(model.forward)  # type: ignore[method-assign]
    with pytest.raises(UnsupportedModelError, match=r"forward calls 0, 1 of the original model"):
        traced(model)


@pytest.mark.parametrize(
    "model",
    [
        applied(lambda x, train: F.dropout(x @ x.T, 0.4, train) @ x),
        applied(lambda x, train: x * F.dropout(torch.ones(len(x) + 1), 0.4, train)[:-1, None]),
    ],
    ids=["rows against rows", "a row more"],
)
def test_a_mask_in_which_rows_meet_is_refused(model: nn.Module) -> None:
    with pytest.raises(UnsupportedModelError, match=r"\(model\)#0 \(dropout\) .* rows are coupled"):
        traced(model)


@pytest.mark.parametrize(
    ("model", "text"),
    [
        (nn.Sequential(nn.Dropout(0.5), applied(lambda x, _: x.mean(0))), r"shape \(3,\) for two rows"),
        (applied(lambda x, train: F.dropout(x, 0.3, train).flatten()[:6]), r"shape \(3,\) for two rows"),
    ],
    ids=["mean", "fixed"],
)
def test_an_output_without_rows_is_refused(model: nn.Module, text: str) -> None:
    with pytest.raises(UnsupportedModelError, match=text):
        traced(model)


def test_a_loss_beside_the_logits_is_told_what_to_leave_out() -> None:
    class WithLoss(nn.Module):
        def forward(self, x: Tensor) -> dict[str, Tensor]:
            logits = F.dropout(x, 0.3, self.training)
            return {"loss": logits.mean(), "logits": logits}

    with pytest.raises(UnsupportedModelError, match=r"a single number for all rows.*leave the labels out"):
        traced(WithLoss())


def test_an_output_without_tensors_is_refused() -> None:
    class Names(nn.Dropout):
        def forward(self, input: Tensor) -> Any:  # noqa: A002
            super().forward(input)
            return "a name"

    with pytest.raises(UnsupportedModelError, match="returned str, in which no tensor is found"):
        traced(Names(0.5))


def test_a_pass_that_writes_to_a_parameter_is_refused_before_it_does() -> None:
    class Initialises(nn.Linear):
        def forward(self, input: Tensor) -> Tensor:  # noqa: A002
            if self.training:
                with torch.no_grad():
                    self.weight.div_(self.weight.norm())
            return F.dropout(super().forward(input), 0.4, self.training)

    model = Initialises(4, 3)
    before = model.weight.clone()
    with pytest.raises(UnsupportedModelError, match="writes to the parameter weight in train mode"):
        traced(model)
    assert torch.equal(model.weight, before)


# --- what a pass writes ---------------------------------------------------------------------------


def test_buffers_and_inputs_that_a_pass_writes_are_noted_and_those_of_the_user_stay() -> None:
    class Writes(nn.Module):
        seen: Tensor
        kept: Tensor

        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("seen", torch.zeros(()))
            self.register_buffer("kept", torch.zeros(()))
            self.plain = torch.zeros(1)

        def forward(self, x: Tensor, y: Tensor) -> Tensor:
            self.seen += 1
            self.plain.add_(1)
            y += 1
            return F.dropout(x + y, 0.4, self.training)

    model, y = Writes(), torch.zeros(4, 4)
    found = traced(model, X, y)
    assert found.written_state == {"seen", "plain.0"}
    assert found.written_inputs == {1}
    assert model.seen == model.plain == 0
    assert not y.any()


def test_a_thread_that_draws_while_another_traces_does_no_harm() -> None:
    disturbed: list[int] = []

    def disturbs_once(x: Tensor, train: bool) -> Tensor:
        if train and not disturbed:
            disturbed.append(1)
            other = threading.Thread(target=torch.rand, args=(3,))
            other.start()
            other.join()
        return F.dropout(x, 0.3, train)

    assert len(traced(applied(disturbs_once)).sites) == 1
    assert disturbed


def test_a_loop_that_waits_for_a_draw_does_not_hang_the_trace() -> None:
    def waits(x: Tensor, train: bool) -> Tensor:
        while train and float(torch.rand([])) < 0.5:
            x = x * 0.9
        return F.dropout(x, 0.3, train)

    assert traced(applied(waits)).sites[-1].kind == "dropout"


def test_a_loop_that_never_ends_is_refused() -> None:
    def endless(x: Tensor, train: bool) -> Tensor:
        while train:
            x = x * torch.rand(1)
        return x

    with pytest.raises(UnsupportedModelError, match="more than 10000 random calls in one pass"):
        traced(applied(endless))


class Wrapped(nn.Module):
    """A site in a module whose name does not count, beside one of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.module = nn.Dropout(0.5)

    def forward(self, x: Tensor) -> Tensor:
        return F.dropout(self.module(x), 0.5, self.training)


def test_two_sites_that_would_draw_the_same_masks_are_refused() -> None:
    with pytest.raises(UnsupportedModelError, match=r"module#0 and \(model\)#0 would draw the same masks"):
        traced(Wrapped())


def test_a_sparse_tensor_of_the_model_is_looked_at_too() -> None:
    class Graph(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.drop = nn.Dropout(0.3)
            self.register_buffer("edges", torch.eye(4).to_sparse())

        def forward(self, x: Tensor) -> Tensor:
            out: Tensor = self.get_buffer("edges") @ self.drop(x).T
            return out.T

    found = traced(Graph())
    assert found.written_state == frozenset()
    assert len(found.sites) == 1


def test_an_error_of_the_models_own_says_so_and_what_came() -> None:
    with pytest.raises(RuntimeError) as caught:
        traced(nn.Sequential(nn.Linear(4, 2), nn.Dropout()), X.double())
    (note,) = caught.value.__notes__
    assert note.startswith("This is the model's own error, on two of the rows that it was given")
    assert "inputs came as float64 (4, 4); its parameters are float32." in note
