"""Large products of linear layers, by oneDNN where it is the faster library."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode

from mcdrop import MCDropout
from mcdrop.engine.exact import smaller_plans
from mcdrop.engine.interception import products
from mcdrop.engine.interception.mode import Interception
from mcdrop.engine.interception.products import product
from mcdrop.engine.interception.table import HANDLERS
from tests.mcdrop.engine.interception.test_whole import NoDraws, Operators, mapped
from tests.support.tolerances import EXACT, FLOAT32

pytestmark = pytest.mark.skipif(
    not (torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")),
    reason="this torch has no oneDNN",
)
GENERATOR = torch.Generator().manual_seed(0)
WEIGHT, BIAS = torch.randn(512, 256, generator=GENERATOR) / 16, torch.randn(512, generator=GENERATOR)
X = torch.randn(64, 256, generator=GENERATOR)


@pytest.fixture(autouse=True)
def _as_where_it_is_faster(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(products, "_is_faster_here", lambda: True)
    with torch.inference_mode():
        yield


def asked(call: Callable[[], object]) -> list[str]:
    """Which of the two makes the products of a call."""
    with Operators() as operators:
        call()
    return [name for name in operators.seen if name in ("_linear_pointwise", "linear", "addmm")]


@pytest.mark.parametrize("bias", [None, BIAS])
@pytest.mark.parametrize("rows", [(64,), (33,), (2, 16), (2, 5, 13)])
def test_a_large_product_is_that_of_the_linear_layer(rows: tuple[int, ...], bias: Tensor | None) -> None:
    x = torch.randn(*rows, 256, generator=GENERATOR)
    assert asked(lambda: product(x, WEIGHT, bias)) == ["_linear_pointwise"]
    got = product(x, WEIGHT, bias)
    assert got.is_contiguous()
    torch.testing.assert_close(got, F.linear(x, WEIGHT, bias), **FLOAT32)


def test_a_row_has_the_same_bits_among_any_others() -> None:
    x = torch.randn(600, 256, generator=GENERATOR)
    whole = product(x, WEIGHT, BIAS)
    for rows in (32, 33, 47, 255, 599):
        for start in (0, 1, 600 - rows):
            part = product(x[start : start + rows].clone(), WEIGHT, BIAS)
            torch.testing.assert_close(part, whole[start : start + rows], **EXACT)
    torch.testing.assert_close(product(x.flip(0), WEIGHT, BIAS), whole.flip(0), **EXACT)


REFUSED: dict[str, tuple[Callable[[], AbstractContextManager[Any]], Callable[[], object]]] = {
    "few rows": (nullcontext, lambda: product(X[:31], WEIGHT, BIAS)),
    "few weights": (nullcontext, lambda: product(X, WEIGHT[:255], BIAS[:255])),
    "fewer weights than that": (nullcontext, lambda: product(X.repeat(8, 1)[1:], WEIGHT[:256], None)),
    "weights in another order": (nullcontext, lambda: product(X, WEIGHT.t().contiguous().t(), BIAS)),
    "rows apart": (nullcontext, lambda: product(X.repeat(1, 2)[:, :256], WEIGHT, BIAS)),
    "double": (nullcontext, lambda: product(X.double(), WEIGHT.double(), BIAS.double())),
    "autocast": (lambda: torch.autocast("cpu"), lambda: product(X, WEIGHT, BIAS)),
    "gradients": (lambda: torch.inference_mode(mode=False), lambda: product(X, WEIGHT, BIAS)),
    "oneDNN off": (lambda: torch.backends.mkldnn.flags(enabled=False), lambda: product(X, WEIGHT, BIAS)),
}


@pytest.mark.filterwarnings("ignore:TF32 acceleration")  # of what the flags of oneDNN set on the way
@pytest.mark.parametrize("name", REFUSED)
def test_what_onednn_could_not_do_as_well_is_left_to_torch(name: str) -> None:
    setting, call = REFUSED[name]
    with setting():
        assert asked(call) in (["linear"], ["addmm"])


def test_a_coarser_precision_is_left_to_torch() -> None:
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high")
    try:
        assert asked(lambda: product(X, WEIGHT, BIAS)) == ["linear"]
    finally:
        torch.set_float32_matmul_precision(before)


def test_elsewhere_the_product_is_the_native_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(products, "_is_faster_here", lambda: False)
    torch.testing.assert_close(product(X, WEIGHT, BIAS), F.linear(X, WEIGHT, BIAS), **EXACT)


@pytest.mark.parametrize(
    ("features", "faster"),
    [
        ({"sse4a": True, "avx512_f": True}, torch.backends.mkl.is_available()),
        ({"sse4a": True, "avx512_f": False}, False),
        ({"sse4a": False, "avx512_f": True}, False),
        ({"neon": True}, False),
    ],
)
def test_the_processor_decides(
    features: dict[str, bool], *, faster: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: features, raising=False)
    assert products._is_faster_here.__wrapped__() is faster


def test_under_vmap_one_product_does_all_samples() -> None:
    x = torch.randn(4, 3, 16, 256, generator=GENERATOR)
    assert asked(lambda: mapped(lambda one: F.linear(one, WEIGHT, BIAS), x)) == ["_linear_pointwise"]
    got = mapped(lambda one: F.linear(one, WEIGHT, BIAS), x)
    torch.testing.assert_close(got, F.linear(x, WEIGHT, BIAS), **FLOAT32)


def test_tensors_without_numbers_take_the_same_path() -> None:
    with FakeTensorMode(allow_non_fake_inputs=True) as fake:
        assert asked(lambda: product(fake.from_tensor(X), WEIGHT, BIAS)) == ["_linear_pointwise"]


def test_weights_of_each_sample_stay_with_theirs() -> None:
    weights = torch.randn(3, 512, 256, generator=GENERATOR) / 16
    got = mapped(F.linear, X.expand(3, 64, 256), weights)
    torch.testing.assert_close(got, X @ weights.transpose(1, 2), **FLOAT32)


def test_shapes_that_do_not_fit_are_told_of_by_torch() -> None:
    with (
        Interception(NoDraws(), HANDLERS, lambda: ""),
        pytest.raises(RuntimeError, match="shapes cannot be multiplied"),
    ):
        F.linear(X, WEIGHT[:, :255].contiguous())


@torch.inference_mode(mode=False)
def test_blocks_of_exact_mode_have_as_many_rows_as_with_the_native_product(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    torch.manual_seed(0)
    layers = [nn.Linear(16, 512), nn.ReLU(), nn.Dropout(0.5), nn.Linear(512, 512), nn.Linear(512, 3)]
    mc, x = MCDropout(nn.Sequential(*layers)), torch.randn(16, 16, generator=GENERATOR)
    mc.trace(x)
    call = mc.as_call(x)

    def sizes() -> tuple[int, list[int]]:
        plan = mc.plan.exact(16, None)
        smaller = [smaller.rows for smaller in smaller_plans(plan, call)]
        return plan.rows, [rows for rows in smaller if rows > 1]  # with one, 16 are too few for oneDNN

    with_onednn = sizes()
    assert asked(lambda: mc.sample(x)).count("_linear_pointwise") > 0
    monkeypatch.setattr(products, "_is_faster_here", lambda: False)
    assert with_onednn == sizes()
