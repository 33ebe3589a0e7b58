"""Small model directories as transformers and timm write them, made here: nothing is fetched.

Imported in the tests, not at their head: the gate collects them where the libraries are not installed.
"""

import json
from pathlib import Path
from typing import Any

import torch
from torch import nn

from tests.zoo import torchvision_operators  # noqa: F401  before timm and transformers import torchvision

BERT = {
    "vocab_size": 50,
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "max_position_embeddings": 24,
    "num_labels": 3,
    "hidden_dropout_prob": 0.1,
    "attention_probs_dropout_prob": 0.2,
}


def bert() -> nn.Module:
    """A classifier of texts, random and the same each time."""
    import transformers  # noqa: PLC0415  not installed where these tests are skipped

    with torch.random.fork_rng():
        torch.manual_seed(0)
        model: nn.Module = transformers.BertForSequenceClassification(transformers.BertConfig(**BERT))
    return model.eval()


def bert_directory(path: Path) -> Path:
    """As transformers saves it."""
    bert().save_pretrained(path)  # type: ignore[operator]
    return path


def resnet_directory(path: Path) -> tuple[Path, nn.Module]:
    """As timm saves it for the hub, and the model."""
    import timm  # noqa: PLC0415  not installed where these tests are skipped

    arguments = {"drop_rate": 0.3, "drop_path_rate": 0.1, "in_chans": 1}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = timm.create_model("resnet10t", num_classes=3, **arguments).eval()
    timm.models.save_for_hf(model, path, model_args=arguments, safe_serialization=True)
    return path, model


def edited(directory: Path, **entries: Any) -> Path:
    """The same directory with other entries in its configuration."""
    file = directory / "config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **entries}))
    return directory
