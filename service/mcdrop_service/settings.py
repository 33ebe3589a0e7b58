"""Limits and addresses of the service: by flag, or by environment variable `MCDROP_...`."""

import os

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

__all__ = ["Settings", "default_threads"]

MEBIBYTE = 1024 * 1024


def default_threads() -> int:
    """Torch threads when the operator names none: all cores but one, and one where there are two.

    A second torch thread on a machine whose cores are busy can be many times slower than one.

    Returns:
        At least 1.
    """
    named = os.environ.get("OMP_NUM_THREADS", "")
    return int(named) if named.isdigit() and int(named) > 0 else max(1, (os.cpu_count() or 1) - 1)


class Settings(BaseSettings):
    """Everything an operator can set; each field is also read from `MCDROP_` and its name.

    Attributes:
        host: Address to listen on.
        port: Port to listen on; 0 takes a free one.
        torch_threads: Threads of one forward pass. It is part of the fingerprint.
        max_body_bytes: Longest request body that is read.
        max_body_bytes_in_flight: Bytes of all bodies that may be held at once.
        max_n_samples: Most samples that a request may ask for.
        max_request_units: Most units (a row times a block of 16 samples) in one request.
        max_queue_units: Most units that wait at once.
        max_queue_bytes: Memory of all requests that wait or run.
        max_quantiles: Most quantile levels in one request.
        max_connections: Open connections beyond which new ones are turned away.
        request_timeout_ms: Time from arrival to answer, after which a request is given up.
        header_timeout_ms: Time in which the head of a request must have arrived.
        body_timeout_ms: Time in which the body must have arrived.
        write_timeout_ms: Time in which a client must have read its answer.
        keep_alive_ms: Time that an idle connection is kept open.
        drain_delay_ms: Time from SIGTERM, with `/readyz` off, until the port is closed.
        drain_timeout_ms: Time after which a stop no longer waits for running requests.
    """

    model_config = SettingsConfigDict(env_prefix="MCDROP_", frozen=True, extra="forbid")

    host: str = "127.0.0.1"
    port: int = Field(default=8000, ge=0, le=65535)
    torch_threads: int = Field(default_factory=default_threads, ge=1)
    max_body_bytes: int = Field(default=64 * MEBIBYTE, ge=1)
    max_body_bytes_in_flight: int = Field(default=256 * MEBIBYTE, ge=1)
    max_n_samples: int = Field(default=1000, ge=2)
    max_request_units: int = Field(default=16384, ge=1)
    max_queue_units: int = Field(default=32768, ge=1)
    max_queue_bytes: int = Field(default=512 * MEBIBYTE, ge=1)
    max_quantiles: int = Field(default=100, ge=1)
    max_connections: int = Field(default=1000, ge=1)
    request_timeout_ms: int = Field(default=30_000, ge=1)
    header_timeout_ms: int = Field(default=10_000, ge=1)
    body_timeout_ms: int = Field(default=30_000, ge=1)
    write_timeout_ms: int = Field(default=30_000, ge=1)
    keep_alive_ms: int = Field(default=5_000, ge=1)
    drain_delay_ms: int = Field(default=5_000, ge=0)
    drain_timeout_ms: int = Field(default=30_000, ge=0)
