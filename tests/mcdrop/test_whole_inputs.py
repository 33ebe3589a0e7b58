"""Inputs that are not split into rows (`batch_axis=None`), such as a graph: alone, and beside others."""

from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

import mcdrop
from mcdrop import MCDropout
from mcdrop.errors import InputError, OptionError, ShapeError, UnsupportedModelError
from tests.support.networks import features, fixed
from tests.support.predictives import assert_same_rows
from tests.support.tolerances import EXACT, FLOAT32, monte_carlo

NODES = 7


class Graph(nn.Module):
    """Two graph convolutions: features (..., V, F) and a shared adjacency (V, V), to (..., V, 3)."""

    def __init__(self, *, edges: float = 0.0) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(5, 8), nn.Linear(8, 3)
        self.drop, self.drop_edges = nn.Dropout(0.4), nn.Dropout(edges)

    def forward(self, x: Tensor, adjacency: Tensor) -> Tensor:
        """Logits of each node."""
        adjacency = self.drop_edges(adjacency)
        hidden = self.drop(torch.relu(self.first(adjacency @ x)))
        output: Tensor = self.second(adjacency @ hidden)
        return output


class Readout(Graph):
    """One number for a whole graph, and the logits of its nodes."""

    def forward(self, x: Tensor, adjacency: Tensor) -> Any:
        """The sum over all nodes beside them."""
        nodes = super().forward(x, adjacency)
        return {"energy": nodes.sum(), "nodes": nodes}


def adjacency(nodes: int) -> Tensor:
    links = torch.rand(nodes, nodes, generator=torch.Generator().manual_seed(nodes)) < 0.5
    joined = (links | links.T | torch.eye(nodes, dtype=torch.bool)).to(torch.float32)
    return joined / joined.sum(1, keepdim=True)


AUTO: dict[str, Any] = {"n_samples": "auto", "tolerance": 0.003, "max_samples": 320}
X, ADJACENCY = features(NODES, 5), adjacency(NODES)
MC = MCDropout(fixed(Graph(edges=0.2)), batch_axis=None, task="classification", n_samples=48)


def native_samples(model: nn.Module, *inputs: Tensor, count: int) -> Tensor:
    """(S, ...) passes of the model itself, in train mode."""
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(0)
        passes = torch.stack([model.train()(*inputs) for _ in range(count)])
    model.eval()
    return passes


def test_a_graph_has_the_mean_and_the_spread_of_its_own_dropout() -> None:
    count = 4000
    native = native_samples(MC.model, X, ADJACENCY, count=count)
    ours = MC.sample(X, ADJACENCY, n_samples=count)
    assert ours.shape == (count, NODES, 3)
    reach = 2**0.5 * monte_carlo(count) * native.std(0)
    assert ((ours.mean(0) - native.mean(0)).abs() <= reach).all()
    torch.testing.assert_close(ours.std(0), native.std(0), rtol=2 * monte_carlo(count), atol=0)


def test_its_nodes_have_draws_of_their_own_and_its_edges_too() -> None:
    same = MCDropout(MC.model, batch_axis=None).sample(torch.ones(4, 5), torch.eye(4))
    assert not torch.allclose(same, same[:, :1].expand_as(same))
    assert [(site.name, site.row_axis, site.shape) for site in MC.trace(X, ADJACENCY)] == [
        ("drop_edges#0", None, (NODES, NODES)),
        ("drop#0", None, (NODES, 8)),
    ]


def test_its_plan_is_verified_by_the_oracle_and_by_the_loop_over_samples() -> None:
    MC.trace(X, ADJACENCY)
    verification = MC.plan.verification
    assert verification is not None
    assert (verification.oracle.explained, verification.oracle.difference) == (2, 0.0)
    assert set(verification.differences) == {"vmap", "loop"}
    assert "not split into rows" in verification.refused["fold"]


@given(n=st.integers(1, 40))
@settings(max_examples=10)
def test_the_first_samples_of_a_graph_do_not_depend_on_how_many_are_asked_for(n: int) -> None:
    torch.testing.assert_close(MC.sample(X, ADJACENCY, n_samples=n), MC.sample(X, ADJACENCY)[:n], **FLOAT32)
    exact = MC.sample(X, ADJACENCY, exact=True)[:n]
    torch.testing.assert_close(MC.sample(X, ADJACENCY, n_samples=n, exact=True), exact, **EXACT)


def test_what_is_predicted_are_its_nodes() -> None:
    pred = MC.predict(X, ADJACENCY, quantiles=[0.1])
    samples = MC.sample(X, ADJACENCY).softmax(-1)
    assert len(pred) == NODES
    torch.testing.assert_close(pred.mean, samples.mean(0), **FLOAT32)
    torch.testing.assert_close(pred.std, samples.std(0), **FLOAT32)
    torch.testing.assert_close(pred.deterministic, MC.model(X, ADJACENCY).detach().softmax(-1), **FLOAT32)
    assert pred[2:4].mean.shape == (2, 3)
    assert pred.quantile(0.1).shape == (NODES, 3)


