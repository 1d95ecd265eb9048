"""``start``, ``stop``, ``status``, ``restart``: real servers, real signals."""

import fcntl
import http.client
import os
import signal
import socket
import subprocess
import sys
import time
from urllib.parse import urlsplit

import pytest

from .conftest import TOOL, ask, run, status, wait_for


def get(url, path):
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=10)
    try:
        connection.request("GET", path)
        return connection.getresponse().read().decode()
    finally:
        connection.close()


def spawn(home, *words):
    """A command that stays."""
    return subprocess.Popen(
        [sys.executable, "-m", "toolserver", "--home", str(home), *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def end(process, number=signal.SIGTERM):
    process.send_signal(number)
    out, err = process.communicate(timeout=30)
    assert "Traceback" not in err
    return out, err


def test_round_trip(home):
    assert status(home)["running"] is False
    before = run(home, "status")
    assert (before.code, before.out) == (3, "not running\n")

    started = run(home, "start", "--port", "0")
    assert started.code == 0, started.err
    found = status(home)
    assert found["running"] is True
    assert found["url"] in started.out
    assert f"pid {found['pid']}" in started.out
    assert get(found["url"], "/shop/orders/place?item=book&count=2") == "2 book"
    shown = run(home, "status")
    assert shown.code == 0
    assert shown.out.startswith("running since ")

    again = run(home, "start", "--port", "0")
    assert (again.code, again.err) == (
        1,
        f"Error: already running (pid {found['pid']}) on {found['url']}\n",
    )

    # Rotation: what follows goes to a new file of the name.
    log = home / "log" / "access.log"
    wait_for(lambda: "GET /shop/orders/place?item=book&count=2" in log.read_text())
    log.rename(home / "log" / "access.log.1")
    os.kill(found["pid"], signal.SIGUSR1)
    wait_for(log.exists)
    get(found["url"], "/rotated")
    wait_for(lambda: "GET /rotated" in log.read_text())

    stopped = run(home, "stop")
    assert (stopped.code, stopped.out) == (0, f"stopped (pid {found['pid']})\n")
    after = status(home)
    assert (after["running"], after["pid"], after["url"]) == (False, None, None)
    twice = run(home, "stop")
    assert (twice.code, twice.out) == (0, "not running\n")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_foreground(home, number):
    process = spawn(home, "start", "--foreground", "--port", "0")
    found = wait_for(lambda: (it := status(home))["running"] and it)
    # The command itself has become the server.
    assert found["pid"] == process.pid
    assert get(found["url"], "/shop/orders/sizes")
    out, err = end(process, number)
    assert process.returncode == 0
    assert found["url"] in out
    assert "stopped" in err
    assert status(home)["running"] is False


def test_taken_port(home):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        for words in (["start"], ["start", "--foreground"]):
            done = run(home, *words, "--port", port)
            assert done.code == 1
            assert f"port {port} of 127.0.0.1 is taken" in done.err
            # In the foreground the error log is shown, too; else there is one line.
            assert done.err.count("\n") == 1
    assert status(home)["pid"] is None


def test_a_folder_where_the_lock_should_be(home):
    lock = home / "var" / "toolserver.pid"
    lock.mkdir()
    done = run(home, "start", "--foreground")
    assert (done.code, done.out) == (1, "")
    assert done.err == f"Error: {lock}: Is a directory\n"
    lock.rmdir()


def test_two_starts_at_once(home):
    both = [spawn(home, "start", "--port", "0") for _ in range(2)]
    ended = [(process.communicate(timeout=40), process.returncode) for process in both]
    assert sorted(code for _, code in ended) == [0, 1]
    found = status(home)
    (message,) = [err for (_, err), code in ended if code]
    assert message == f"Error: already running (pid {found['pid']}) on {found['url']}\n"


def test_killed_server_is_no_obstacle(home):
    run(home, "start", "--port", "0")
    pid = status(home)["pid"]
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: status(home)["pid"] is None)
    started = run(home, "start", "--port", "0")
    assert started.code == 0, started.err
    assert status(home)["pid"] != pid


@pytest.mark.parametrize("is_locked", [False, True])
def test_pid_of_a_stranger_is_not_signalled(home, is_locked):
    stranger = subprocess.Popen(["sleep", "60"])
    try:
        file = home / "var" / "toolserver.pid"
        with file.open("w") as stream:
            stream.write(f"{stranger.pid}\n12345\n")
            stream.flush()
            if is_locked:
                fcntl.flock(stream, fcntl.LOCK_EX)
            stopped = run(home, "stop")
        assert stranger.poll() is None
        if is_locked:
            assert stopped.code == 1
            assert "locked by a process other than the one that it names" in stopped.err
        else:
            assert (stopped.code, stopped.out) == (0, "not running\n")
    finally:
        stranger.kill()
        stranger.wait()


def test_stop_waits_and_kills_only_by_force(home):
    tool = home / "tools" / "orders.py"
    hook = "    def on_stop(self):\n        gevent.sleep(60)\n"
    tool.write_text(f"import gevent\n{TOOL}{hook}")
    assert run(home, "start", "--port", "0").code == 0
    pid = status(home)["pid"]
    patient = run(home, "stop", "--timeout", "0.3")
    assert patient.code == 1
    assert f"still stopping after 0.3 s (pid {pid})" in patient.err
    assert status(home)["phase"] == "stopping"
    forced = run(home, "stop", "--force", "--timeout", "0.1")
    assert (forced.code, forced.out) == (0, f"killed (pid {pid})\n")
    assert status(home)["pid"] is None


def test_a_server_that_never_starts_can_be_ended(home):
    (home / "tools" / "endless.py").write_text("while True:\n    pass\n")

    starting = spawn(home, "start", "--port", "0")
    wait_for(lambda: status(home)["pid"])
    end(starting, signal.SIGINT)
    assert starting.returncode == 130
    assert status(home)["pid"] is None
    starting = spawn(home, "start", "--port", "0")
    pid = wait_for(lambda: status(home)["pid"])
    begun = time.monotonic()
    forced = run(home, "stop", "--force")
    assert (forced.code, forced.out) == (0, f"killed (pid {pid})\n")
    assert time.monotonic() - begun < 10
    assert "killed by SIGKILL" in starting.communicate(timeout=20)[1]
    assert starting.returncode == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x = 1\ndef f(:\n", ":2: SyntaxError: "),
        ("import nowhere_to_be_found\n", ":1: cannot be imported: ModuleNotFoundError"),
        (
            TOOL + "    def on_start(self):\n        raise OSError('no database')\n",
            "shop.orders: on_start failed: OSError: no database",
        ),
    ],
)
def test_tool_that_cannot_be_loaded(home, text, message):
    (home / "tools" / "orders.py").write_text(text)
    done = run(home, "start", "--port", "0")
    assert done.code == 1
    assert message in done.err
    assert "orders.py:" in done.err
    assert done.err.count("\n") == 1
    assert status(home)["pid"] is None


