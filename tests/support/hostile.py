"""A corpus of files that try to run code, to fill the memory or to read what is not theirs."""

import os
import pickle
import struct
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import safetensors.torch
import torch
from torch import nn

from mcdrop.checkpoint.manifest import MANIFEST_FILE, WEIGHTS_FILE
from tests.support.checkpoints import edit_manifest, replace_weights, small_checkpoint

_F32: Final = '{"dtype":"F32","shape":[1],"data_offsets":[0,4]}'


class Payload:
    """Runs a command where it is unpickled."""

    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, ("echo the payload ran",)


def safetensors_file(header: str, data: bytes = b"") -> bytes:
    """A safetensors file with a header of one's own."""
    return struct.pack("<Q", len(header.encode())) + header.encode() + data


def _architecture(**fields: Any) -> Callable[[dict[str, Any]], object]:
    return lambda document: document["architecture"].update(fields)


_DOCUMENTS: Final[dict[str, Callable[[dict[str, Any]], object]]] = {
    "factory of the system": _architecture(source="factory", name="os:system", arguments={"command": "true"}),
    "factory of subprocess": _architecture(
        source="factory", name="subprocess:run", arguments={"args": "true"}
    ),
    "factory by eval": _architecture(source="factory", name="builtins:eval", arguments={}),
    "factory in the directory": _architecture(source="factory", name="model:make", arguments={}),
    "path as factory": _architecture(source="factory", name="../evil.py:make"),
    "address as architecture": _architecture(source="zoo", name="https://example.org/model"),
    "remote code": _architecture(
        source="huggingface", name="AutoModel", arguments={"trust_remote_code": True}
    ),
    "auto_map": _architecture(
        source="huggingface", name="AutoModel", arguments={"config": [{"auto_map": {}}]}
    ),
    "hub model": _architecture(source="huggingface", name="someone/model", arguments={}),
    "huge layer": _architecture(arguments={"hidden": 10**6}),
    "impossible layer": _architecture(arguments={"hidden": 10**12}),
    "unknown field": lambda document: document.update(on_load="import os"),
    "path as name": lambda document: document.update(name="../../etc/passwd"),
    "path as file": lambda document: document["files"].update({"../../etc/passwd": "0" * 64}),
    "absolute file": lambda document: document["files"].update({"/etc/passwd": "0" * 64}),
    "no weights": lambda document: document.update(files={}),
    "alias of nothing": lambda document: document.update(aliases={"a": "b"}),
    "alias over a tensor": lambda document: document.update(aliases={"layers.0.weight": "layers.3.weight"}),
}

_WEIGHTS: Final[dict[str, Callable[[], bytes]]] = {
    "pickle": lambda: pickle.dumps(Payload()),
    "zip": lambda: b"PK\x03\x04" + b"\0" * 64,
    "empty": lambda: b"",
    "short": lambda: b"\x01",
    "header beyond the end": lambda: struct.pack("<Q", 2**63) + b"{}",
    "names twice": lambda: safetensors_file(f'{{"a":{_F32},"a":{_F32}}}', b"\0" * 4),
    "huge tensor": lambda: safetensors_file(
        _F32.join(['{"a":', "}"]).replace("[1]", "[1000000000000]"), b"\0" * 4
    ),
    "overflowing tensor": lambda: safetensors_file(
        _F32.join(['{"a":', "}"]).replace("[1]", "[4294967296,4294967296]"), b"\0" * 4
    ),
    "unknown dtype": lambda: safetensors_file(_F32.join(['{"a":', "}"]).replace("F32", "F4"), b"\0" * 4),
    "not JSON": lambda: safetensors_file("import os"),
    "other names": lambda: bytes(safetensors.torch.save({"a": torch.zeros(1)})),
}

_MANIFESTS: Final[dict[str, bytes]] = {
    "pickle": pickle.dumps(Payload()),
    "empty": b"",
    "bare NaN": b"NaN",
    "infinity": b'{"tau": 1e999}',
    "key twice": b'{"name": "a", "name": "b"}',
    "deep": b"[" * 100_000,
    "not UTF-8": b"\xff\xfe",
    "half a character": b'"\\ud800"',
    "long number": b"9" * 5_000,
    "list": b"[]",
    "large": b" " * (2**22 + 1),
}


