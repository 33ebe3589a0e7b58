"""The fingerprint: what is in it, and its number."""

import pytest
import torch

from mcdrop.engine.fingerprint import environment, fingerprint_id


def test_the_number_is_that_of_sha256sum_in_any_order() -> None:
    assert fingerprint_id({"torch": "2.6.0", "threads": 1}) == "4edbdd83c31459c1"
    assert fingerprint_id({"threads": 1, "torch": "2.6.0"}) == "4edbdd83c31459c1"


@pytest.mark.parametrize("other", [{"threads": 2, "rows": 16}, {"threads": 1, "rows": 8}, {"threads": 1}])
def test_any_other_fact_gives_another_number(other: dict[str, object]) -> None:
    assert fingerprint_id({"threads": 1, "rows": 16}) != fingerprint_id(other)


def test_the_settings_that_change_bits_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MKL_CBWR", "AVX2")
    facts = environment(torch.device("cpu"))
    assert facts["mkl_cbwr"] == "AVX2"
    assert (facts["torch"], facts["device"]) == (torch.__version__, "cpu")
    assert facts["threads"] == torch.get_num_threads()
    assert facts["float32_matmul_precision"] == torch.get_float32_matmul_precision()


def test_the_library_of_products_and_the_maker_of_the_processor_are_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    facts = environment(torch.device("cpu"))
    monkeypatch.setattr(torch.backends.mkldnn, "enabled", False)
    without = environment(torch.device("cpu"))
    assert {name for name in facts if facts[name] != without[name]} <= {"onednn"}
    assert facts["onednn"] == torch.backends.mkldnn.is_available()
    assert not without["onednn"]
    assert isinstance(facts["amd"], bool)
