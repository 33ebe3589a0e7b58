"""Several workers as one service: real processes, real signals."""

import os
import signal
import subprocess
import sys
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from tests.service.models import FAKE_SERVER
from tests.support.repository import ROOT
from tests.support.wire import PATIENCE_S, Server, answers, get, post, running, until

WORKER = """
import os, signal, socket, time
from mcdrop_service.supervisor import Ports, supervise

def work(_ports, say):
    signal.signal(signal.SIGTERM, {})
    say(f"{{os.getpid()}}")
    time.sleep(600)

def say(text):
    print(text, flush=True)

ports = Ports(socket.create_server(("127.0.0.1", 0)))
raise SystemExit(supervise([ports], work, reopen=None, say=say, patience_s={patience_s}))
"""
LOGGED = """
import logging, socket
from logging.handlers import MemoryHandler
from mcdrop_service.supervisor import Ports, supervise

def work(_ports, _say):
    keeps = MemoryHandler(capacity=2, target=logging.StreamHandler())
    logging.basicConfig(handlers=[keeps])
    logging.warning("the last words")
    return 0

ports = Ports(socket.create_server(("127.0.0.1", 0)))
supervise([ports], work, reopen=None, say=print, patience_s=1)
"""
ASKED = {"inputs": [[1, 2, 3]], "outputs": ["mean"]}


def each_worker(server: Server) -> list[Server]:
    """The service as seen at each of its ports."""
    ports = [int(url.rpartition(":")[2]) for url in server.greeting.split()]
    return [replace(server, port=port) for port in ports]


def processes(server: Server) -> list[int]:
    """Ids of the workers, in the order in which they started."""
    pid = server.process.pid
    return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def replaced(server: Server, pid: int) -> bool:
    """Whether there are two workers, and none is that one."""
    pids = processes(server)
    return len(pids) == 2 and pid not in pids


def test_workers_answer_alike_and_one_that_dies_is_started_anew_but_not_three_times_in_a_minute() -> None:
    with running(
        [*FAKE_SERVER, "logging"], subprocess.PIPE, MCDROP_WORKERS="2", MCDROP_DRAIN_DELAY_MS="0"
    ) as server:
        first, second = each_worker(server)
        replies = [post(each, "/v1/models/toy/predict", ASKED) for each in (first, second)]
        assert replies[0].status == 200
        assert replies[0].body == replies[1].body
        assert replies[0].headers["x-request-id"] != replies[1].headers["x-request-id"]
        for _ in range(2):
            pid = processes(server)[-1]
            os.kill(pid, signal.SIGKILL)
            until(partial(replaced, server, pid))
            until(lambda: answers(second, "/readyz"))
        assert answers(first, "/readyz")
        os.kill(processes(server)[-1], signal.SIGKILL)
        assert server.process.wait(PATIENCE_S) == 1
        assert not answers(first, "/readyz")
        _, log = server.process.communicate()
        assert log.count("a worker ended and is started anew") == 2
        assert "a worker ended 3 times in a minute: stopping" in log


def test_no_worker_outlives_a_supervisor_that_is_killed() -> None:
    with running(FAKE_SERVER, MCDROP_WORKERS="2", MCDROP_DRAIN_DELAY_MS="0") as server:
        workers, pids = each_worker(server), processes(server)
        server.process.kill()
        server.process.wait(PATIENCE_S)
        until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids))
        assert not any(answers(worker, "/readyz") for worker in workers)


def test_a_second_signal_ends_all_in_the_middle_of_their_drain() -> None:
    with running(FAKE_SERVER, MCDROP_WORKERS="2", MCDROP_DRAIN_DELAY_MS="600000") as server:
        first, _ = each_worker(server)
        pids = processes(server)
        server.process.send_signal(signal.SIGTERM)
        until(lambda: not answers(first, "/readyz"))
        # as from systemd, which also tells the workers themselves: that is no second signal
        for pid in pids:
            os.kill(pid, signal.SIGTERM)
        assert get(first, "/healthz").status == 200
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(PATIENCE_S) == 128 + signal.SIGTERM
        until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids))


@pytest.mark.parametrize(
    ("at_the_signal", "patience_s", "code"),
    [
        ("signal.SIG_IGN", 0.2, 1),  # it is killed when patience is over
        ("lambda *_: os._exit(3)", PATIENCE_S, 1),
        ("lambda *_: os._exit(0)", PATIENCE_S, 0),
    ],
    ids=["goes on", "fails", "ends"],
)
def test_a_stop_ends_with_0_when_every_worker_did_and_in_any_case(
    at_the_signal: str, patience_s: float, code: int
) -> None:
    program = WORKER.format(at_the_signal, patience_s=patience_s)
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as supervisor:
        assert supervisor.stdout is not None
        worker = int(supervisor.stdout.readline())
        sessions = [os.getsid(pid) for pid in (worker, supervisor.pid)]
        supervisor.send_signal(signal.SIGTERM)
        try:
            assert supervisor.wait(PATIENCE_S) == code
        finally:
            supervisor.kill()
            with suppress(ProcessLookupError):
                os.kill(worker, signal.SIGKILL)
                pytest.fail("the worker outlived it")
    assert sessions[0] != sessions[1]  # else Ctrl-C in a terminal reaches both


def test_a_worker_that_cannot_start_ends_the_service_before_the_others_begin() -> None:
    ended = subprocess.run(
        [*FAKE_SERVER, "broken"],
        env={**os.environ, "MCDROP_WORKERS": "3"},
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr.count("a model failed its warm-up: nothing is random\n") == 1


def test_the_log_of_a_worker_has_its_last_words_too_though_it_may_keep_some_for_later() -> None:
    ended = subprocess.run([sys.executable, "-c", LOGGED], capture_output=True, text=True, check=False)
    assert ended.stderr == "the last words\n"


FULL = """
import sys
from mcdrop_service.command import _say
from mcdrop_service.supervisor import _flush
sys.stdout = open("/dev/full", "w")
sys.stdout.write("ready")
_flush()
_say("ready")
"""
ENDS = """
import signal
from pathlib import Path
from mcdrop_service import command
class LongImport:
    @property
    def loading(self):
        signal.raise_signal(signal.SIGTERM)
command.execution = LongImport()
command.serve(Path("models"), port=0, workers=2)
"""
CLOSED = """
import os
from mcdrop_service.command import _say, serve
serve(print_config=True)
raise SystemExit(sum(os.stat("/dev/null").st_rdev != os.fstat(fd).st_rdev for fd in range(3)))
"""


@pytest.mark.parametrize(
    ("program", "streams"),
    [(FULL, ""), (CLOSED, "<&- >&- 2>&-")],
)
def test_that_nobody_can_be_told_is_no_reason_to_end_or_to_end_with_a_fault(
    program: str, streams: str
) -> None:
    shell = f'exec "$0" -c "$1" {streams}'
    assert subprocess.run(["sh", "-c", shell, sys.executable, program], check=False).returncode == 0


def test_a_signal_to_stop_that_comes_before_there_are_workers_ends_the_process() -> None:
    """By a handler of its own: the first process of a container has no other."""
    ended = subprocess.run([sys.executable, "-c", ENDS], cwd=ROOT, check=False)
    assert ended.returncode == 128 + signal.SIGTERM