def hostile_checkpoints(directory: Path) -> dict[str, Path]:
    """Checkpoints, by what is wrong with them."""
    made: dict[str, Path] = {}
    for title, change in _DOCUMENTS.items():
        made[title] = edit_manifest(_fresh(directory, title), change)
    for title, weights in _WEIGHTS.items():
        made[f"weights: {title}"] = replace_weights(_fresh(directory, f"weights {title}"), weights())
    for title, text in _MANIFESTS.items():
        made[f"manifest: {title}"] = _fresh(directory, f"manifest {title}")
        (made[f"manifest: {title}"] / MANIFEST_FILE).write_bytes(text)
    return {**made, **_wrong_kinds_of_file(directory)}


def hostile_archives(directory: Path) -> dict[str, Path]:
    """Files for `read_state_dict`, by what is wrong with them."""
    directory.mkdir(exist_ok=True)
    made = {title: _saved(directory, title, value) for title, value in _leaves().items()}
    made["plain pickle"] = _written(directory / "plain.pt", pickle.dumps(Payload()))
    made["empty"] = _written(directory / "empty.pt", b"")
    made["old format"] = directory / "old.pt"
    torch.save({"a": torch.zeros(2)}, made["old format"], _use_new_zipfile_serialization=False)
    made["tar"] = directory / "legacy.pt"
    with tarfile.open(made["tar"], "w") as archive:
        archive.add(made["plain pickle"], "pickle")
    made["compressed"] = _compressed(_saved(directory, "compressed", {"a": torch.zeros(500_000)}))
    made["cut off"] = _written(directory / "cut.pt", made["expanded"].read_bytes()[:-30])
    made["no members"] = _written(directory / "members.pt", b"PK\x03\x04" + b"PK\x05\x06" + b"\xff" * 18)
    made["claimed size"] = _written(directory / "claim.pt", _with_claimed_size(made["expanded"].read_bytes()))
    made["two ends"] = _written(directory / "ends.pt", made["expanded"].read_bytes() + b"PK\x05\x06 and more")
    return made


def _leaves() -> dict[str, object]:
    one = torch.ones(1)
    return {
        "payload": {"a": Payload()},
        "whole module": nn.Linear(1, 1),
        "expanded": {"a": one.expand(10**9)},
        "overlapping views": {str(k): torch.ones(1000)[k:] for k in range(2)} | _sliding_views(),
        "sparse": {"a": torch.eye(3).to_sparse()},
        "meta": {"a": torch.empty(3, device="meta")},
        "a number": {"a": one, "epoch": 7},
        "a list": [one],
        "a tensor": one,
        "numbers as names": {0: one},
    }


def _sliding_views() -> dict[str, torch.Tensor]:
    memory = torch.ones(10_000)
    return {f"view {k}": memory[k : 9_000 + k] for k in range(1000)}


def _wrong_kinds_of_file(directory: Path) -> dict[str, Path]:
    link, pipe, folder, missing = (
        _fresh(directory, title) for title in ("link", "pipe", "folder", "missing")
    )
    elsewhere = directory / "elsewhere.safetensors"
    (link / WEIGHTS_FILE).rename(elsewhere)
    (link / WEIGHTS_FILE).symlink_to(elsewhere)
    for path in (pipe, folder, missing):
        (path / WEIGHTS_FILE).unlink()
    os.mkfifo(pipe / WEIGHTS_FILE)
    (folder / WEIGHTS_FILE).mkdir()
    linked = _fresh(directory, "linked version")
    (linked / "2").symlink_to(folder)
    return {"link": link, "pipe": pipe, "folder": folder, "missing": missing, "linked version": linked}


def _fresh(directory: Path, title: str) -> Path:
    return small_checkpoint(directory / title.replace(" ", "-").replace(":", ""))


def _saved(directory: Path, title: str, value: object) -> Path:
    path = directory / f"{title.replace(' ', '-')}.pt"
    torch.save(value, path)
    return path


def _written(path: Path, contents: bytes) -> Path:
    path.write_bytes(contents)
    return path


def _with_claimed_size(archive: bytes) -> bytes:
    """The same archive, whose list of members says that the first one takes a gigabyte."""
    entry = archive.index(b"PK\x01\x02")
    size = slice(entry + 24, entry + 28)  # uncompressed size, in the format's central directory header
    return archive[: size.start] + struct.pack("<I", 2**30) + archive[size.stop :]


def _compressed(path: Path) -> Path:
    with zipfile.ZipFile(path) as source:
        members = {name: source.read(name) for name in source.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as target:
        for name, contents in members.items():
            target.writestr(name, contents)
    return path
