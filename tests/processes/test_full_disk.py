"""A disk that is full, as the server starts and while it runs: all of it but the tools.

The whole home and the folder of temporary files are on a small disk of their own.
"""

import json
import re
import signal
import subprocess
from contextlib import contextmanager, suppress

import gevent
import pytest

from tests.processes.servers import server, wait_for

TOOLS = """
from toolserver import StandardTool, register


@register("disk")
class Disk(StandardTool):
    def fine(self) -> str:
        return "fine"

    def keep(self, text: str) -> str:
        self.storage.write("note", text)
        return "kept"

    def kept(self) -> str:
        return self.storage.read_text("note")

    def upload(self, file) -> int:
        return len(file)

    def count(self) -> int:
        self.counted = getattr(self, "counted", 0) + 1
        return self.counted

    def queue(self) -> str:
        return self.enqueue(1, self.fine).id
"""
SETTINGS = """
[server]
stop_timeout = 2.0

[ops]
status = true
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A home on a file system of a few MiB, where the machine lets us have one."""
    folder = tmp_path_factory.mktemp("disk")
    mounting = ["mount", "-t", "tmpfs", "-o", "size=4m", "toolserver-tests", folder]
    if subprocess.run(mounting, capture_output=True).returncode:
        pytest.skip("no file system can be mounted")
    try:
        (folder / "tmp").mkdir()
        yield folder / "home"
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


@contextmanager
def filled(home):
    """Leave no byte of the disk."""
    filler = home.parent / "filler"
    with suppress(OSError), filler.open("wb", buffering=0) as file:
        for size in (65536, 4096, 1):
            with suppress(OSError):
                while True:
                    file.write(bytes(size))
    try:
        yield
    finally:
        filler.unlink()


@pytest.fixture(scope="module")
def running(home):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TMPDIR", str(home.parent / "tmp"))
        with server(home, workers=1, settings=SETTINGS, tools=TOOLS) as found:
            yield found


def ask(running, method, **options):
    return running.session.post(f"{running.url}/disk/{method}", timeout=30, **options)


def upload(running):
    return ask(running, "upload", files={"file": ("big", bytes(1_500_000))})


def test_what_needs_no_disk_is_answered_and_the_rest_is_refused(running):
    # Python chooses the folder of temporary files once, where it can write.
    assert upload(running).json() == 1_500_000
    assert ask(running, "keep", json={"text": "before"}).text == "kept"
    key = {"Idempotency-Key": "0123456789abcdef"}
    ids = []
    with filled(running.home):
        assert ask(running, "fine").text == "fine"
        refused = [
            ask(running, "keep", json={"text": 10_000 * "after"}),
            upload(running),
            ask(running, "count", headers=key),
        ]
        while (queued := ask(running, "queue")).ok:
            ids.append(queued.text)
        refused.append(queued)
        assert [answer.status_code for answer in refused] == [500, 503, 503, 503]
        for answer in refused:
            assert "Traceback" not in answer.text
            assert str(running.home) not in answer.text
        ready = running.session.get(f"{running.url}/health/ready", timeout=20)
        assert ready.status_code == 503
        live = running.session.get(f"{running.url}/health/live", timeout=20)
        assert live.status_code == 200
    # What was refused was not done, and what was accepted is not lost.
    assert ask(running, "kept").text == "before"
    assert upload(running).json() == 1_500_000
    assert ask(running, "count", headers=key).json() == 1
    assert ask(running, "count", headers=key).json() == 1
    ids.append(ask(running, "queue").text)
    for id_ in ids:
        url = f"{running.url}/jobs/{id_}/result?wait=20"
        assert running.session.get(url, timeout=30).text == "fine"


def test_logs_go_on_when_there_is_room_again(running):
    access = running.home / "log" / "access.log"
    with filled(running.home):
        # Until what was left of a block of the file is full, too.
        size = -1
        while size != (size := access.stat().st_size):
            for _ in range(50):
                assert ask(running, "fine").text == "fine"
            gevent.sleep(0.2)
    lost = "access.log: [0-9]+ lines lost: No space left on device"

    def is_told():
        assert ask(running, "fine", headers={"User-Agent": "after"}).text == "fine"
        return re.search(lost, running.log)

    wait_for(is_told)
    assert '"after"\n' in access.read_text()


def test_what_ends_a_server_to_start_another_leaves_it_running(running):
    pid = running.pid
    with filled(running.home):
        for command in ("reload", "restart"):
            done = running.tsctl(command, check=False)
            assert done.returncode == 1
            assert done.stderr == (
                f"Error: {running.home}/var: cannot be written: "
                "No space left on device\n"
            )
        assert json.loads(running.tsctl("status", "--json").stdout)["pid"] == pid
        running.kill(pid, signal.SIGUSR2)
        wait_for(lambda: ask(running, "fine").ok)
    assert ask(running, "fine").text == "fine"
    assert running.pid == pid


def test_commands_name_the_file_that_cannot_be_written(running):
    with filled(running.home):
        for words, file in (
            (["token", "ann", "--for", "disk"], "config/tokens"),
            (["groups", "add", "staff", "ann"], "config/groups"),
            (["init"], "config/toolserver.toml"),
        ):
            done = running.tsctl(*words, check=False)
            assert done.returncode == 1
            assert done.stderr == (
                f"Error: {running.home}/{file}: cannot be written: "
                "No space left on device\n"
            )
    # None is half written.
    assert ask(running, "fine").ok
    assert running.tsctl("config").returncode == 0


def test_a_server_that_finds_no_room_says_so(running):
    running.tsctl("stop")
    with filled(running.home):
        done = running.tsctl("start", "--port", "0", check=False)
        assert done.returncode == 1
        assert "No space left on device" in done.stderr
        assert str(running.home / "var") in done.stderr
        assert done.stderr.count("\n") == 1
    running.tsctl("start", "--port", "0")
    assert ask(running, "kept").text == "before"