def test_nodes_stop_one_by_one_and_have_what_so_many_samples_give() -> None:
    pred = MC.predict(X, ADJACENCY, exact=True, **AUTO)
    taken = pred.samples_taken.tolist()
    assert len(set(taken)) > 1
    for node, count in enumerate(taken):
        fixed_count = MC.predict(X, ADJACENCY, n_samples=count, exact=True)
        torch.testing.assert_close(pred.mean[node], fixed_count.mean[node], **EXACT)
        torch.testing.assert_close(pred.standard_error[node], fixed_count.standard_error[node], **EXACT)


@pytest.mark.parametrize("options", [{"n_samples": 40}, AUTO], ids=["number", "auto"])
def test_the_progress_of_a_graph_ends_at_its_total(options: dict[str, Any]) -> None:
    seen: list[tuple[int, int | None]] = []
    MC.predict(X, ADJACENCY, progress=lambda *now: seen.append(now), **options)
    assert seen[-1][0] == seen[-1][1]


def test_a_loader_gives_one_graph_after_the_other_and_their_nodes_are_joined() -> None:
    graphs = [(features(nodes, 5, seed=nodes), adjacency(nodes)) for nodes in (3, 6, 3)]
    pred = MC.predict(iter(graphs), take=(0, 1), exact=True)
    alone = type(pred).concatenate([MC.predict(*graph, exact=True) for graph in graphs])
    assert_same_rows(pred, alone)
    assert len(pred) == 12


def test_a_number_for_the_whole_graph_is_one_row() -> None:
    mc = MCDropout(fixed(Readout()), batch_axis=None, n_samples=20)
    samples = mc.sample(X, ADJACENCY)
    assert {name: each.shape for name, each in samples.items()} == {"energy": (20, 1), "nodes": (20, 7, 3)}
    torch.testing.assert_close(samples["energy"][:, 0], samples["nodes"].sum((1, 2)), **FLOAT32)


def test_sensitivity_and_the_doctor_count_nodes_as_rows() -> None:
    found = MC.sensitivity(X, ADJACENCY, n_samples=64)
    variance = MC.predict(X, ADJACENCY, n_samples=64).std.double().square().sum(1).mean()
    assert found.total.value == pytest.approx(variance.item(), rel=1e-4)
    inspection = mcdrop.inspect(MC, X, ADJACENCY, y=torch.arange(NODES) % 3)
    assert (inspection.rows, len(inspection.sites)) == (NODES, 2)


def test_a_shared_adjacency_stays_whole_beside_rows_that_are_split() -> None:
    mc = MCDropout(fixed(Graph()), batch_axis=(0, None), n_samples=32, task="raw")
    x = features(9, NODES, 5)
    whole = mc.predict(x, ADJACENCY, exact=True)
    assert whole.mean.shape == (9, NODES, 3)
    assert_same_rows(mc.predict(x[[4, 1]], ADJACENCY, exact=True), whole[[4, 1]])
    alone = MCDropout(mc.model, batch_axis=None, n_samples=32).sample(x[:1], ADJACENCY)
    torch.testing.assert_close(mc.sample(x, ADJACENCY)[:, :1], alone, **FLOAT32)


def test_a_model_that_refuses_its_default_rows_says_how_to_call_it_whole() -> None:
    with pytest.raises(UnsupportedModelError, match="batch_axis=None if the input is one whole"):
        MCDropout(MC.model).sample(X, ADJACENCY)


def test_masks_of_each_rows_own_need_rows() -> None:
    mc = MCDropout(MC.model, batch_axis=None, masks="independent", task="raw")
    for ask in (mc.sample, mc.predict):
        with pytest.raises(OptionError, match=r"no input is split into rows.*use masks='consistent'"):
            ask(X, ADJACENCY)
    with pytest.raises(OptionError, match="row_ids belong to masks='independent'"):
        MC.predict(X, ADJACENCY, row_ids=range(NODES))


def test_a_server_gets_no_blocks_of_a_whole_and_no_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="no input is split into rows"):
        MC.exact_blocks(X, ADJACENCY)
    with pytest.raises(OptionError, match="rows on axis 0, got batch_axis=None; wrap"):
        MC.save(tmp_path / "graph", architecture="graphs:graph")
    with pytest.raises(OptionError, match="rows on axis 0, got batch_axis=1; wrap"):
        MCDropout(MC.model, task="raw", batch_axis=1).save(tmp_path / "graph", architecture="graphs:graph")


def test_inputs_without_rows_are_refused_unless_they_are_said_to_be_whole() -> None:
    with pytest.raises(ShapeError, match="got str without any; batch_axis=None says"):
        MCDropout(MC.model).sample("a graph")
    with pytest.raises(ShapeError, match=r"batch_axis=2 is no axis of an input of shape \(7, 5\)"):
        MCDropout(MC.model, batch_axis=2).sample(X, ADJACENCY)
    with pytest.raises(InputError, match="at least one input"):
        MC.sample()


def test_a_whole_whose_shape_follows_its_draws_is_refused() -> None:
    class Sampled(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x[torch.rand(len(x)) < 0.5]

    with pytest.raises(
        UnsupportedModelError, match=r"\(4, 5\) and \(5, 5\) for the same rows under different"
    ):
        MCDropout(Sampled(), batch_axis=None).sample(X)


def test_an_axis_that_is_no_number_is_refused() -> None:
    with pytest.raises(InputError, match=r"batch_axis= takes a number or None, .* got 'n'"):
        MCDropout(MC.model, batch_axis="none").sample(X, ADJACENCY)  # type: ignore[arg-type]
