"""A tool that turns against its process: the call fails or not, the server stands."""

import errno
import re
import signal

import gevent
import pytest
import requests

from tests.processes.servers import server, wait_for

TOOLS = '''
import contextlib
import ctypes
import gc
import os
import socket
import sys
import tempfile
import threading

import gevent
import greenlet

from toolserver import StandardTool, register, register_wsgi


class Grave:
    def __del__(self):
        raise RuntimeError("not in peace")


def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    yield b"one"
    raise {"/exit": SystemExit, "/interrupt": KeyboardInterrupt}[environ["PATH_INFO"]](
        "from an application"
    )


register_wsgi("hostile", application)


@register("hostile")
class Hostile(StandardTool):
    def fine(self) -> str:
        return "fine"

    def pid(self) -> int:
        return os.getpid()

    def greenlet_exits(self) -> None:
        gevent.spawn(sys.exit, 3)
        gevent.sleep(0.01)

    def greenlet_interrupts(self) -> None:
        def interrupt():
            raise KeyboardInterrupt("from a greenlet")

        gevent.spawn(interrupt)
        gevent.sleep(0.01)

    def thread_fails(self) -> None:
        def fail():
            raise ValueError("from a thread")

        threading.Thread(target=fail).start()
        gevent.sleep(0.01)

    def finalizer_fails(self) -> None:
        Grave()

    def callback_exits(self) -> None:
        gevent.get_hub().loop.run_callback(sys.exit, 5)
        gevent.sleep(0.01)

    def job_exits(self) -> None:
        self.spawn(sys.exit, 4)
        gevent.sleep(0.01)

    def kills_the_others(self) -> int:
        """End all greenlets that serve requests or wait for some, but its own."""
        found = [
            each
            for each in gc.get_objects()
            if type(each).__module__ == "toolserver.pools"
            and isinstance(each, greenlet.greenlet)
            and each is not gevent.getcurrent()
        ]
        for each in found:
            gevent.kill(each)
        return len(found)

    def sleeps(self) -> None:
        self.asleep = 1
        gevent.sleep(60)

    def sleeping(self) -> int:
        return getattr(self, "asleep", 0)

    def closes_its_connection(self) -> None:
        # Whatever is connected over TCP is a client's.
        for name in os.listdir("/proc/self/fd"):
            with contextlib.suppress(OSError):
                with socket.socket(fileno=os.dup(int(name))) as copy:
                    if copy.family == socket.AF_INET and copy.getpeername():
                        copy.shutdown(socket.SHUT_RDWR)

    def closes_the_terminal(self) -> None:
        sys.stdout.close()
        sys.stderr.close()
        os.close(1)
        os.close(2)

    def prints(self) -> None:
        print("hello")

    def goes_away(self) -> None:
        folder = tempfile.mkdtemp()
        os.chdir(folder)
        os.rmdir(folder)

    def stores(self) -> str:
        self.storage.write("note", "kept")
        assert self.enqueue(1, self.fine).result(timeout=30) == "fine"
        return self.storage.read_text("note")

    def forgets_modules(self) -> int:
        found = [name for name in sys.modules if name.startswith("toolserver.")]
        for name in found:
            del sys.modules[name]
        return len(found)

    def leaks(self) -> int:
        """Open files until no more can be opened."""
        self.leaked = []
        try:
            while True:
                self.leaked.append(open("/dev/null"))
        except OSError as error:
            return error.errno

    def mends(self) -> int:
        count = len(self.leaked)
        for file in self.leaked:
            file.close()
        return count

    def leaks_greenlets(self) -> None:
        self.waiting = [gevent.spawn(gevent.sleep, 3600) for _ in range(10_000)]

    def loops(self) -> None:
        while not os.path.exists(os.environ["JOURNAL"] + ".end"):
            pass

    def loops_in_c(self) -> None:
        # Unlike CDLL it keeps the lock of Python: no thread of the process goes on.
        ctypes.PyDLL(None).sleep(600)

    def on_stop(self) -> None:
        raise SystemExit(0)


@register("orderly")
class Orderly(StandardTool):
    def fine(self) -> str:
        return "fine"

    def on_close(self) -> None:
        with open(os.environ["JOURNAL"], "a") as journal:
            journal.write("closed\\n")
'''


