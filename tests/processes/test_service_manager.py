"""Readiness, watchdog and socket activation, with real sockets and processes."""

import os
import signal
import socket
import time

import gevent
import pytest

from tests.processes.servicemanager import Manager, managed
from toolserver.processes.activation import take_activated
from toolserver.processes.notification import Notifier

TOOLS = """
import os

from gevent.monkey import get_original

from toolserver import StandardTool, register


@register("demo")
class Demo(StandardTool):
    def pid(self) -> int:
        return os.getpid()

    def block(self, seconds: float) -> int:
        get_original("time", "sleep")(seconds)
        return os.getpid()

    def variables(self) -> list[str]:
        return list(os.environ)
"""
OURS = {"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "LISTEN_FDS", "LISTEN_PID"}


def longest_silence(server, manager):
    """How long nothing is heard while a call holds up the loop, seconds."""
    block = gevent.spawn(server.call, "demo.block", seconds=1.0)
    longest, last = 0.0, time.monotonic()
    while not block.ready():
        assert manager.next(5) is not None
        now = time.monotonic()
        longest, last = max(longest, now - last), now
    return longest


@pytest.fixture
def manager(tmp_path):
    found = Manager(str(tmp_path))
    yield found
    found.close()


def listening(path=None):
    listener = socket.socket(socket.AF_UNIX if path else socket.AF_INET)
    listener.bind(path or ("127.0.0.1", 0))
    listener.listen(16)
    return listener


def connect(listener):
    """A request that is sent now and answered when there is a server."""
    client = socket.create_connection(listener.getsockname(), timeout=20)
    client.sendall(b"GET /demo/pid HTTP/1.1\r\nHost: localhost\r\n\r\n")
    return client


def test_the_life_of_a_server_is_told(tmp_path):
    with managed(tmp_path, "--port", "0", tools=TOOLS) as (server, process, manager):
        ready = manager.wait_for("READY")
        assert ready == {
            "pid": str(process.pid),
            "READY": "1",
            "STATUS": f"serving on {server.state['url']}",
        }
        assert not OURS & set(server.call("demo.variables"))

        before_us = time.monotonic_ns() // 1000
        server.tsctl("reload")
        reloading = manager.next()
        assert reloading["RELOADING"] == "1"
        after_us = time.monotonic_ns() // 1000
        assert before_us <= int(reloading["MONOTONIC_USEC"]) <= after_us
        # It was told before the command had ended.
        again = manager.next(0.5)
        assert (again["READY"], again["STATUS"]) == ("1", ready["STATUS"])

        (server.home / "tools" / "demo.py").write_text("import nothing_like_it\n")
        assert server.tsctl("reload", check=False).returncode == 1
        assert "RELOADING" in manager.next()
        failed = manager.next(0.5)
        assert failed["READY"] == "1"
        assert failed["STATUS"].startswith("not reloaded: ")
        assert "nothing_like_it" in failed["STATUS"]

        process.send_signal(signal.SIGTERM)
        assert manager.next()["STOPPING"] == "1"
        assert process.wait(20) == 0
        assert manager.next(0.01) is None


def test_why_a_server_does_not_start_is_told(tmp_path):
    taken = listening()
    port = str(taken.getsockname()[1])
    with taken, managed(tmp_path, "--port", port) as (_, process, manager):
        told = manager.wait_for("STATUS")
        assert told["STATUS"].startswith(f"failed: port {port} of 127.0.0.1 is taken")
        assert process.wait(20) == 1


def test_the_watchdog_is_fed_while_the_loop_turns(tmp_path):
    variables = {"WATCHDOG_USEC": "200000"}
    with managed(tmp_path, "--port", "0", tools=TOOLS, **variables) as found:
        server, _, manager = found
        manager.wait_for("READY")
        for _ in range(3):
            assert "WATCHDOG" in manager.next(20)
        assert longest_silence(server, manager) > 0.7
        assert "WATCHDOG" in manager.next(20)

        # The loop does not turn while the process is executed anew and loads.
        server.tsctl("reload")
        longer = manager.wait_for("WATCHDOG_USEC", 20)
        assert longer["WATCHDOG_USEC"] == "300000000"
        assert manager.wait_for("WATCHDOG_USEC", 20)["WATCHDOG_USEC"] == "200000"
        assert "WATCHDOG" in manager.next(20)


@pytest.mark.parametrize("prefix", ["", "@"])
def test_both_kinds_of_addresses_are_known(tmp_path, prefix):
    path = f"toolserver-{os.getpid()}" if prefix else str(tmp_path / "socket")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(f"\0{path}" if prefix else path)
        receiver.settimeout(5)
        Notifier({"NOTIFY_SOCKET": prefix + path}).tell_status("a\nREADY=1  b")
        assert receiver.recv(100) == b"STATUS=a READY=1 b"


@pytest.mark.parametrize(
    "variables",
    [
        {"WATCHDOG_USEC": "20000", "WATCHDOG_PID": "1"},
        {"WATCHDOG_USEC": "0"},
        {"WATCHDOG_USEC": "soon"},
        {},
    ],
)
def test_a_watchdog_that_is_not_ours_is_not_fed(manager, variables):
    notifier = Notifier({"NOTIFY_SOCKET": manager.address, **variables})
    notifier.tell_ready("here")
    assert manager.next()["READY"] == "1"
    assert manager.next(0.1) is None


def test_who_does_not_listen_is_no_failure(tmp_path, caplog):
    Notifier({"NOTIFY_SOCKET": str(tmp_path / "nobody")}).tell_stopping()
    assert "the service manager was not told 'STOPPING=1'" in caplog.text
    caplog.clear()
    for address in ("", "vsock:2:1234"):
        Notifier({"NOTIFY_SOCKET": address}).tell_stopping()
    assert caplog.text == ""


def test_a_port_is_taken_over_and_outlives_the_server(tmp_path):
    words = ("--port", "1")
    with listening() as listener:
        port = listener.getsockname()[1]
        with (
            connect(listener) as early,
            managed(tmp_path, *words, listener=listener, tools=TOOLS) as found,
        ):
            server, process, manager = found
            manager.wait_for("READY")
            assert early.recv(1000).startswith(b"HTTP/1.1 200 ")
            assert server.url == f"http://127.0.0.1:{port}"
            server.tsctl("reload")
            assert not OURS & set(server.call("demo.variables"))
            process.send_signal(signal.SIGTERM)
            assert process.wait(20) == 0
        words += ("--workers", "2")
        variables = {"WATCHDOG_USEC": "200000"}
        with (
            connect(listener) as late,
            managed(
                tmp_path, *words, listener=listener, tools=TOOLS, **variables
            ) as found,
        ):
            server, process, manager = found
            status = f"serving on http://127.0.0.1:{port}, 2 workers"
            assert manager.wait_for("READY")["STATUS"] == status
            assert late.recv(1000).startswith(b"HTTP/1.1 200 ")
            assert not OURS & set(server.call("demo.variables"))
            # A busy worker is not the master, which alone is heard.
            assert longest_silence(server, manager) < 0.9
            server.tsctl("reload")
            assert manager.wait_for("READY")["pid"] == str(process.pid)
            assert server.call("demo.pid") in server.workers


def test_the_socket_of_the_service_manager_stays_on_disk(tmp_path):
    path = str(tmp_path / "s")
    with (
        listening(path) as listener,
        managed(tmp_path, listener=listener) as (server, process, manager),
    ):
        manager.wait_for("READY")
        assert server.state["url"] == f"http+unix://{path}"
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
        assert os.path.exists(path)


@pytest.mark.parametrize(
    ("kind", "count", "message"),
    [
        (socket.SOCK_STREAM, "2", "got '2', expected one socket"),
        (socket.SOCK_DGRAM, "1", "got a socket that does not listen"),
    ],
)
def test_other_sockets_are_refused(tmp_path, kind, count, message):
    with (
        socket.socket(socket.AF_INET, kind) as given,
        managed(tmp_path, listener=given, LISTEN_FDS=count) as (_, process, manager),
    ):
        assert message in manager.wait_for("STATUS")["STATUS"]
        assert process.wait(20) == 1
        assert message in process.stderr.read()


def test_a_socket_for_another_process_is_left_alone():
    variables = {"LISTEN_PID": "1", "LISTEN_FDS": "1", "OTHER": ""}
    assert take_activated(variables) is None
    assert variables == {"OTHER": ""}
