"""Two worker processes that serve over HTTP, and the hub between them."""

from contextlib import ExitStack

import gevent
import pytest
import requests

from tests.sharing.served import process
from toolserver.sharing.hub import Hub


@pytest.fixture
def hub():
    made = Hub()
    yield made
    made.close()


@pytest.fixture
def workers(hub, tmp_path):
    with ExitStack() as stack:
        yield [stack.enter_context(process(hub, tmp_path)) for _ in range(2)]


def call(worker, method, **arguments):
    """Call a method; gives what it returns."""
    url = f"{worker.url}/served/{method}"
    with requests.Session() as session:
        session.trust_env = False
        answer = session.post(url, json=arguments, timeout=30)
    assert answer.ok, answer.text
    kind = answer.headers.get("Content-Type", "")
    return answer.json() if "json" in kind else answer.text


def asks(hub, count):
    with gevent.Timeout(20):
        while len(hub._space._asks) + len(hub._space._topics) != count:
            gevent.sleep(0.005)


def test_callers_of_one_worker_wait_for_those_of_the_other(workers, hub):
    first, second = workers
    taker = gevent.spawn(call, second, "take", least=5)
    asks(hub, 1)
    call(first, "put", name="few", count=1)
    call(first, "put", name="many", count=7)
    assert taker.get(timeout=20) == ["many", 7, second.pid]
    for worker in workers:
        assert call(worker, "read", reader=str(worker.pid)) == "few"
    assert call(first, "take") == ["few", 1, first.pid]


def test_each_tuple_is_taken_in_one_worker(workers):
    takers = [gevent.spawn(call, workers[n % 2], "take") for n in range(20)]
    for number in range(20):
        call(workers[number % 3 % 2], "put", name=str(number), count=number)
    taken = [taker.get(timeout=30) for taker in takers]
    assert sorted(count for _, count, _ in taken) == list(range(20))
    assert {pid for _, _, pid in taken} == {worker.pid for worker in workers}


def test_news_reach_the_callers_of_both_workers(workers, hub):
    listeners = [gevent.spawn(call, workers[n % 2], "listen") for n in range(6)]
    asks(hub, 6)
    assert call(workers[0], "tell", value="rain") == 6
    heard = [listener.get(timeout=20) for listener in listeners]
    assert heard == [["rain", workers[n % 2].pid] for n in range(6)]


def test_a_worker_that_is_killed_loses_no_tuple(workers, hub):
    first, second = workers
    lost = gevent.spawn(call, second, "take")
    asks(hub, 1)
    second.kill()
    with pytest.raises(requests.ConnectionError):
        lost.get(timeout=20)
    call(first, "put", name="one", count=1)
    assert call(first, "take") == ["one", 1, first.pid]


def test_workers_stop_in_order_when_the_master_goes(workers, hub):
    taker = gevent.spawn(call, workers[0], "take")
    asks(hub, 1)
    hub.close()
    with pytest.raises(AssertionError, match="the server stops"):
        taker.get(timeout=20)
    assert [worker.stdout.readline() for worker in workers] == ["stopped\n"] * 2
    assert [worker.wait(20) for worker in workers] == [0, 0]
