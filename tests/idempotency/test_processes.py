"""Repeated requests to a server of several processes, and to one that was killed."""

from contextlib import suppress

import gevent
import pytest
import requests

from tests.processes.servers import server, wait_for

TOOLS = """
import os
import time

from toolserver import StandardTool, idempotent, register


@register("shop")
class Shop(StandardTool):
    def place(self, item: str, seconds: float = 0.0) -> list[str]:
        with open(os.environ["JOURNAL"], "ab", buffering=0) as journal:
            journal.write(f"{item} {os.getpid()}\\n".encode())
        time.sleep(seconds)
        return [item, str(os.getpid())]

    @idempotent
    def put(self, item: str, seconds: float = 0.0) -> list[str]:
        return self.place(item, seconds)
"""


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    home = tmp_path_factory.mktemp("home")
    with server(home, workers=2, tools=TOOLS) as found:
        yield found


def post(running, method, key, **arguments):
    """Send a request on a connection of its own, so that any worker may get it."""
    return requests.post(
        f"{running.url}/shop/{method}",
        json=arguments,
        headers={"Idempotency-Key": f'"{key}"'},
        timeout=30,
    )


def made(running, item):
    """The processes that have made the calls for an item."""
    path = running.home / "journal"
    lines = path.read_text().splitlines() if path.exists() else []
    return [int(line.split()[1]) for line in lines if line.startswith(f"{item} ")]


def test_of_fifty_at_once_one_call_is_made_in_all_processes(running):
    found = [
        gevent.spawn(post, running, "place", "many", item="many", seconds=0.2)
        for _ in range(50)
    ]
    gevent.joinall(found, raise_error=True)
    statuses = [each.value.status_code for each in found]
    assert set(statuses) <= {200, 409}
    assert 200 in statuses
    assert len(made(running, "many")) == 1
    # Both give the same answer again, whichever has made it.
    answers = [
        post(running, "place", "many", item="many", seconds=0.2) for _ in range(20)
    ]
    assert {answer.text for answer in answers} == {answers[0].text}
    assert all(each.headers["Idempotency-Replayed"] == "true" for each in answers)
    assert len(made(running, "many")) == 1


@pytest.mark.parametrize("method", ["place", "put"])
def test_a_call_whose_process_is_killed_is_repeated_only_if_that_does_no_harm(
    running, method
):
    item = f"killed-{method}"

    def first():
        with suppress(requests.RequestException):
            post(running, method, item, item=item, seconds=20)
            return "answered"

    broken = gevent.spawn(first)
    (pid,) = wait_for(lambda: made(running, item))
    running.kill(pid)
    assert broken.get(20) is None
    # The very same request is long; what is asked here is whether it is begun.
    again = gevent.spawn(post, running, method, item, item=item, seconds=20)
    if method == "place":
        answer = again.get(20)
        assert answer.status_code == 409
        assert answer.json()["error"] == "OutcomeUnknown"
        assert "broken off" in answer.json()["detail"]
        assert made(running, item) == [pid]
    else:
        assert wait_for(lambda: len(made(running, item)) == 2)
        again.kill()
    wait_for(lambda: len(running.workers) == 2 and pid not in running.workers)


def test_answers_outlive_all_processes(running):
    answer = post(running, "place", "kept", item="kept")
    for pid in [running.pid, *running.workers]:
        running.kill(pid)
    running.tsctl("start", "--port", "0", "--workers", "2")
    again = post(running, "place", "kept", item="kept")
    assert again.json() == answer.json()
    assert again.headers["Idempotency-Replayed"] == "true"
    assert len(made(running, "kept")) == 1
