"""Workers that cannot start at times, and servers whose surroundings are odd."""

import os
import signal
import socket
import subprocess
import tempfile
import time

import pytest

from tests.processes.servers import TOOLS, wait_for
from tests.processes.test_supervision import launched, lives
from toolserver.daemon import server_command
from toolserver.errors import StartError
from toolserver.home import Home
from toolserver.metrics.totals import SheetReader
from toolserver.processes import activation, child
from toolserver.processes.child import Child
from toolserver.processes.unhandled import _shown
from toolserver.sharing.hub import Hub

#: Workers whose numbers stand in a file end as they load their tools.
FAILING = """
import os
import sys
import time
from pathlib import Path

home = Path(__file__).parents[1]
bad = home / "bad"
for number in bad.read_text() if bad.exists() else "":
    if f"--worker={number}" in sys.argv:
        os._exit(3)
while (home / "slow").exists() and "--worker=1" in sys.argv:
    (home / "begun").touch()
    time.sleep(0.01)
"""


def configure(found, workers, **options):
    lines = ["[server]", "port = 0", f"workers = {workers}", "stop_timeout = 3.0"]
    lines += [f"{name} = {value}" for name, value in options.items()]
    path = found.home / "config" / "toolserver.toml"
    path.write_text("\n".join([*lines, ""]))


def test_workers_that_cannot_start_for_now(tmp_path):
    with launched(tmp_path / "home", "not", tools=FAILING + TOOLS) as found:
        configure(found, 4)
        bad = found.home / "bad"
        # None at all: the server does not start.
        bad.write_text("0")
        done = found.tsctl("start", check=False)
        assert done.returncode == 1
        assert "a worker ended before it was ready (exit code 3)" in done.stderr
        bad.unlink()
        found.tsctl("start")
        before = found.workers
        assert len(before) == 4

        # One that dies, and cannot be started again for some time.
        bad.write_text("1")
        found.kill(before[1])
        wait_for(lambda: "worker not started: a worker ended" in found.log)
        assert found.call("demo.pid") in {*before} - {before[1]}
        bad.unlink()
        wait_for(lambda: len(found.workers) == 4)

        # A reload of which only the first part succeeds.
        bad.write_text("1")
        before = found.workers
        done = found.tsctl("reload", check=False)
        assert done.returncode == 1
        assert "1 of 4 workers have been replaced" in done.stderr
        after = found.workers
        assert len(set(before) & set(after)) == 3

        # Of those that are being started again one is needed no more, like another
        # one that serves.
        bad.write_text("12")
        for number in (1, 2):
            found.kill(after[number])
        wait_for(lambda: found.log.count("worker not started") >= 4)
        bad.unlink()
        configure(found, 2)
        found.tsctl("reload")
        assert len(found.workers) == 2
        wait_for(lambda: not any(lives(pid) for pid in after))
        assert found.call("demo.pid") in found.workers
        found.tsctl("stop")


def test_a_worker_gets_the_signals_of_the_time_when_it_loaded(tmp_path):
    with launched(tmp_path / "home", "not", tools=FAILING + TOOLS) as found:
        configure(found, 2)
        found.tsctl("start")
        slow, log = found.home / "slow", found.home / "log" / "access.log"
        slow.touch()
        found.kill(found.workers[1])
        wait_for((found.home / "begun").exists)
        log.rename(log.with_suffix(".old"))
        found.kill(found.pid, signal.SIGUSR1)
        wait_for(log.exists)
        slow.unlink()
        wait_for(lambda: len(found.workers) == 2)
        wait_for(lambda: found.call("demo.pid") == found.workers[1])
        found.tsctl("stop")


def test_files_are_watched_until_the_end(tmp_path):
    settings = "[server]\nport = 0\nworkers = 2\n"
    with launched(tmp_path / "home", "--reload", settings=settings) as found:
        master = found.pid
        found.tsctl("stop")
        assert not lives(master)
    assert "Traceback" not in found.log


def test_settings_that_are_broken_while_files_are_watched(tmp_path):
    with launched(tmp_path / "home", "not", tools=TOOLS) as found:
        configure(found, 1)
        found.tsctl("start", "--reload")
        before = found.call("demo.pid")
        path = found.home / "config" / "toolserver.toml"
        path.write_text("[server]\nprot = 1\n")
        wait_for(lambda: "the old code goes on serving" in found.log)
        assert "unknown setting server.prot" in found.log
        assert found.call("demo.pid") == before
        # Another port is taken by the server that is executed anew.
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        path.write_text(f"[server]\nport = {port}\n")
        wait_for(lambda: f":{port}" in (found.state["url"] or ""))
        wait_for(lambda: found.call("demo.pid"))
        found.tsctl("stop")


def test_a_server_that_fails_within_says_where_it_is_told(tmp_path):
    tools = """
from toolserver.http.transport import HTTPServer

def start(self):
    raise RuntimeError("sabotaged")

HTTPServer.start = start
"""
    with launched(tmp_path / "home", "not", tools=tools) as found:
        for more in ((), ("--foreground",)):
            done = found.tsctl("start", "--port", "0", *more, check=False)
            assert done.returncode == 1
            assert "internal error: RuntimeError: sabotaged; see " in done.stderr
        assert "Traceback" in found.log


def test_nobody_waits_for_the_server_any_more(tmp_path):
    """And in the foreground its terminal is kept when logs are opened anew."""
    with launched(tmp_path / "home", "not", tools=TOOLS) as found:
        configure(found, 1)
        reader, writer = os.pipe()
        os.close(reader)
        process = subprocess.Popen(
            server_command(Home(found.home), [f"--ready-fd={writer}"]),
            pass_fds=[writer],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        os.close(writer)
        wait_for(lambda: "who started the server has not waited for it" in found.log)
        wait_for(lambda: found.call("demo.pid") == process.pid)
        log = found.home / "log" / "access.log"
        wait_for(log.exists)
        log.unlink()
        process.send_signal(signal.SIGUSR1)
        wait_for(log.exists)
        process.terminate()
        assert "stopped" in process.communicate(timeout=20)[1]


# --- parts


def test_a_process_that_cannot_be_executed_leaves_nothing_behind(tmp_path, monkeypatch):
    def fails(*args, **options):
        raise BlockingIOError("no more processes")

    hub, sheet = Hub(), SheetReader()
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        tempfile.TemporaryFile() as tally,
    ):
        before = len(os.listdir("/proc/self/fd"))
        monkeypatch.setattr(child.subprocess, "Popen", fails)
        with pytest.raises(BlockingIOError):
            Child(Home(tmp_path), [], listener, tally, hub, sheet, 0)
        wait_for(lambda: len(os.listdir("/proc/self/fd")) == before, seconds=5)
    hub.close()
    sheet.memory.close()
    sheet.file.close()


def test_a_descriptor_that_is_no_socket(monkeypatch):
    with tempfile.TemporaryFile() as file:
        monkeypatch.setattr(activation, "_FIRST", file.fileno())
        variables = {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "1"}
        with pytest.raises(StartError, match="is no socket: "):
            activation.take_activated(variables)


def test_what_cannot_be_shown_is_told_by_its_class():
    class Odd:
        def __repr__(self):
            raise ValueError("no words")

    assert _shown(Odd()) == "a Odd"
    assert _shown(time) == repr(time)