@pytest.fixture(scope="module")
def a_server(tmp_path_factory):
    home = tmp_path_factory.mktemp("faulty") / "home"
    with server(home, workers=1, tools=TOOLS) as found:
        yield found


@pytest.fixture
def running(a_server):
    """The very process goes on to answer, on an old connection and on a new one."""
    with requests.Session() as session:
        session.trust_env = False
        url = f"{a_server.url}/hostile"
        pid = session.post(f"{url}/pid", timeout=20).json()
        yield a_server
        assert session.post(f"{url}/pid", timeout=20).json() == pid
        assert a_server.call("orderly.fine") == "fine"


#: What is done, and what the log tells of it.
UNHANDLED = [
    ("greenlet_exits", "SystemExit: 3"),
    ("greenlet_interrupts", "KeyboardInterrupt: from a greenlet"),
    ("thread_fails", "ValueError: from a thread"),
    ("finalizer_fails", "RuntimeError: not in peace"),
    ("callback_exits", "SystemExit: 5"),
    ("job_exits", "SystemExit: 4"),
]


@pytest.mark.parametrize(("method", "words"), UNHANDLED)
def test_what_nobody_catches_is_logged(running, method, words):
    running.call(f"hostile.{method}")
    wait_for(lambda: words in running.log)
    record = re.split(r"\n(?=\d{4}-)", running.log.partition(words)[0])[-1]
    assert " ERROR " in record
    if method not in ("greenlet_exits", "callback_exits", "job_exits"):
        assert 'tools/demo.py", line ' in record


@pytest.mark.parametrize("kind", ["exit", "interrupt"])
def test_an_application_that_fails_breaks_its_own_answer_off(running, kind):
    with pytest.raises(requests.exceptions.ChunkedEncodingError):
        requests.get(f"{running.url}/WSGI/hostile/{kind}", timeout=20)
    name = {"exit": "SystemExit", "interrupt": "KeyboardInterrupt"}[kind]
    wait_for(lambda: f"{name}: from an application" in running.log)


def test_a_call_that_kills_the_others_ends_these_alone(running):
    with requests.Session() as session:
        session.trust_env = False
        sleeping = gevent.spawn(
            session.post, f"{running.url}/hostile/sleeps", timeout=40
        )
        wait_for(lambda: running.call("hostile.sleeping") == 1)
        assert running.call("hostile.kills_the_others") >= 1
        answer = sleeping.get(timeout=40)
        assert answer.status_code == 500
        assert answer.json()["error"] == "GreenletExit"
        assert session.post(f"{running.url}/hostile/fine", timeout=20).text == "fine"
    wait_for(lambda: "hostile.sleeps failed" in running.log)


def test_a_call_that_closes_its_own_connection(running):
    with requests.Session() as session:
        session.trust_env = False
        with pytest.raises(requests.ConnectionError):
            session.post(f"{running.url}/hostile/closes_its_connection", timeout=20)


def test_the_terminal_may_be_closed_and_the_folder_gone(running):
    running.call("hostile.closes_the_terminal")
    running.call("hostile.goes_away")
    assert running.call("hostile.stores") == "kept"
    # Its numbers are those of other files by now: what is printed gets to none.
    answer = requests.post(f"{running.url}/hostile/prints", timeout=20)
    assert answer.json()["error"] == "ValueError"
    # The logs are found again by their names.
    (running.home / "log" / "error.log").rename(running.home / "log" / "error.log.1")
    running.kill(running.pid, signal.SIGUSR1)
    wait_for((running.home / "log" / "error.log").exists)
    requests.post(f"{running.url}/hostile/prints", timeout=20)
    wait_for(lambda: "hostile.prints failed" in running.log)


