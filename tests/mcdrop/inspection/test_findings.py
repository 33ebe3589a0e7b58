"""Every kind of finding: a model that has it, one that nearly does, and its numbers."""

import pytest
from torch import nn

import mcdrop
from mcdrop.injection import Attention
from mcdrop.inspection import CATALOGUE
from tests.mcdrop.inspection.patients import PATIENTS
from tests.support.networks import features, fixed

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


def test_injected_attention_is_told_from_its_own() -> None:
    def block(p: float) -> nn.Module:
        layers = nn.TransformerEncoderLayer(6, 2, 8, dropout=0.1, batch_first=True), nn.Linear(6, 2)
        layers[0].self_attn.dropout = p
        return fixed(nn.Sequential(*layers))

    injected = mcdrop.inject(block(0.0), p=0.1, where=Attention())
    found = {
        name: mcdrop.inspect(model, features(8, 5, 6), n_samples=32)
        for name, model in (("own", block(0.1)), ("injected", injected))
    }
    (said,) = [each for each in found["injected"].findings if each.code == "MC017"]
    assert (said.module, said.evidence["sites"]) == ("0.self_attn", 1)
    assert "MC017" not in {each.code for each in found["own"].findings}


@pytest.mark.parametrize("code", PATIENTS)
def test_a_model_that_nearly_has_it_is_not_found(code: str) -> None:
    assert code not in {finding.code for finding in PATIENTS[code].well().findings}
