"""What is told about a model."""

from dataclasses import replace
from typing import Any, cast

import pytest
from mcdrop_service.settings import Settings
from mcdrop_service.web.metadata import inference_metadata, model_document

from tests.service.models import facts


@pytest.mark.parametrize("label", ["bitwise", "tolerance"])
def test_both_forms_tell_whether_answers_have_the_same_bits_in_company(label: str) -> None:
    model = replace(facts(), batch_invariance=label)
    told = cast("dict[str, Any]", inference_metadata(model, ["1"], Settings()))
    assert told["properties"]["batch_invariance"] == label
    assert model_document(model, Settings())["batch_invariance"] == label
