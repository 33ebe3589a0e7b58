"""Model directories of two libraries become checkpoints that predict as their models do, and run nothing."""

import json
import shlex
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from mcdrop_service.client import Client

import mcdrop
from mcdrop.errors import CheckpointError
from mcdrop.predictive import Predictive
from tests.libraries import directories
from tests.support.checkpoints import edit_manifest
from tests.support.command_line import run_here
from tests.support.markdown import blocks
from tests.support.repository import ROOT
from tests.support.tolerances import EXACT
from tests.support.wire import running

TEXT = ("--input", "input_ids:int64:-1", "--input", "attention_mask:int64:-1")
IMAGE = ("--input", "x:float32:1,32,32")
FORBIDDEN = ("socket.connect", "socket.getaddrinfo", "subprocess.Popen", "os.system", "pickle.find_class")

seen: list[str] = []
sys.addaudithook(lambda event, _: seen.append(event) if event in FORBIDDEN else None)


def pack(capsys: pytest.CaptureFixture[str], directory: Path, target: Path, *options: str) -> str:
    """What `mcdrop pack` says against it; nothing if it packs."""
    finished = run_here(capsys, "pack", directory, target, "--task", "classification", *options)
    return finished.err if finished.code else ""


def bert(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Path:
    source = directories.bert_directory(tmp_path / "source")
    assert pack(capsys, source, tmp_path / "models" / "bert", "--architecture", "huggingface", *TEXT) == ""
    return tmp_path / "models" / "bert"


def texts() -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    mask = torch.ones(3, 7, dtype=torch.int64)
    mask[1, -2:] = 0
    return {"input_ids": torch.randint(5, 50, (3, 7), generator=generator), "attention_mask": mask}


def assert_same_answer(came: Predictive, wanted: Predictive) -> None:
    for name, array in wanted.numpy().items():
        assert came.numpy()[name].tobytes() == array.tobytes(), name


def test_a_packed_text_classifier_predicts_as_its_model_does(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    packed = mcdrop.load(bert(capsys, tmp_path))
    original = mcdrop.MCDropout(directories.bert(), task="classification")
    options: dict[str, Any] = {"n_samples": 32, "seed": 3, "exact": True}
    wanted = original.predict(texts(), **options)
    torch.testing.assert_close(packed.predict(texts(), **options).mean, wanted.mean, **EXACT)
    assert wanted.numpy()["mutual_information"].min() > 0
    assert {site.p for site in packed.sites} == {0.1, 0.2}


def test_a_packed_text_classifier_is_served_with_the_same_bits(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    place = bert(capsys, tmp_path)
    wanted = mcdrop.load(place).predict(texts(), n_samples=32, seed=3, exact=True)
    command = [sys.executable, "-m", "tests.libraries.serve", "serve", str(place.parent), "--port", "0"]
    with running(command) as server, Client(f"http://127.0.0.1:{server.port}") as client:
        assert_same_answer(client.predict("bert", texts(), n_samples=32, seed=3), wanted)


def test_a_packed_image_classifier_predicts_as_its_model_does(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    source, model = directories.resnet_directory(tmp_path / "source")
    target = tmp_path / "resnet"
    assert pack(capsys, source, target, "--architecture", "timm", *IMAGE) == ""
    x = np.random.default_rng(0).random((2, 1, 32, 32), dtype=np.float32)
    options: dict[str, Any] = {"n_samples": 32, "exact": True}
    packed, original = mcdrop.load(target), mcdrop.MCDropout(model, task="classification")
    wanted = original.predict(x, **options)
    torch.testing.assert_close(packed.predict(x, **options).mean, wanted.mean, **EXACT)
    assert wanted.numpy()["mutual_information"].min() > 0
    assert packed.manifest is not None
    assert packed.manifest.architecture.arguments["drop_rate"] == 0.3


def test_a_model_of_transformers_says_itself_how_to_build_it_again(tmp_path: Path) -> None:
    mc = mcdrop.MCDropout(directories.bert(), task="classification", n_samples=32)
    wanted = mc.predict(texts(), exact=True)
    mc.save(tmp_path / "saved")
    assert_same_answer(mcdrop.load(tmp_path / "saved").predict(texts(), exact=True), wanted)


def test_rates_that_were_changed_come_back(tmp_path: Path) -> None:
    mc = mcdrop.MCDropout(
        mcdrop.with_rates(directories.bert(), {"dropout": 0.4}), task="classification", n_samples=32
    )
    wanted = mc.predict(texts(), exact=True)
    mc.save(tmp_path / "saved")
    assert_same_answer(mcdrop.load(tmp_path / "saved").predict(texts(), exact=True), wanted)


def test_code_in_a_directory_is_refused_and_never_run(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    source = directories.bert_directory(tmp_path / "source")
    (source / "modeling_mine.py").write_text(f"open({str(tmp_path / 'it-ran')!r}, 'w')\n")
    told = pack(capsys, source, tmp_path / "a", "--architecture", "huggingface", *TEXT)
    assert told == ""  # a file that nothing names is not looked at
    directories.edited(source, auto_map={"AutoModel": "modeling_mine.Mine"})
    told = pack(capsys, source, tmp_path / "b", "--architecture", "huggingface", *TEXT)
    assert "auto_map would run code that comes with the model, which is never done" in told
    assert not (tmp_path / "it-ran").exists()
    assert not (tmp_path / "b").exists()


@pytest.mark.parametrize("source", ["huggingface", "timm"])
def test_damaged_weights_are_told_and_nothing_is_written(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, source: str
) -> None:
    make = {"huggingface": directories.bert_directory, "timm": directories.resnet_directory}[source]
    make(tmp_path / "source")
    weights = tmp_path / "source" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    told = pack(capsys, tmp_path / "source", tmp_path / "out", "--architecture", source, *TEXT)
    assert "cannot be read as a model of" in told or "is not a valid safetensors file" in told
    assert not (tmp_path / "out").exists()


def test_a_directory_that_is_not_whole_is_refused(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    source = directories.bert_directory(tmp_path / "source")
    target = tmp_path / "out"
    options = ("--architecture", "huggingface", *TEXT)
    directories.edited(source, architectures=["BertForTokenClassification", "BertModel"])
    assert "must name one class in 'architectures'" in pack(capsys, source, target, *options)
    directories.edited(source, architectures=["BertForQuestionAnswering"])
    assert "has no weights for qa_outputs" in pack(capsys, source, target, *options)
    directories.edited(source, architectures=["BertForSequenceClassification"])
    (source / "adapter_config.json").write_text("{}")
    assert "holds an adapter; merge it into its model first" in pack(capsys, source, target, *options)
    (source / "adapter_config.json").unlink()
    (source / "model.safetensors").rename(source / "pytorch_model.bin")
    assert "has no model.safetensors, and other files are not read" in pack(capsys, source, target, *options)
    assert "config.json cannot be read" in pack(capsys, tmp_path / "none", target, *options)
    assert "are not for huggingface" in pack(capsys, source, target, *options, "--prefix", "a")
    assert not target.exists()


@pytest.mark.parametrize(
    ("source", "name", "arguments"),
    [
        ("huggingface", "BertForSequenceClassification", {"attn_implementation": "someone/kernel"}),
        ("huggingface", "TimmWrapperForImageClassification", {"architecture": "hf-hub:someone/model"}),
        ("huggingface", "AutoModel", {}),
        ("huggingface", "PreTrainedModel", {}),
        ("huggingface", "pipeline", {}),
        ("huggingface", "someone/model", {}),
        ("huggingface", "DetrForObjectDetection", {"backbone": "resnet50", "use_pretrained_backbone": True}),
        ("huggingface", "BertForSequenceClassification", {"hidden_size": "x"}),
        ("timm", "hf-hub:timm/resnet18", {}),
        ("timm", "hf_hub:timm/resnet18", {}),
        ("timm", "local-dir:/tmp", {}),
        ("timm", "../resnet18", {}),
        ("timm", "no_such_model", {}),
        ("timm", "resnet10t", {"pretrained": True}),
        ("timm", "resnet10t", {"checkpoint_path": "weights.pth"}),
    ],
)
def test_a_hostile_architecture_is_one_error_and_nothing_is_fetched(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, source: str, name: str, arguments: dict[str, Any]
) -> None:
    place = bert(capsys, tmp_path)
    entry = {"source": source, "name": name, "arguments": arguments}
    edit_manifest(place, lambda document: document.update(architecture=entry))
    seen.clear()
    with pytest.raises(CheckpointError):
        mcdrop.load(place)
    assert seen == []


def test_a_configuration_that_claims_to_be_huge_takes_no_memory(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    place = bert(capsys, tmp_path)
    huge = json.loads((place / "mcdrop.json").read_text())["architecture"]
    huge["arguments"]["hidden_size"] = 2**20
    edit_manifest(place, lambda document: document.update(architecture=huge))
    with pytest.raises(CheckpointError, match="must have shape"):
        mcdrop.load(place)


def test_a_changed_byte_of_the_weights_is_refused(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    place = bert(capsys, tmp_path)
    weights = place / "model.safetensors"
    contents = bytearray(weights.read_bytes())
    contents[-1] ^= 1
    weights.write_bytes(contents)
    with pytest.raises(CheckpointError, match=r"model\.safetensors was changed"):
        mcdrop.load(place)


def typed(directory: str) -> list[str]:
    """The words of the `mcdrop pack` of docs/packing.md that reads this directory."""
    shown = [block.text.replace("\\\n", " ") for block in blocks(ROOT / "docs" / "packing.md")]
    (line,) = [
        line for text in shown for line in text.splitlines() if line.startswith(f"mcdrop pack ./{directory} ")
    ]
    return shlex.split(line)[1:]


def test_the_commands_of_the_page_make_checkpoints(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directories.bert_directory(tmp_path / "bert")
    directories.resnet_directory(tmp_path / "resnet")
    monkeypatch.chdir(tmp_path)
    for name in ("bert", "resnet"):
        assert run_here(capsys, *typed(name)).code == 0
        assert mcdrop.load(f"models/{name}").task == "classification"
