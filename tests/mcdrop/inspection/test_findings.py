"""Every kind of finding: a model that has it, one that nearly does, and its numbers."""

import pytest

from mcdrop.inspection import CATALOGUE
from tests.mcdrop.inspection.patients import PATIENTS

pytestmark = pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")  # of torch.compile itself


def test_every_kind_has_a_model_that_has_it_and_one_that_nearly_does() -> None:
    assert list(PATIENTS) == list(CATALOGUE) == sorted(CATALOGUE)


@pytest.mark.parametrize("code", PATIENTS)
def test_a_model_that_has_it_is_found_with_its_numbers(code: str) -> None:
    patient = PATIENTS[code]
    (found,) = [finding for finding in patient.ill().findings if finding.code == code]
    assert found.module == patient.module
    assert found.evidence
    assert any(isinstance(value, int | float) for value in found.evidence.values())
    assert found.severity >= CATALOGUE[code].severity
    assert (found.title, found.todo) == (CATALOGUE[code].title, CATALOGUE[code].todo)


@pytest.mark.parametrize("code", PATIENTS)
def test_a_model_that_nearly_has_it_is_not_found(code: str) -> None:
    assert code not in {finding.code for finding in PATIENTS[code].well().findings}