#: One call by each protocol.
CALLS = [
    ("hostile/fine", {}, "", "fine"),
    (
        "JSONRPC",
        {"Content-Type": "application/json"},
        '{"jsonrpc": "2.0", "id": 1, "method": "hostile.fine"}',
        '"result":"fine"',
    ),
    (
        "RPC2",
        {"Content-Type": "text/xml"},
        "<methodCall><methodName>hostile.fine</methodName></methodCall>",
        "fine",
    ),
    (
        "SOAP/hostile",
        {"Content-Type": "text/xml"},
        '<e:Envelope xmlns:e="http://schemas.xmlsoap.org/soap/envelope/"><e:Body>'
        '<fine xmlns="urn:toolserver:hostile"/></e:Body></e:Envelope>',
        "fine",
    ),
    (
        "MCP",
        {"Content-Type": "application/json", "Accept": "application/json"},
        '{"jsonrpc": "2.0", "id": 1, "method": "ping"}',
        '"result"',
    ),
]


def test_modules_may_be_forgotten(running):
    for _ in range(2):
        for path, headers, body, words in CALLS:
            answer = requests.post(
                f"{running.url}/{path}", data=body, headers=headers, timeout=20
            )
            assert answer.ok, answer.text
            assert words in answer.text
        assert running.call("hostile.forgets_modules") >= 0


def test_files_may_be_leaked_until_none_can_be_opened(running):
    with requests.Session() as session:
        session.trust_env = False
        url = f"{running.url}/hostile"
        assert session.post(f"{url}/leaks", timeout=30).json() == errno.EMFILE
        # Who is connected is answered; others wait or are refused.
        assert session.post(f"{url}/fine", timeout=20).text == "fine"
        assert session.post(f"{url}/mends", timeout=20).json() > 10
    assert wait_for(lambda: running.call("hostile.fine")) == "fine"


def test_greenlets_may_be_leaked(running):
    running.call("hostile.leaks_greenlets")


def test_a_call_that_loops_holds_up_its_own_worker_alone(tmp_path):
    with server(tmp_path / "home", workers=2, tools=TOOLS) as found:
        end = found.home / "journal.end"
        url = f"{found.url}/hostile/loops"
        looping = gevent.spawn(requests.post, url, timeout=60)
        try:
            wait_for(lambda: "the loop is held up" in found.log)
            told = re.search(r"held up for at least .* by (.*)", found.log)[1]
            assert told.startswith("hostile.loops, request ")
            assert re.search(r'tools/demo\.py", line \d+, in loops', found.log)
            # Each on a connection of its own; none is left to the one that loops.
            pids = {found.call("hostile.pid") for _ in range(20)}
            assert len(pids) == 1
            assert pids < set(found.workers)
        finally:
            end.touch()
        assert looping.get(timeout=60).status_code == 204
        wait_for(lambda: "the loop was held up" in found.log)
        # A hook that exits keeps no other from running.
        assert found.tsctl("stop").stdout.startswith("stopped")
        assert (found.home / "journal").read_text() == 2 * "closed\n"
        assert "hostile: on_stop failed: SystemExit: 0" in found.log
        assert re.search(r'tools/demo\.py", line \d+, in on_stop', found.log)


@pytest.mark.parametrize("method", ["loops", "loops_in_c"])
def test_a_worker_whose_loop_stands_still_for_too_long_is_replaced(tmp_path, method):
    settings = "[server]\nhang_timeout = 4\n"
    home = tmp_path / "home"
    with server(home, workers=2, tools=TOOLS, settings=settings) as found:
        before = set(found.workers)
        with pytest.raises(requests.ConnectionError):
            requests.post(f"{found.url}/hostile/{method}", timeout=60)
        wait_for(lambda: len(found.workers) == 2 and set(found.workers) != before)
        (gone,) = before - set(found.workers)
        assert f"worker {gone} hangs: its loop has not turned for" in found.log
        assert found.call("hostile.fine") == "fine"
        # The other one had nothing to do, which is no reason.
        assert len(before & set(found.workers)) == 1
