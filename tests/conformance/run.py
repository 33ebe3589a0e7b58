"""Start the service over `models/`, and let every client check it: `make conformance`.

Last comes schemathesis, which asks everything that the OpenAPI document allows and much that it does not: no
answer may be a 5xx, or another than the document says.

Ends with exit code 1 if a client fails, and with 2 if its environment was not made.
"""

import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.support.wire import running

ROOT = Path(__file__).parents[2]
HERE = Path(__file__).parent
CLIENTS = {
    "triton": ("triton_sync.py", "triton_aio.py"),
    "kserve": ("kserve_rest.py",),
    "generated": ("generated_client.py",),
}
SCHEMA = "schema"
# the document cannot say which shape a model wants, so that what it allows may still be refused
FUZZ = ("--exclude-checks", "positive_data_acceptance", "--phases", "examples,coverage,fuzzing")
TOKEN = "only-for-this-run"  # noqa: S105  of a server that lives for seconds, on loopback


def main() -> None:
    """Every client in turn."""
    pythons = {name: ROOT / f".venv-conformance-{name}" / "bin" / "python" for name in (*CLIENTS, SCHEMA)}
    missing = [str(python) for python in pythons.values() if not python.exists()]
    if missing:
        sys.stderr.write(f"{missing[0]} is missing; make conformance makes it\n")
        sys.exit(2)
    with tempfile.TemporaryDirectory() as home:
        sys.exit(asked(pythons, Path(home)))


def asked(pythons: dict[str, Path], home: Path) -> int:
    """1 if a client found something wrong, else 0; what they leave behind goes to `home`."""
    token = home / "token"
    token.write_text(TOKEN)
    serve = [os.fspath(Path(sys.executable).with_name("mcdrop")), "serve", os.fspath(ROOT / "models")]
    options = ["--port", "0", "--management-port", "0", "--management-token-file", os.fspath(token)]
    with running([*serve, *options, "--log-level", "warning"]) as server:
        url = f"http://127.0.0.1:{server.port}"
        management = server.greeting.partition("managed at ")[2].partition(")")[0]
        failed = [
            script
            for name, scripts in CLIENTS.items()
            for script in scripts
            if not passes([pythons[name], HERE / script, url, management, TOKEN], home)
        ]
        schemathesis = pythons[SCHEMA].with_name("schemathesis")
        document = f"{url}/openapi.json"
        if not passes([schemathesis, "run", document, "--url", url, "--seed", "1", "-n", "40", *FUZZ], home):
            failed.append("schemathesis")
    sys.stdout.write(f"failed: {', '.join(failed)}\n" if failed else "every client works unchanged\n")
    return int(bool(failed))


def passes(command: Sequence[str | Path], home: Path) -> bool:
    """Whether one client finds everything as it should be."""
    sys.stdout.write(f"{Path(command[0]).name} {Path(command[1]).name}\n")
    sys.stdout.flush()
    return subprocess.run(command, cwd=home, check=False).returncode == 0


if __name__ == "__main__":
    main()
