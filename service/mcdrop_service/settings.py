"""What an operator can set: by flag, by environment variable `MCDROP_...`, or in a file, in this order."""

import json
import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

from pydantic import Field, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

__all__ = ["Settings", "as_toml", "default_threads", "read_settings", "unread_variables"]

MEBIBYTE: Final = 1024 * 1024
PREFIX: Final = "MCDROP_"
MOST_PORT: Final = 65535
CPU_LIMIT: Final = Path("/sys/fs/cgroup/cpu.max")
"""Of a container: microseconds of all its cores together, and in how many (cgroup v2)."""
BESIDE: Final = frozenset({"config", "device"})
"""Names of variables that are options of the command and no settings."""
SERVICE_LINK: Final = re.compile(r".*_(SERVICE_(HOST|PORT.*)|PORT(_\d+_.*)?)", re.ASCII)
"""What Kubernetes sets in every pod, if it is not told otherwise, for a Service `mcdrop-...`."""


def default_threads(workers: int = 1) -> int:
    """Torch threads when the operator names none: all cores but one, shared by the workers.

    A second torch thread on a machine whose cores are busy can be many times slower than one.

    Args:
        workers: Processes that run at once.

    Returns:
        At least 1.
    """
    named = os.environ.get("OMP_NUM_THREADS", "")
    cores = max(1, _cores() - 1)
    return int(named) if named.isdigit() and int(named) > 0 else max(1, cores // workers)


def _cores() -> int:
    """That the process may use: in a container with a limit fewer than the machine has."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = CPU_LIMIT.read_text("ascii").split()
        return max(1, min(allowed, int(quota) // int(period)))
    except (OSError, ValueError):  # there is none, or it is "max"
        return allowed


class Settings(BaseSettings):
    """Addresses, limits and keys; the text under each field is also its help on the command line."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, frozen=True, extra="forbid", use_attribute_docstrings=True
    )

    host: str = "127.0.0.1"
    """Address to listen on."""

    port: int = Field(default=8000, ge=0, le=MOST_PORT)
    """Port to listen on; 0 takes a free one."""

    workers: int = Field(default=1, ge=1, le=1024)
    """Processes, each with all models and a port of its own, from `port` on."""

    torch_threads: int = Field(default_factory=default_threads, ge=1)
    """Threads of one forward pass in each worker. It is part of the fingerprint."""

    batch_invariance: Literal["any", "bitwise"] = "any"
    """`bitwise` refuses a model whose answers have not the same bits alone and in company."""

    max_body_bytes: int = Field(default=64 * MEBIBYTE, ge=1)
    """Longest request body that is read, also after unpacking."""

    max_body_bytes_in_flight: int = Field(default=256 * MEBIBYTE, ge=1)
    """Bytes of the bodies of all requests and long answers that may be held at once."""

    max_n_samples: int = Field(default=1024, ge=2)
    """Most samples that a request may ask for."""

    max_request_units: int = Field(default=16384, ge=1)
    """Most units (a row times a block of 16 samples) in one request."""

    max_queue_units: int = Field(default=32768, ge=1)
    """Most units that wait at once."""

    max_queue_bytes: int = Field(default=512 * MEBIBYTE, ge=1)
    """Memory of all requests that wait or run: their inputs, and what is kept of their samples."""

    max_mask_bytes: int = Field(default=64 * MEBIBYTE, ge=0)
    """Memory of the masks that each version of a model keeps for seeds that come again; 0 keeps none."""

    max_quantiles: int = Field(default=100, ge=1)
    """Most quantile levels in one request."""

    max_connections: int = Field(default=1000, ge=1)
    """Open connections beyond which new ones are turned away."""

    request_timeout_ms: int = Field(default=30_000, ge=1)
    """Time from arrival to answer, after which a request is given up."""

    stall_timeout_ms: int = Field(default=60_000, ge=1)
    """Time in one batch, or in loading one model, after which `/readyz` turns off until it ends."""

    header_timeout_ms: int = Field(default=10_000, ge=1)
    """Time in which the head of a request must have arrived."""

    body_timeout_ms: int = Field(default=30_000, ge=1)
    """Time in which the body must have arrived."""

    write_timeout_ms: int = Field(default=30_000, ge=1)
    """Time in which a client must have read its answer."""

    keep_alive_ms: int = Field(default=5_000, ge=1)
    """Time that an idle connection is kept open."""

    drain_delay_ms: int = Field(default=5_000, ge=0)
    """Time from SIGTERM, with `/readyz` off, until the port is closed."""

    drain_timeout_ms: int = Field(default=30_000, ge=0)
    """Time after which a stop no longer waits for running requests."""

    root_path: str = ""
    """Path under which a proxy offers the service, such as `/uncertainty`."""

    api_keys_file: Path | None = None
    """File of hashed API keys, a line `NAME:SHA256` each; without it no key is asked for."""

    cors_origins: Annotated[tuple[str, ...], NoDecode] = ()
    """Origins whose web pages may ask, with commas between; none by default."""

    management_host: str = "127.0.0.1"
    """Address of the management port."""

    management_port: int | None = Field(default=None, ge=0, le=MOST_PORT)
    """Port to load and unload models on, or the first worker's; off by default, 0 takes a free one."""

    management_token_file: Path | None = None
    """File whose one line is the token of the management port."""

    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """What is less is not logged; at `info` each request is one line of JSON on stderr."""

    @field_validator("cors_origins", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return tuple(filter(None, map(str.strip, value.split(",")))) if isinstance(value, str) else value

    @field_validator("root_path")
    @classmethod
    def _begins_and_does_not_end_with_a_slash(cls, value: str) -> str:
        if value and not value.strip("/"):
            return ""
        if value and (not value.startswith("/") or value.endswith("/")):
            raise ValueError("must begin with a slash and not end with one, such as /uncertainty")
        return value

    @model_validator(mode="after")
    def _management_has_a_token(self) -> Self:
        if self.management_port is not None and self.management_token_file is None:
            raise ValueError("management_port needs management_token_file, a file that holds a token")
        return self

    @model_validator(mode="after")
    def _workers_have_ports_and_threads(self) -> Self:
        if "torch_threads" not in self.model_fields_set:
            object.__setattr__(self, "torch_threads", default_threads(self.workers))
        public, management = self._ports(self.port), self._ports(self.management_port or 0)
        if max(*public, *management) > MOST_PORT:
            raise ValueError(f"{self.workers} workers need as many ports, of which the last is {MOST_PORT}")
        if self.host == self.management_host and not set(public).isdisjoint(management) and public[0]:
            raise ValueError(
                f"port and management_port overlap: {self.workers} workers take {public[0]} to {public[-1]} "
                f"and {management[0]} to {management[-1]}"
            )
        return self

    @property
    def longest_body(self) -> int:
        """Bytes of a body that can be read at all: one over the limit for all together never fits."""
        return min(self.max_body_bytes, self.max_body_bytes_in_flight)

    def _ports(self, first: int) -> range | tuple[int]:
        return range(first, first + self.workers) if first else (0,)


def read_settings(flags: Mapping[str, Any], file: Path | None = None) -> Settings:
    """The settings of a process.

    Args:
        flags: From the command line, by name; they win. Those that are None were not given.
        file: TOML with settings by name; environment variables win over it.

    Raises:
        pydantic.ValidationError: If a name is unknown, or a value out of its range.
        OSError: If the file cannot be read.
        tomllib.TOMLDecodeError: If it is not TOML.
    """
    in_file = {} if file is None else tomllib.loads(file.read_text(encoding="utf-8"))
    in_environment = {name.upper() for name in os.environ}
    below = {name: value for name, value in in_file.items() if (PREFIX + name).upper() not in in_environment}
    given = {name: value for name, value in flags.items() if value is not None}
    return Settings(**{**below, **given})


def unread_variables() -> list[str]:
    """Environment variables `MCDROP_...` that nobody reads: misspelt, most likely."""
    known = {f"{PREFIX}{name}".upper() for name in {*Settings.model_fields, *BESIDE}}
    ours = (name for name in os.environ if name.upper().startswith(PREFIX) and name.upper() not in known)
    return sorted(name for name in ours if not SERVICE_LINK.fullmatch(name))


def as_toml(settings: Settings) -> str:
    """The settings as a file that `read_settings` takes; what is not set is a comment.

    Args:
        settings: Of any origin.
    """
    lines: list[str] = []
    for name, value in settings.model_dump(mode="json").items():
        about = Settings.model_fields[name].description
        text = f"# {name} = " if value is None else f"{name} = {json.dumps(value)}"
        lines.append(f"# {about}\n{text}\n")
    return "\n".join(lines)
