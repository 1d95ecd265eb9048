"""Several worker processes behind one port."""

import signal
import socket
import threading
import time

import gevent
import pytest
import requests

from tests.processes.servers import TOOLS, server, wait_for


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    settings = "[server]\nstop_timeout = 5.0\n"
    home = tmp_path_factory.mktemp("workers") / "home"
    with server(home, workers=2, settings=settings) as found:
        yield found


def test_all_workers_answer_on_one_port(running):
    def seen():
        calls = [
            gevent.spawn(running.call, "demo.sleep", seconds=0.05) for _ in range(8)
        ]
        return {call.get() for call in calls}

    pids = set()

    def both():
        pids.update(seen())
        return len(pids) == 2

    wait_for(both)
    assert pids == set(running.workers)
    text = running.tsctl("status").stdout
    assert all(f"worker {pid} since" in text for pid in running.workers)
    assert f"(pid {running.pid})" in text


def test_a_second_server_of_the_home_is_refused(running):
    found = running.tsctl("start", "--port", "0", check=False)
    assert found.returncode == 1
    assert f"already running (pid {running.pid})" in found.stderr


def test_what_workers_share_is_the_same_for_all(running):
    for number in range(20):
        running.call("demo.put", number=number)
    assert sorted(running.call("demo.take") for _ in range(20)) == list(range(20))
    listening = [gevent.spawn(running.call, "demo.listen") for _ in range(6)]
    heard = 0
    while heard < 6:
        heard += running.call("demo.tell", text="it is noon")
        gevent.sleep(0.02)
    assert [each.get(timeout=10) for each in listening] == ["it is noon"] * 6


def test_a_killed_worker_is_replaced_and_others_go_on(running):
    session = requests.Session()
    url = f"{running.url}/demo/pid"
    victim, healthy = None, requests.Session()
    pid = session.post(url, timeout=20).json()
    other = next(each for each in running.workers if each != pid)
    while healthy.post(url, timeout=20).json() != other:
        healthy = requests.Session()
    victim = pid
    begun = time.monotonic()
    running.kill(victim)
    # A connection to the other worker does not notice.
    for _ in range(20):
        assert healthy.post(url, timeout=20).json() == other
    wait_for(lambda: victim not in running.workers and len(running.workers) == 2)
    assert time.monotonic() - begun < 20
    new = next(each for each in running.workers if each != other)
    wait_for(lambda: running.call("demo.pid") == new)
    assert "killed by SIGKILL" in running.log
    assert (
        running.state["workers"][0]["restarts"]
        + running.state["workers"][1]["restarts"]
        >= 1
    )


def test_no_request_is_refused_while_workers_are_replaced(running):
    before = set(running.workers)
    failures, answers = [], []
    stopping = threading.Event()

    def load():
        while not stopping.is_set():
            try:
                answers.append(running.call("demo.sleep", seconds=0.01))
            except Exception as error:
                failures.append(error)

    loads = [gevent.spawn(load) for _ in range(6)]
    running.tsctl("reload")
    after = set(running.workers)
    wait_for(lambda: after <= set(answers[-200:]))
    stopping.set()
    gevent.joinall(loads)
    assert failures == []
    assert len(after) == 2
    assert not before & after


def test_code_that_cannot_be_loaded_leaves_the_old_workers(running):
    file = running.home / "tools" / "demo.py"
    before = running.workers
    file.write_text("import nothing_of_that_name\n")
    try:
        found = running.tsctl("reload", check=False)
        assert found.returncode == 1
        assert "nothing_of_that_name" in found.stderr
        assert "the old code goes on serving" in found.stderr
        assert "Traceback" not in found.stderr
        assert running.workers == before
        assert running.call("demo.version") == 1
        file.write_text(TOOLS.replace("return 1", "return 2"))
        running.kill(running.pid, signal.SIGHUP)
        wait_for(lambda: running.call("demo.version") == 2)
        wait_for(lambda: not set(before) & set(running.workers))
    finally:
        file.write_text(TOOLS)


def test_logs_are_reopened_by_all(running):
    access = running.home / "log" / "access.log"
    moved = access.with_suffix(".old")
    access.rename(moved)
    running.kill(running.pid, signal.SIGUSR1)
    wait_for(access.exists)

    def both():
        for _ in range(10):
            running.call("demo.pid")
        return access.read_text().count("\n") >= 10

    wait_for(both)
    size = moved.stat().st_size
    running.call("demo.pid")
    assert moved.stat().st_size == size
    assert all(line.count('"POST ') == 1 for line in access.read_text().splitlines())


def test_workers_end_with_their_master_and_the_port_is_free(tmp_path):
    with server(tmp_path / "home", workers=2) as found:
        workers, port = found.workers, int(found.url.rpartition(":")[2])
        found.kill(found.pid)

        def is_free():
            with socket.socket() as probe:
                return probe.connect_ex(("127.0.0.1", port)) != 0

        wait_for(is_free)
        wait_for(lambda: not any(_lives(pid) for pid in workers))
        found.tsctl("start", "--port", str(port), "--workers", "2")
        assert found.call("demo.version") == 1
        calling = gevent.spawn(found.call, "demo.sleep", seconds=0.5)
        gevent.sleep(0.1)
        # Running calls end before the workers do.
        found.tsctl("stop")
        assert calling.get(timeout=5) in [*found.workers, *found.workers]
        assert is_free()


def test_a_worker_that_cannot_start_is_told_once_and_in_its_words(tmp_path):
    with (
        pytest.raises(AssertionError, match="No module named"),
        server(tmp_path / "home", workers=2, tools="import nothing_of_that_name\n"),
    ):
        pass


def _lives(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] not in "ZX"
    except FileNotFoundError:
        return False