def test_tool_that_ends_the_process(home):
    (home / "tools" / "orders.py").write_text("import os\nos._exit(7)\n")
    done = run(home, "start", "--port", "0")
    assert done.code == 1
    assert done.err.startswith(
        "Error: the server ended before it was ready (exit code 7); see "
    )


def test_greenlet_that_fails_is_logged(home):
    hook = "    def on_start(self):\n        gevent.spawn(int, 'a\\x1b[31m')\n"
    (home / "tools" / "orders.py").write_text(f"import gevent\n{TOOL}{hook}")
    assert run(home, "start", "--port", "0").code == 0
    log = home / "log" / "error.log"
    wait_for(lambda: "ValueError" in log.read_text())
    assert " ERROR toolserver.serve: unhandled in <Greenlet" in log.read_text()
    assert "\x1b" not in log.read_text()


def test_restart(home):
    assert run(home, "restart", "--port", "0").code == 0
    first = status(home)["pid"]
    (home / "tools" / "bad.py").write_text("(")
    refused = run(home, "restart", "--port", "0")
    assert refused.code == 1
    assert "bad.py:1: SyntaxError" in refused.err
    assert status(home)["pid"] == first
    (home / "tools" / "bad.py").unlink()
    done = run(home, "restart", "--set", "server.port=0")
    assert done.out.startswith(f"stopped (pid {first})\nToolserver is running")
    assert status(home)["pid"] not in (None, first)


def test_restart_at_a_port_that_is_taken_leaves_the_old_server_running(home):
    assert run(home, "start", "--port", "0").code == 0
    first = status(home)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        refused = run(home, "restart", "--port", port)
    assert refused.code == 1
    assert f"port {port} of 127.0.0.1 is taken" in refused.err
    assert status(home)["pid"] == first["pid"]
    # Its own port is no obstacle.
    again = run(home, "restart", "--port", urlsplit(first["url"]).port)
    assert (again.code, again.err) == (0, "")
    assert status(home)["pid"] not in (None, first["pid"])


def test_reload(home):
    tool = home / "tools" / "orders.py"
    log = home / "log" / "error.log"
    started = run(home, "start", "--port", "0", "--reload")
    assert started.code == 0, started.err
    first = status(home)

    tool.write_text(TOOL.replace("def place(", "def place(("))
    wait_for(lambda: "the old code goes on serving" in log.read_text())
    assert f"{tool}:9: SyntaxError" in log.read_text()
    assert get(first["url"], "/shop/orders/place?item=book") == "1 book"

    # A changed tool takes the place of the old one in the running server.
    tool.write_text(TOOL.replace('f"{count} {item}"', '"new"'))
    wait_for(lambda: "loaded again: shop.orders" in log.read_text())
    assert status(home)["url"] == first["url"]
    assert get(first["url"], "/shop/orders/place?item=book") == "new"
    tool.write_text(TOOL + "    def on_start(self):\n        raise OSError('no')\n")
    wait_for(lambda: "on_start failed: OSError: no" in log.read_text())
    assert get(first["url"], "/shop/orders/place?item=book") == "new"

    # For other changes the process starts anew. The new one does not start: the
    # next change mends it.
    (home / "tools" / "more.py").write_text("more = 1")
    wait_for(lambda: "waiting for a change" in log.read_text())
    tool.write_text(TOOL)
    second = wait_for(lambda: (it := status(home))["running"] and it)
    assert second["pid"] == first["pid"]
    assert get(second["url"], "/shop/orders/place?item=book") == "1 book"
    # The lock has come along.
    assert "already running" in run(home, "start", "--port", "0").err
    assert run(home, "stop").code == 0


def test_nothing_is_loaded_anew_where_nothing_runs(home):
    done = ask(home, "reload")
    assert (done.code, done.out, done.err) == (3, "", "Error: not running\n")


def test_status_of_a_home_that_was_never_made(tmp_path):
    assert status(tmp_path / "none")["running"] is False
