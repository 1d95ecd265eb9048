"""What a master does about workers that die, hang, come and go."""

import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import gevent
import pytest
import requests

from tests.processes.servers import Server, wait_for

TOOLS = '''
import os
import time

from gevent.monkey import get_original

from toolserver import StandardTool, chain, register


def note(text):
    with open(os.environ["JOURNAL"], "ab", buffering=0) as journal:
        journal.write(f"{text}\\n".encode())


@chain("system.server.start", str).append
def started(url):
    note(f"server.start {url}")


@chain("system.server.stop", str).append
def stopped(url):
    note(f"server.stop {url}")


@chain("system.worker.start", int).append
def worker_started(pid):
    note(f"worker.start {pid}")


@chain("system.worker.exit", int).append
def worker_exited(pid):
    note(f"worker.exit {pid}")


@register("demo")
class Demo(StandardTool):
    def pid(self) -> int:
        return os.getpid()

    def sleep(self, seconds: float) -> int:
        note(f"sleeping {time.monotonic_ns()}")
        time.sleep(seconds)
        return os.getpid()

    def record(self, name: str) -> int:
        """Write down that a call begins and ends."""
        note(f"begin {name}")
        time.sleep(0.005)
        note(f"end {name}")
        return os.getpid()

    def hold_up(self, seconds: float) -> None:
        """Let no other greenlet run."""
        note("held up")
        get_original("time", "sleep")(seconds)
'''


