"""Sites: their names, their numbers, and one row's part of a mask."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mcdrop.engine.sites import Law, Site, SiteKey, site_id

KEEP = Law("keep", 0.5, torch.float32)

paths = st.lists(st.sampled_from(["encoder", "drop", "0", "attention"]), max_size=4).map(".".join)


def site(shape: tuple[int, ...], *, row_axis: int | None = 0, row_factor: int = 1) -> Site:
    return Site(SiteKey("encoder.drop", 1), "dropout", 0.5, KEEP, shape, row_axis, row_factor)


def test_a_site_is_named_by_its_module_and_call() -> None:
    found = site((2, 8))
    assert (found.name, found.module, found.call) == ("encoder.drop#1", "encoder.drop", 1)


def test_a_call_of_the_model_itself_has_a_readable_name() -> None:
    assert str(SiteKey("", 0)) == "(model)#0"


def test_the_numbers_of_sites_are_the_golden_ones() -> None:
    assert site_id(SiteKey("", 0), "dropout") == 0xCCA67DED1B3AC956
    assert site_id(SiteKey("encoder.drop", 0), "dropout") == 0xFC131070B5AA406E
    assert site_id(SiteKey("encoder.drop", 1), "dropout") == 0x3A803DA7ADF039B2
    assert site_id(SiteKey("encoder.drop", 0), "attention") == 0xB3629A2A93124174


@given(paths, st.sampled_from(["module.{}", "_orig_mod.{}", "module._orig_mod.{}"]))
def test_wrappers_that_change_nothing_keep_the_number(path: str, wrapper: str) -> None:
    wrapped = wrapper.format(path).rstrip(".")
    assert site_id(SiteKey(wrapped, 0), "dropout") == site_id(SiteKey(path, 0), "dropout")


def test_a_compiled_part_keeps_the_number() -> None:
    compiled = SiteKey("encoder._orig_mod.drop", 0)
    assert site_id(compiled, "dropout") == site_id(SiteKey("encoder.drop", 0), "dropout")


def test_inside_the_network_module_is_a_name_like_any_other() -> None:
    inner, outer = SiteKey("block.module.drop", 0), SiteKey("block.drop", 0)
    assert site_id(inner, "dropout") != site_id(outer, "dropout")


@given(st.lists(st.tuples(paths, st.integers(0, 20), st.sampled_from(["dropout", "bernoulli"])), unique=True))
def test_different_sites_have_different_numbers(addresses: list[tuple[str, int, str]]) -> None:
    numbers = {site_id(SiteKey(path, call), kind) for path, call, kind in addresses}
    assert len(numbers) == len(addresses)
    assert all(0 <= number < 2**64 for number in numbers)


@pytest.mark.parametrize(
    ("row_axis", "row_factor", "expected"),
    [
        (0, 1, (12, 5, 6)),
        (1, 1, (4, 5, 6)),
        (0, 2, (2, 12, 5, 6)),
        (None, 1, (4, 12, 5, 6)),
    ],
)
def test_a_row_takes_its_part_of_a_mask(
    row_axis: int | None, row_factor: int, expected: tuple[int, ...]
) -> None:
    found = site((2, 12, 5, 6), row_axis=row_axis, row_factor=row_factor)
    assert found.row_shape((4, 12, 5, 6)) == expected
