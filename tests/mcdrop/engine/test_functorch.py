import torch
from torch import Tensor

from mcdrop.engine.functorch import lifted, lowered
from tests.support.tolerances import EXACT, FLOAT32

GENERATOR = torch.Generator().manual_seed(0)


def test_what_is_lifted_holds_all_samples_in_front_wherever_vmap_has_them() -> None:
    x = torch.randn(3, 6, 4, generator=GENERATOR)

    def seen(one: Tensor) -> Tensor:
        samples = lifted(one, 3)
        assert samples.shape == (6, 1, 3, 4)
        return lowered(samples.squeeze(1), 2)

    torch.testing.assert_close(torch.func.vmap(seen, in_dims=1)(x), x.movedim(1, 0), **EXACT)


def test_what_all_samples_share_or_is_not_mapped_is_lifted_to_itself() -> None:
    shared = torch.randn(3, 4, generator=GENERATOR)
    assert lifted(shared, 2) is shared
    assert lowered(shared, 2) is shared

    def seen(one: Tensor) -> Tensor:
        assert lifted(shared, 2) is shared
        return one

    torch.func.vmap(seen)(torch.ones(2))


def test_only_the_innermost_vmap_is_lifted() -> None:
    x, weight = torch.randn(5, 3, generator=GENERATOR), torch.randn(7, 3, generator=GENERATOR)

    def outer(one: Tensor) -> Tensor:
        def inner(row: Tensor) -> Tensor:
            assert lifted(one, 1) is one
            return lowered(lifted(row, 1) * one, 1)

        mapped: Tensor = torch.func.vmap(inner)(weight)
        return mapped

    torch.testing.assert_close(torch.func.vmap(outer)(x), x[:, None] * weight, **FLOAT32)
