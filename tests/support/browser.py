"""A real browser without a window: chromium, spoken to over a pipe in the DevTools protocol.

with browser() as chromium:
    page = chromium.open(path, width=360)
"""

import json
import os
import select
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import RawIOBase
from pathlib import Path
from typing import Any, BinaryIO, Final

__all__ = ["CHROMIUM", "Browser", "Page", "browser"]

CHROMIUM: Final = next(
    (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))),
    None,
)
"""Where chromium is; None if it is not installed."""

_PATIENCE_S: Final = 60
_OPTIONS: Final = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--remote-debugging-pipe",
)


@dataclass(frozen=True)
class Page:
    """An open page, and what happened while it was opened.

    Attributes:
        browser: That shows it.
        session: Its name in the protocol.
        requests: Addresses that were asked for.
        complaints: What was written to the console, and errors.
    """

    browser: "Browser"
    session: str
    requests: list[str]
    complaints: list[str]

    def evaluate(self, script: str) -> Any:
        """The value of an expression in the page."""
        answer = self.browser.ask(
            "Runtime.evaluate", {"expression": script, "returnByValue": True}, session=self.session
        )
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def pdf(self) -> str:
        """The printed page, in base64."""
        text: str = self.browser.ask("Page.printToPDF", {}, session=self.session)["data"]
        return text

    def screenshot(self) -> str:
        """The whole page as PNG, in base64."""
        options = {"captureBeyondViewport": True}
        text: str = self.browser.ask("Page.captureScreenshot", options, session=self.session)["data"]
        return text


@dataclass
class Browser:
    """A running chromium.

    Attributes:
        commands: Where it reads.
        answers: Where it writes.
        events: What it said unasked.
        asked: How many commands it got.
        pending: What was read and is not whole yet.
    """

    commands: BinaryIO
    answers: RawIOBase
    events: list[dict[str, Any]] = field(default_factory=list)
    asked: int = 0
    pending: bytes = b""

    def ask(self, method: str, options: dict[str, Any], *, session: str | None = None) -> dict[str, Any]:
        """Send a command and wait for its answer."""
        self.asked += 1
        command: dict[str, Any] = {"id": self.asked, "method": method, "params": options}
        if session is not None:
            command["sessionId"] = session
        self.commands.write(json.dumps(command).encode() + b"\0")
        self.commands.flush()
        while (message := self._next()).get("id") != self.asked:
            self.events.append(message)
        assert "error" not in message, message
        result: dict[str, Any] = message["result"]
        return result

    def open(self, path: Path, *, width: int, scheme: str = "light") -> Page:
        """Open a file at a width in CSS pixels, in the `light` or `dark` scheme."""
        target = self.ask("Target.createTarget", {"url": "about:blank"})["targetId"]
        session = self.ask("Target.attachToTarget", {"targetId": target, "flatten": True})["sessionId"]
        for domain in ("Page", "Network", "Runtime", "Log"):
            self.ask(f"{domain}.enable", {}, session=session)
        metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
        self.ask("Emulation.setDeviceMetricsOverride", metrics, session=session)
        feature = {"name": "prefers-color-scheme", "value": scheme}
        self.ask("Emulation.setEmulatedMedia", {"features": [feature]}, session=session)
        self.events.clear()
        self.ask("Page.navigate", {"url": path.as_uri()}, session=session)
        while not any(event.get("method") == "Page.loadEventFired" for event in self.events):
            self.events.append(self._next())
        return Page(self, session, list(self._requests()), list(self._complaints()))

    def _requests(self) -> Iterator[str]:
        for event in self.events:
            if event.get("method") == "Network.requestWillBeSent":
                yield event["params"]["request"]["url"]

    def _complaints(self) -> Iterator[str]:
        loud = {"Runtime.exceptionThrown", "Runtime.consoleAPICalled", "Log.entryAdded"}
        for event in self.events:
            if event.get("method") in loud:
                yield json.dumps(event["params"])

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self.pending:
            assert select.select([self.answers], [], [], _PATIENCE_S)[0], "chromium says nothing"
            more = os.read(self.answers.fileno(), 2**16)
            assert more, "chromium ended"
            self.pending += more
        text, _, self.pending = self.pending.partition(b"\0")
        message: dict[str, Any] = json.loads(text)
        return message


@contextmanager
def browser() -> Iterator[Browser]:
    """Chromium with a profile of its own, ended at the end."""
    assert CHROMIUM is not None
    its_input, our_output = os.pipe()
    our_input, its_output = os.pipe()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        # it reads from file descriptor 3 and writes to 4
        command = f'exec 3<&{its_input} 4>&{its_output}; exec "$0" "$@"'
        words = ["bash", "-c", command, CHROMIUM, *_OPTIONS, f"--user-data-dir={profile}"]
        process = subprocess.Popen(
            words, pass_fds=(its_input, its_output), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        os.close(its_input)
        os.close(its_output)
        try:
            with os.fdopen(our_output, "wb") as commands, os.fdopen(our_input, "rb", buffering=0) as answers:
                chromium = Browser(commands, answers)
                yield chromium
                chromium.ask("Browser.close", {})
        finally:
            process.terminate()
            process.wait(timeout=20)
