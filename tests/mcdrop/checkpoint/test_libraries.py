"""Configurations that would fetch or run something are refused; what needs a library says which.

What the libraries themselves do with sound configurations is tested in `tests/libraries`.
"""

import sys
from typing import Any

import pytest

from mcdrop.checkpoint import Architecture, build
from mcdrop.checkpoint.libraries import check_configuration
from mcdrop.errors import CheckpointError

FETCHES: list[tuple[str, dict[str, Any]]] = [
    ("huggingface", {"attn_implementation": "kernels-community/flash-attn"}),
    ("huggingface", {"_attn_implementation": "flash_attention_2"}),
    ("huggingface", {"_attn_implementation_internal": "someone/kernel"}),
    ("huggingface", {"attn_implementation": {"text_config": "someone/kernel"}}),
    ("huggingface", {"text_config": {"attn_implementation": "someone/kernel"}}),
    ("huggingface", {"experts_implementation": "someone/kernel"}),
    ("huggingface", {"use_pretrained_backbone": True}),
    ("huggingface", {"backbone": "microsoft/resnet-50"}),
    ("huggingface", {"use_timm_backbone": True}),
    ("huggingface", {"backbone_config": {"model_type": "timm_backbone"}}),
    ("huggingface", {"parts": [{"backbone": "resnet50"}]}),
    ("huggingface", {"quantization_config": {"quant_method": "gptq"}}),
    ("timm", {"pretrained": True}),
    ("timm", {"pretrained": False}),
    ("timm", {"checkpoint_path": "weights.pth"}),
    ("timm", {"pretrained_cfg": {"url": "https://example.org"}}),
    ("timm", {"pretrained_cfg_overlay": {"hf_hub_id": "a/b"}}),
    ("timm", {"cache_dir": "/"}),
]


@pytest.mark.parametrize(("source", "configuration"), FETCHES)
def test_what_names_something_to_fetch_is_refused(source: str, configuration: dict[str, Any]) -> None:
    with pytest.raises(CheckpointError, match="would fetch or load something"):
        check_configuration(source, configuration)


def test_plain_configurations_pass() -> None:
    check_configuration(
        "huggingface",
        {
            "attn_implementation": "sdpa",
            "backbone": None,
            "use_pretrained_backbone": False,
            "text_config": {"_attn_implementation": {"text": "eager"}, "model_type": "bert"},
            "id2label": {"0": "no"},
        },
    )
    check_configuration("timm", {"num_classes": 3, "drop_rate": 0.2})


@pytest.mark.parametrize(("source", "extra"), [("huggingface", "hf"), ("timm", "timm")])
def test_who_lacks_the_library_is_told_what_to_install(
    source: str, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    monkeypatch.setitem(sys.modules, "timm", None)
    architecture = Architecture.model_validate({"source": source, "name": "Some"})
    with pytest.raises(CheckpointError, match=rf"pip install 'mcdrop\[{extra}\]'"):
        build(architecture)
