"""Starting, reloading and stopping a server that does not do as it should."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import gevent
import pytest

from tests.http.raw_http import wait_for
from toolserver import daemon
from toolserver.errors import StartError
from toolserver.home import Home
from toolserver.pidfile import PidFile, State, find_server, write_state

#: Holds the lock of a home, and does with signals as it is told.
HOLDER = """
import os, signal, sys
from pathlib import Path
from toolserver.home import Home
from toolserver.pidfile import PidFile, State, write_state

home = Home(Path(sys.argv[1]))
lock = PidFile(home)
signal.signal(signal.SIGUSR2, lambda *_: os._exit(1) if "ends" in sys.argv else None)
if "stays" in sys.argv:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
write_state(home, State(os.getpid(), phase="running"))
print(flush=True)
while True:
    signal.pause()
"""


@pytest.fixture
def home(tmp_path):
    made = Home(tmp_path)
    made.create()
    made.settings_file.write_text("[server]\nport = 0\n")
    return made


@pytest.fixture
def hold(home):
    """Starts a process that holds the lock."""
    started = []

    def start(*how):
        process = subprocess.Popen(
            [sys.executable, "-c", HOLDER, str(home.path), *how],
            stdout=subprocess.PIPE,
            env=daemon.server_environment(),
        )
        started.append(process)
        process.stdout.readline()
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def test_nothing_runs(home):
    assert daemon.reload(home) is None
    assert daemon.stop(home) is None


def test_a_server_that_stops_cannot_be_loaded_anew(home):
    lock = PidFile(home)
    write_state(home, State(os.getpid(), phase="stopping"))
    with pytest.raises(StartError, match=rf"is stopping \(pid {os.getpid()}\)"):
        daemon.reload(home)
    os.close(lock.descriptor)


def test_a_server_that_ends_as_it_loads(home, hold):
    hold("ends")
    with pytest.raises(StartError, match=r"the server has ended; see .*error.log"):
        daemon.reload(home, timeout=60)


def test_a_server_that_takes_long_to_load(home, hold):
    hold()
    with pytest.raises(StartError, match=r"still loading after 0.1 s; see .*error.log"):
        daemon.reload(home, timeout=0.1)


def test_a_system_without_descriptors_of_processes(home, hold, monkeypatch):
    monkeypatch.delattr("os.pidfd_open")
    process = hold()
    assert str(daemon.stop(home, timeout=60)) == f"stopped (pid {process.pid})"
    assert process.wait(60) == -signal.SIGTERM


def test_a_server_that_does_not_end_is_killed(home, hold):
    process = hold("stays")
    with pytest.raises(StartError, match=rf"still stopping .* \(pid {process.pid}\)"):
        daemon.stop(home, timeout=0.1)
    assert str(daemon.stop(home, timeout=0.1, force=True)).startswith("killed")
    assert process.wait(60) == -signal.SIGKILL


def test_another_process_is_left_alone(home, hold, monkeypatch):
    process = hold()
    other = subprocess.Popen(["sleep", "60"])
    try:
        daemon._signal(home, other.pid, signal.SIGKILL)
        gone = subprocess.Popen(["true"])
        gone.wait()
        daemon._signal(home, gone.pid, signal.SIGKILL)
        assert other.poll() is None
    finally:
        other.kill()
        other.wait()

    def refuse(pid):
        raise PermissionError

    monkeypatch.setattr("os.pidfd_open", refuse)
    told = rf"\(pid {process.pid}\) belongs to another user"
    with pytest.raises(StartError, match=told):
        daemon.stop(home)


@pytest.mark.parametrize(
    ("code", "told"),
    [
        (3, "exit code 3"),
        (-9, "killed by SIGKILL"),
        (-250, "killed by signal 250"),
    ],
)
def test_ends_in_words(code, told):
    assert daemon.ending(code) == told


def test_a_tool_that_ends_the_process_that_tries_it(home):
    tool = home.tools / "ends.py"
    tool.write_text("import os, sys\nprint('so long', file=sys.stderr)\nos._exit(7)\n")
    with pytest.raises(StartError, match=r"cannot be loaded \(exit code 7\): so long"):
        daemon.check(home)


#: Tells that it is there, and never gets any further.
ENDLESS = """
import os, pathlib, signal, time

signal.signal(signal.SIGTERM, signal.SIG_IGN)
pathlib.Path({!r}).write_text(str(os.getpid()))
while True:
    time.sleep(1)
"""


@pytest.fixture
def endless(home, tmp_path):
    """A home with a tool that is imported without end; tells its process."""
    begun = tmp_path / "begun"
    (home.tools / "endless.py").write_text(ENDLESS.format(str(begun)))

    def pid():
        return begun.exists() and begun.read_text()

    return lambda: int(wait_for(pid, timeout=60))


def test_a_server_that_is_never_ready(home, endless, monkeypatch):
    monkeypatch.setattr(daemon, "START_S", 0.2)
    with pytest.raises(StartError, match="not ready after 0 s, but still star") as told:
        daemon.start(home)
    pid = int(re.search(r"\(pid (\d+)\)", str(told.value))[1])
    assert endless() == pid
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


def test_who_gives_up_leaves_no_server_half_started(home, endless, monkeypatch):
    monkeypatch.setattr(daemon, "_START_GRACE_S", 0.1)
    starting = gevent.spawn(daemon.start, home)
    pid = endless()
    starting.kill()
    assert not Path(f"/proc/{pid}").exists()
    assert find_server(home) is None
