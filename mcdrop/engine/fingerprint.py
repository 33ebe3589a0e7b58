"""The fingerprint: everything outside of model, input and seed that the bits of an answer depend on."""

import hashlib
import json
import os
from typing import Any

import torch

from mcdrop.engine.precision import convolution_words, cudnn_tf32, matmul_precision
from mcdrop.engine.processor import has_features

__all__ = ["environment", "fingerprint_id"]


def environment(device: torch.device) -> dict[str, Any]:
    """The part of a fingerprint that the machine and its settings make."""
    return {
        "torch": torch.__version__,
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "amd": _is_amd(),
        "onednn": _onednn(),
        "mkl_cbwr": os.environ.get("MKL_CBWR", ""),
        "threads": torch.get_num_threads(),
        "float32_matmul_precision": matmul_precision(),
        "cudnn_tf32": cudnn_tf32(),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "autocast": torch.is_autocast_enabled(device.type),
        **(_of_cuda() if device.type == "cuda" else {}),
    }


def _of_cuda() -> dict[str, Any]:
    """What kernels are chosen by: `benchmark` takes those that were the fastest in this process."""
    return {
        "cudnn_enabled": bool(torch.backends.cudnn.enabled),
        "cudnn_benchmark": bool(torch.backends.cudnn.benchmark),
        "cudnn_deterministic": bool(torch.backends.cudnn.deterministic),
        "cublas_workspace_config": os.environ.get("CUBLAS_WORKSPACE_CONFIG", ""),
    }


def _is_amd() -> bool:
    """Whether the processor has instructions that only AMD's have: libraries choose kernels by the maker."""
    return has_features("sse4a")


def _onednn() -> bool | str:
    """Whether oneDNN is asked; its precision of convolutions, if that was set."""
    if not (torch.backends.mkldnn.is_available() and bool(torch.backends.mkldnn.enabled)):
        return False
    words = convolution_words(torch.backends.mkldnn)
    return True if words == "conv none, rnn none" else words


def fingerprint_id(facts: dict[str, Any]) -> str:
    """The first 16 hexadecimal digits of the sha256 of a fingerprint."""
    text = json.dumps(facts, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]
