"""Made-up rows: uniform, the same everywhere, and with the digits that their dtype has."""

import pytest
import torch
from torch import nn

from mcdrop.engine.inputs import Call, as_call
from mcdrop.engine.probes import probe_inputs


def example(dtype: torch.dtype) -> Call:
    return as_call(nn.Identity(), (torch.zeros(3, 500, dtype=dtype),), {})


def probe(dtype: torch.dtype, trial: int = 0) -> torch.Tensor:
    return torch.as_tensor(probe_inputs(example(dtype), 4, trial).leaves[0])


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_numbers_have_the_digits_of_their_dtype_but_perhaps_the_last(dtype: torch.dtype) -> None:
    mantissas = torch.frexp(probe(dtype).double()).mantissa.abs()
    last = torch.finfo(dtype).eps / 2  # mantissas begin at 1/2
    assert bool((mantissas.remainder(4 * last) > 0).any())


def test_they_are_uniform_between_minus_one_and_one() -> None:
    x = probe(torch.float64)
    assert x.shape == (4, 500)
    assert float(x.abs().max()) <= 1
    assert float(x.mean()) == pytest.approx(0, abs=5 / 3**0.5 / x.numel() ** 0.5)
    assert float(x.square().mean()) == pytest.approx(1 / 3, abs=5 * (4 / 45) ** 0.5 / x.numel() ** 0.5)


def test_each_trial_has_its_own_and_the_same_again() -> None:
    assert torch.equal(probe(torch.float32), probe(torch.float32))
    assert not torch.equal(probe(torch.float32), probe(torch.float32, 1))


def test_whole_numbers_are_repeated() -> None:
    call = as_call(nn.Identity(), (torch.tensor([3, 4, 5]),), {})
    assert torch.equal(torch.as_tensor(probe_inputs(call, 5, 0).leaves[0]), torch.tensor([3, 4, 5, 3, 4]))
