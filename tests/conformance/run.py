"""Start the service over `models/`, and let every client check it: `make conformance`.

Ends with exit code 1 if a client fails, and with 2 if its environment was not made.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.support.wire import running

ROOT = Path(__file__).parents[2]
HERE = Path(__file__).parent
CLIENTS = {
    "triton": ("triton_sync.py", "triton_aio.py"),
    "kserve": ("kserve_rest.py",),
    "generated": ("generated_client.py",),
}
TOKEN = "only-for-this-run"  # noqa: S105  of a server that lives for seconds, on loopback


def main() -> None:
    """Every client in turn."""
    pythons = {name: ROOT / f".venv-conformance-{name}" / "bin" / "python" for name in CLIENTS}
    missing = [str(python) for python in pythons.values() if not python.exists()]
    if missing:
        sys.stderr.write(f"{missing[0]} is missing; make conformance makes it\n")
        sys.exit(2)
    with tempfile.NamedTemporaryFile("w", suffix=".token") as token:
        token.write(TOKEN)
        token.flush()
        sys.exit(asked(pythons, token.name))


def asked(pythons: dict[str, Path], token_file: str) -> int:
    """1 if a client found something wrong, else 0."""
    serve = [os.fspath(Path(sys.executable).with_name("mcdrop")), "serve", os.fspath(ROOT / "models")]
    options = ["--port", "0", "--management-port", "0", "--management-token-file", token_file]
    with running([*serve, *options, "--log-level", "warning"]) as server:
        url = f"http://127.0.0.1:{server.port}"
        management = server.greeting.partition("managed at ")[2].partition(")")[0]
        failed = [
            script
            for name, scripts in CLIENTS.items()
            for script in scripts
            if not passes(pythons[name], script, url, management)
        ]
    sys.stdout.write(f"failed: {', '.join(failed)}\n" if failed else "every client works unchanged\n")
    return int(bool(failed))


def passes(python: Path, script: str, url: str, management: str) -> bool:
    """Whether one client finds everything as it should be."""
    sys.stdout.write(f"{script}\n")
    sys.stdout.flush()
    return subprocess.run([python, HERE / script, url, management, TOKEN], check=False).returncode == 0


if __name__ == "__main__":
    main()
