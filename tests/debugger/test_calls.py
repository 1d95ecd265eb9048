"""Calls that run are seen from inside, and can be ended."""

import gc
import inspect

import gevent
import pytest
import requests

from tests.debugger.conftest import until
from tests.debugger.shop import Shop, Stock
from toolserver.contexts import Context
from toolserver.debugger.calls import RunningCalls
from toolserver.errors import ToolserverError
from toolserver.processes import heap


@pytest.fixture
def running(server):
    calls = RunningCalls(server.worker.jobs)

    def wait_for(*methods):
        def found():
            listed = calls.running()
            names = sorted(call.method for call in listed)
            return listed if names == sorted(methods) else None

        return until(found)

    wait_for.calls = calls
    yield wait_for
    calls.close()


def place_of(method):
    lines, first = inspect.getsourcelines(method)
    return [f"shop.py:{line} " for line in range(first, first + len(lines))]


def stands_in(call, method):
    return any(place in call.at for place in place_of(method))


def test_a_call_tells_who_makes_it_since_when_and_where_it_stands(background, running):
    background("/shop/wait")
    (call,) = running("shop.wait")
    assert stands_in(call, Shop.wait)
    assert call.protocol == "REST"
    assert 0 <= call.seconds < 10
    (later,) = running("shop.wait")
    assert later.id == call.id
    assert later.seconds > call.seconds
    assert (later.client, later.inside, later.job_id, later.left) == (
        None,
        "",
        None,
        None,
    )


def test_the_time_until_the_end_is_told(background, running):
    background("/shop/bounded")
    (call,) = running("shop.bounded")
    assert 50 < call.left <= 60


def test_a_call_inside_another_one_is_told_with_it(server, background, running):
    answer = background("/shop/outer")
    (call,) = running("shop.outer")
    assert call.inside == "stock.reserve"
    assert stands_in(call, Stock.reserve)
    server.tool("stock").gate.set()
    assert answer.get().text == "reserved"


def test_a_thread_is_seen_where_it_computes(server, background, running):
    answer = background("/shop/computes")

    def place():
        (call,) = running("shop.computes")
        return stands_in(call, Shop.computes)

    until(place)
    server.tool("shop").is_open = True
    assert answer.get().text == "computed"


def test_jobs_are_calls_too(server, background, running):
    spawned = server.call("shop.start")
    queued = server.call("shop.queue")
    calls = running("shop.wait", "shop.wait")
    assert {call.job_id for call in calls} == {spawned, queued}
    for call in calls:
        assert running.calls.kill(call, 10)
    assert server.worker.jobs.outcomes.find(spawned).status == "cancelled"
    until(lambda: server.worker.jobs.outcomes.find(queued).status == "cancelled")


def test_spawned_functions_that_are_no_methods_are_told_by_their_names(server, running):
    server.call("shop.start_unlisted")
    running("Event.wait", "stock.reserve", "Shop.start_unlisted.<locals>.waits")


def test_a_call_that_is_killed_fails_and_is_undone(server, background, running):
    answer = background("/shop/outer")
    (call,) = running("shop.outer")
    assert running.calls.kill(call.id, 10)
    response = answer.get()
    assert response.status_code == 503
    assert response.json()["error"] == "CallKilled"
    assert server.tool("stock").journal == ["begin", "abort"]
    assert not running.calls.running()


@pytest.mark.parametrize("protocol", ["JSONRPC", "RPC2", "SOAP", "REST", "MCP"])
def test_the_caller_of_any_protocol_learns_of_it(
    server, running, protocol, monkeypatch
):
    # Agents are answered by a stream as soon as this is over.
    monkeypatch.setattr("toolserver.web.callstreams._SOON", 0.01)
    remote = server.remote(protocol)

    def fail():
        with pytest.raises(ToolserverError) as caught:
            remote.call("shop.wait")
        return caught.value

    answer = gevent.spawn(fail)
    (call,) = running("shop.wait")
    assert call.protocol == protocol
    assert running.calls.kill(call, 10)
    assert "ended by the operator" in str(answer.get())


def test_an_answer_that_is_made_piece_by_piece_is_seen_and_ended(server, running):
    answer = server.http.get("/shop/pieces", stream=True)
    assert answer.raw.read(6) == b"first "
    (request,) = running("GET /shop/pieces")
    assert "Shop.pieces" in request.at
    assert request.seconds >= 0
    assert request.request_id
    assert running.calls.kill(request, 10)
    with pytest.raises(requests.exceptions.ChunkedEncodingError):
        answer.content  # noqa: B018 - it is read by this
    assert server.http.get("/shop/greet?name=Ann").text == "Hello Ann!"


def test_calls_are_found_that_the_garbage_collector_passes_over(background, running):
    background("/shop/wait")
    running("shop.wait")
    heap.keep()
    try:
        background("/shop/bounded")
        running("shop.wait", "shop.bounded")
    finally:
        gc.unfreeze()


def test_a_call_that_does_not_let_itself_be_ended(server, background, running):
    answer = background("/shop/stubborn")
    (call,) = running("shop.stubborn")
    assert not running.calls.kill(call, 0.05)
    (again,) = running("shop.stubborn")
    assert again.id == call.id
    server.tool("shop").gate.set()
    assert answer.get().text == "after all"


def test_a_call_that_has_ended_is_not_mistaken_for_the_next_of_its_greenlet(
    server, background, running
):
    first = background("/shop/wait?word=first")
    (call,) = running("shop.wait")
    server.tool("shop").gate.set()
    assert first.get().text == "first"
    server.tool("shop").gate.clear()
    second = background("/shop/wait?word=second")
    running("shop.wait")
    with pytest.raises(LookupError, match="no call"):
        running.calls.kill(call, 10)
    server.tool("shop").gate.set()
    assert second.get().text == "second"


def test_calls_that_have_ended_are_not_kept(server, background, running, monkeypatch):
    monkeypatch.setattr("toolserver.debugger.calls._FORGET_S", 0.02)
    answer = background("/shop/wait?word=kept")

    def contexts():
        gc.collect()
        kept = [each for each in gc.get_objects() if type(each) is Context]
        return [each for each in kept if each.method == "wait"]

    running("shop.wait")
    assert contexts()
    server.tool("shop").gate.set()
    assert answer.get().text == "kept"
    until(lambda: not contexts())


def test_a_threaded_call_is_told_at_once(server, background, running):
    answer = background("/shop/computes")
    (call,) = running("shop.computes")
    assert running.calls.kill(call, 10)
    assert answer.get().status_code == 503
    server.tool("shop").is_open = True
