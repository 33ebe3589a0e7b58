import pytest
import torch
import torch.nn.functional as F

from mcdrop.engine.interception.descent import without_guards


@pytest.mark.parametrize("function", [F.multi_head_attention_forward, F.gumbel_softmax])
def test_the_functions_descended_into_still_hide_behind_a_guard(function: object) -> None:
    names = without_guards(function).__code__.co_names  # type: ignore[arg-type]
    assert any(name.startswith("has_torch_function") for name in names)


def test_the_copy_without_guards_has_the_defaults_of_the_original() -> None:
    copy = without_guards(F.gumbel_softmax)
    assert copy.__defaults__ == F.gumbel_softmax.__defaults__
    assert copy.__kwdefaults__ == F.gumbel_softmax.__kwdefaults__


def test_a_function_that_is_not_written_in_python_is_refused() -> None:
    with pytest.raises(TypeError, match="written in Python"):
        without_guards(torch.relu)
