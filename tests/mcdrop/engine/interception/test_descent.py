from typing import Any

import pytest
import torch.nn.functional as F


@pytest.mark.parametrize("function", [F.multi_head_attention_forward, F.gumbel_softmax])
def test_the_functions_descended_into_still_hide_behind_a_guard(function: Any) -> None:
    assert any(name.startswith("has_torch_function") for name in function.__code__.co_names)
