"""The lock of a home, and what others learn of who holds it."""

from __future__ import annotations

import errno
import fcntl
import os

import pytest

from toolserver import pidfile
from toolserver.errors import StartError
from toolserver.home import Home
from toolserver.pidfile import (
    PidFile,
    State,
    find_server,
    has_orphans,
    pid_path,
    write_state,
)


@pytest.fixture
def home(tmp_path):
    made = Home(tmp_path)
    made.create()
    return made


@pytest.fixture
def lock(home):
    made = PidFile(home)
    yield made
    os.close(made.descriptor)


@pytest.fixture
def _hurried(monkeypatch):
    """Nobody comes to mend the file: there is no use in waiting for that."""
    monkeypatch.setattr(pidfile, "_UNCLEAR_S", 0.05)


def test_a_server_that_starts_is_found_before_it_tells_anything(home, lock):
    assert find_server(home) == State(os.getpid())
    (home.var / "toolserver.json").write_text('{"pid": "nonsense')
    assert find_server(home) == State(os.getpid())
    told = State(os.getpid(), phase="running", url="http://h/", port=1)
    write_state(home, told)
    assert find_server(home) == told
    # What an earlier one has left says nothing.
    write_state(home, State(1, phase="running"))
    assert find_server(home) == State(os.getpid())


@pytest.mark.usefixtures("_hurried")
def test_a_second_server_is_told_of_the_first(home, lock):
    with pytest.raises(StartError, match=rf"pid {os.getpid()}\), it is still starting"):
        PidFile(home)
    write_state(home, State(os.getpid(), url="http://h:1/"))
    with pytest.raises(StartError, match=r"\) on http://h:1/"):
        PidFile(home)


@pytest.mark.usefixtures("_hurried")
@pytest.mark.parametrize("text", ["", "nonsense", "{pid}\n1\n", "-5\n\n"])
def test_a_file_that_does_not_name_who_holds_it(home, text):
    with pid_path(home).open("w") as stranger:
        stranger.write(text.format(pid=os.getpid()))
        stranger.flush()
        fcntl.flock(stranger, fcntl.LOCK_EX)
        for ask in (PidFile, find_server):
            with pytest.raises(StartError, match="other than the one that it names"):
                ask(home)
    assert find_server(home) is None


def test_a_disk_without_room(home, monkeypatch):
    def write(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr("os.pwrite", write)
        with pytest.raises(StartError, match=r"toolserver.pid: No space left"):
            PidFile(home)
    # Its lock is gone with it.
    assert find_server(home) is None


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"pid": 1, "workers": [{}]}'])
def test_who_has_left_nothing_that_can_be_read_has_left_no_orphans(home, text):
    assert not has_orphans(home)
    (home.var / "toolserver.json").write_text(text)
    assert not has_orphans(home)