@contextmanager
def launched(home, *switches, settings="", tools=TOOLS):
    """Run a server as `tsctl start` does; its processes are gone afterwards."""
    environment = {
        **os.environ,
        "PYTHONPATH": str(Path(__file__).parents[2]),
        "JOURNAL": str(home / "journal"),
    }
    found = Server(home, environment)
    found.tsctl("init")
    (home / "config" / "toolserver.toml").write_text(settings)
    (home / "tools" / "demo.py").write_text(tools)
    try:
        if switches != ("not",):
            found.tsctl("start", *switches)
        yield found
    finally:
        pids = []
        with suppress(OSError, ValueError):
            pids = [found.pid, *found.workers]
        found.tsctl("stop", "--force", "--timeout", "0.1", check=False)
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def lives(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


def journal(running):
    path = running.home / "journal"
    return path.read_text().splitlines() if path.exists() else []


def sleeping(running):
    """How many calls have begun to sleep so far."""
    return sum(line.startswith("sleeping") for line in journal(running))


class Client:
    """Asks on one connection as long as it is kept, and repeats nothing."""

    def __init__(self, running):
        self._address = running.url.removeprefix("http://")
        self._connection = None

    def post(self, path, **arguments):
        if self._connection is None:
            self._connection = http.client.HTTPConnection(self._address, timeout=20)
        try:
            self._connection.request(
                "POST",
                path,
                json.dumps(arguments),
                {"Content-Type": "application/json"},
            )
            answer = self._connection.getresponse()
            body = answer.read()
        except BaseException:
            self.close()
            raise
        if answer.will_close:
            self.close()
        assert answer.status == 200, body
        return json.loads(body) if body else None

    def close(self):
        if self._connection is not None:
            self._connection.close()
            self._connection = None


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    home = tmp_path_factory.mktemp("supervision") / "home"
    settings = "[server]\nworkers = 2\nport = 0\nstop_timeout = 5.0\n"
    with launched(home, settings=settings) as found:
        yield found


def test_nothing_is_done_twice_when_a_worker_is_killed_under_load(running):
    answered, failed = [], []
    is_over = False

    def ask(number):
        client = Client(running)
        count = 0
        while not is_over:
            count += 1
            name = f"{number}-{count}"
            try:
                pid = client.post("/demo/record", name=name)
            except (OSError, http.client.HTTPException):
                failed.append(name)
            else:
                answered.append((name, pid))
        client.close()

    asking = [gevent.spawn(ask, number) for number in range(8)]
    wait_for(lambda: {pid for _, pid in answered} == set(running.workers))
    victim, other = running.workers
    begun = time.time()
    running.kill(victim)
    wait_for(lambda: victim not in running.workers and len(running.workers) == 2)
    new = next(pid for pid in running.workers if pid != other)
    wait_for(lambda: running.call("demo.pid") == new)
    is_over = True
    gevent.joinall(asking, raise_error=True)
    assert len(failed) <= 8
    lines = journal(running)
    assert len(lines) == len(set(lines))
    ended = {line.removeprefix("end ") for line in lines if line.startswith("end ")}
    assert {name for name, _ in answered} <= ended
    started = next(each for each in running.state["workers"] if each["pid"] == new)
    assert started["started"] - begun < 2
    assert started["restarts"] == 1


def test_a_worker_that_dies_again_and_again_is_started_after_pauses(running):
    def die(number):
        before = running.state["workers"][number]["pid"]
        died = time.time()
        running.kill(before)

        def new():
            workers = running.state["workers"]
            return len(workers) == 2 and workers[number]["pid"] != before

        wait_for(new)
        return running.state["workers"][number]["started"] - died

    restarts = running.state["workers"][1]["restarts"]
    # The first one may have lived for long, and one that dies young is no pattern.
    pauses = [die(1) for _ in range(4)]
    assert pauses[2] > 0.4
    assert pauses[3] > 0.9
    assert running.state["workers"][1]["restarts"] == restarts + 4
    text = running.tsctl("status").stdout
    assert f"after {restarts + 4} that died" in text
    facts = json.loads(running.tsctl("status", "--json").stdout)
    assert [each["pid"] for each in facts["workers"]] == running.workers
    assert facts["pid"] == running.pid


def test_no_kept_connection_notices_that_workers_are_replaced(running):
    before, slept = set(running.workers), sleeping(running)
    failures, pids = [], set()
    is_over = False

    def ask():
        client = Client(running)
        while not is_over:
            try:
                pids.add(client.post("/demo/pid"))
            except Exception as error:
                failures.append(error)
            gevent.sleep(0.002)
        client.close()

    def connect_and_hesitate():
        while not is_over:
            with socket.create_connection(address) as connection:
                gevent.sleep(0.2)
                connection.sendall(b"GET /demo/pid HTTP/1.1\r\nHost: localhost\r\n\r\n")
                answer = connection.recv(1000)
                if answer.startswith(b"HTTP/1.1 200"):
                    # Those that are kept may all be with one worker.
                    pids.add(int(answer.rpartition(b"\r\n")[2]))
                else:
                    failures.append("no answer to who hesitated")

    host, _, port = running.url.removeprefix("http://").partition(":")
    address = (host, int(port))
    asking = [gevent.spawn(ask) for _ in range(4)]
    asking += [gevent.spawn(connect_and_hesitate) for _ in range(4)]
    lasting = [gevent.spawn(running.call, "demo.sleep", seconds=2.5) for _ in range(6)]
    wait_for(lambda: pids >= before and sleeping(running) == slept + 6)
    running.tsctl("reload")
    after = set(running.workers)
    wait_for(lambda: pids >= after)
    # Calls that were running end where they began.
    assert {each.get(timeout=10) for each in lasting} <= before
    wait_for(lambda: not any(lives(pid) for pid in before))
    is_over = True
    gevent.joinall(asking, raise_error=True)
    assert failures == []
    assert not before & after


def test_who_asks_to_reload_during_a_reload_gets_another_one(running):
    reloads = running.state["reloads"]
    running.kill(running.pid, signal.SIGHUP)
    wait_for(lambda: running.state["phase"] == "reloading")
    between = set(running.workers)
    running.tsctl("reload")
    assert running.state["reloads"] == reloads + 2
    assert running.state["phase"] == "running"
    assert not between & set(running.workers)


def test_the_configuration_is_read_again(running):
    file = running.home / "config" / "toolserver.toml"
    before = file.read_text()
    try:
        file.write_text(before.replace("workers = 2", "workers = 3"))
        running.tsctl("reload")
        assert len(running.workers) == 3
        file.write_text(before.replace("workers = 2", "workers = 1"))
        assert "becomes one of a single process" in _reload_error(running)
        file.write_text(before.replace("port = 0", "port = 1"))
        assert "another place to listen on" in _reload_error(running)
        assert len(running.workers) == 3
    finally:
        file.write_text(before)


def _reload_error(running):
    found = running.tsctl("reload", check=False)
    assert found.returncode == 1
    assert running.tsctl("status").stdout.count("not reloaded: ") == 1
    return found.stderr


def test_the_server_starts_and_stops_once_whatever_its_workers_do(running):
    # The last of those who share the server: it ends here.
    lines = [line for line in journal(running) if "." in line.partition(" ")[0]]
    assert [line for line in lines if line.startswith("server.")] == [
        f"server.start {running.url}"
    ]
    workers = running.workers
    running.tsctl("stop")
    lines = journal(running)
    assert lines.count(f"server.stop {running.url}") == 1
    begun = re.findall("^worker.start (.*)$", "\n".join(lines), re.MULTILINE)
    ended = re.findall("^worker.exit (.*)$", "\n".join(lines), re.MULTILINE)
    assert set(map(str, workers)) <= set(ended) <= set(begun)
    assert not any(lives(pid) for pid in workers)


def test_a_server_starts_while_workers_of_a_killed_one_end(tmp_path):
    with launched(tmp_path / "home", "--port", "0", "--workers", "2") as found:
        workers, port = found.workers, found.url.rpartition(":")[2]
        calling = socket.create_connection(("127.0.0.1", int(port)))
        calling.sendall(
            b"POST /demo/sleep?seconds=1 HTTP/1.1\r\nHost: localhost\r\n"
            b"Content-Length: 0\r\n\r\n"
        )
        wait_for(lambda: sleeping(found) == 1)
        found.kill(found.pid)
        found.tsctl("start", "--port", port, "--workers", "2")
        # Without a master, too, running calls come to their end.
        with calling:
            answer = calling.recv(1000)
        assert int(answer.rpartition(b"\r\n")[2]) in workers
        assert found.call("demo.pid") in found.workers
        wait_for(lambda: not any(lives(pid) for pid in workers))


def test_a_worker_that_hangs_is_ended_with_and_without_a_master(tmp_path):
    with ExitStack() as stack:
        settings = "[server]\nstop_timeout = 0.3\nport = 0\nworkers = 2\n"
        servers = [
            stack.enter_context(launched(tmp_path / name, settings=settings))
            for name in ("orphaned", "stopped")
        ]
        for found in servers:
            gevent.spawn(_hang, found)
            wait_for(lambda found=found: "held up" in journal(found))
        orphaned, stopped = servers
        workers = [*orphaned.workers, *stopped.workers]
        orphaned.kill(orphaned.pid)
        stopped.tsctl("stop")
        wait_for(lambda: not any(lives(pid) for pid in workers), seconds=30)
        assert "does not end and is killed" in stopped.log
        assert "without a master was cut off" in orphaned.log


def _hang(found):
    with suppress(requests.RequestException, OSError):
        requests.post(f"{found.url}/demo/hold_up", json={"seconds": 60}, timeout=30)


def test_a_start_that_takes_long_is_broken_off(tmp_path):
    hook = (
        "\n    def on_start(self):\n        note('starting')\n        time.sleep(60)\n"
    )
    with launched(tmp_path / "home", "not", tools=TOOLS + hook) as found:
        starting = _spawn(found, "start", "--port", "0", "--workers", "2")
        wait_for(lambda: "starting" in journal(found))
        begun = time.monotonic()
        found.tsctl("stop")
        assert time.monotonic() - begun < 8
        assert starting.wait(10) == 1


def test_what_keeps_workers_from_starting_is_told_once(tmp_path):
    tools = "import nothing_of_that_name\n"
    with launched(tmp_path / "home", "not", tools=tools) as found:
        words = ("start", "--port", "0", "--workers", "2")
        for more in ((), ("--foreground",)):
            told = found.tsctl(*words, *more, check=False)
            assert told.returncode == 1
            assert told.stderr.count("No module named 'nothing_of_that_name'") == 1
            assert "Traceback" not in told.stderr
        assert found.log.count("No module named 'nothing_of_that_name'") == 1


def test_an_impatient_hand_ends_all_at_once(tmp_path):
    terminal = os.openpty()
    with launched(tmp_path / "home", "not") as found:
        words = ["start", "--foreground", "--port", "0", "--workers", "2"]
        serving = _spawn(found, *words, stdin=terminal[1])
        wait_for(lambda: (found.home / "var" / "toolserver.json").exists())
        wait_for(lambda: found.state["phase"] == "running")
        # At a terminal SIGHUP would mean its end, and so that of the server.
        found.tsctl("reload")
        workers = found.workers
        calling = gevent.spawn(found.call, "demo.sleep", seconds=20)
        wait_for(lambda: found.call("demo.pid"))
        os.kill(serving.pid, signal.SIGINT)
        wait_for(lambda: found.state["phase"] == "stopping")
        assert any(lives(pid) for pid in workers)
        os.kill(serving.pid, signal.SIGINT)
        assert serving.wait(5) == 1
        wait_for(lambda: not any(lives(pid) for pid in workers))
        with pytest.raises(requests.ConnectionError):
            calling.get(timeout=5)
    for end in terminal:
        os.close(end)


def test_changed_files_replace_the_workers_behind_a_unix_socket(tmp_path):
    path = tmp_path / "socket"
    settings = f'[server]\nunix_socket = "{path}"\nworkers = 2\n'
    with launched(tmp_path / "home", "--reload", settings=settings) as found:
        before = set(found.workers)
        assert _over_unix(path) in before
        (found.home / "tools" / "demo.py").write_text(TOOLS + "\n# another line\n")
        wait_for(lambda: not before & set(found.workers), seconds=30)
        wait_for(lambda: len(found.workers) == 2)
        wait_for(lambda: _over_unix(path) in found.workers)
        found.kill(found.pid)
        wait_for(lambda: not any(lives(pid) for pid in found.workers))
        found.tsctl("start")
        assert _over_unix(path) in found.workers
        found.tsctl("stop")
        assert not path.exists()


def _over_unix(path):
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(path))
        connection.sendall(b"GET /demo/pid HTTP/1.0\r\nHost: localhost\r\n\r\n")
        with connection.makefile("rb") as answer:
            return int(answer.read().rpartition(b"\r\n\r\n")[2])


def _spawn(found, *words, stdin=subprocess.DEVNULL):
    return subprocess.Popen(
        [sys.executable, "-m", "toolserver", "--home", str(found.home), *words],
        stdin=stdin,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=found._environment,
    )
