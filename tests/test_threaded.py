"""Methods that run in native threads."""

import contextlib
import threading

import gevent
import pytest
from gevent.event import Event
from gevent.monkey import get_original

import toolserver.testing
from toolserver import (
    NoTuple,
    Redirect,
    StandardTool,
    Var,
    call,
    context,
    limit,
    proxy,
    register,
    threaded,
    tool,
    universe,
)
from toolserver.errors import CallTimeout, Conflict
from toolserver.nativethreads import ThreadSlots

# What the patched process hides: waiting that stops the thread, and the loop in it.
block = get_original("time", "sleep")
allocate = get_original("_thread", "allocate_lock")
here = threading.get_native_id
variable = Var("variable", default="unset")


class Gate:
    """Something that a native thread waits for, and tells that it does."""

    def __init__(self) -> None:
        self.entered = 0
        self._lock = allocate()
        self._lock.acquire()

    def wait(self) -> None:
        self.entered += 1
        self._lock.acquire()
        self._lock.release()

    def open(self) -> None:
        self._lock.release()


def until(test, seconds=10):
    with gevent.Timeout(seconds):
        while not test():
            gevent.sleep(0.001)


@register("native")
class Native(StandardTool):
    def on_start(self) -> None:
        self.gate = Gate()
        self.order = []

    @threaded
    def thread(self) -> int:
        return here()

    @threaded
    def facts(self) -> list:
        return [context.client, context.method, context.request_id, variable.get()]

    @threaded
    def blocks(self) -> str:
        self.gate.wait()
        return "done"

    @threaded
    def numbered(self, number: int) -> int:
        self.order.append(number)
        self.gate.wait()
        return number

    @threaded
    def raises(self, kind: str) -> None:
        raise {"value": ValueError("bad"), "conflict": Conflict("not now")}[kind]

    @threaded
    def redirects(self) -> None:
        raise Redirect("/elsewhere")

    @threaded
    @limit(timeout=0.05)
    def too_long(self) -> None:
        self.gate.wait()
        self.order.append("went on")

    @threaded
    def calls(self, name: str) -> list:
        return [here(), call(name)]

    @threaded
    def calls_typed(self) -> int:
        return proxy("native", Native).plain()

    @threaded
    def deep(self, levels: int) -> int:
        return 1 + call("native.deep", levels - 1) if levels else 0

    def plain(self) -> int:
        return here()

    def outer(self) -> str:
        variable.set("by the caller")
        return call("native.facts")[3]

    def sets_inside(self) -> str:
        call("native.sets")
        return variable.get()

    @threaded
    def sets(self) -> str:
        variable.set("in the thread")
        return call("native.gets")

    def gets(self) -> str:
        return variable.get()

    @threaded
    def locked(self) -> str:
        with self.lock, self.lock:
            return call("native.locked_too")

    @threaded
    def locked_too(self) -> str:
        with self.lock:
            return "locked"

    @threaded
    def count(self, name: str, times: int) -> None:
        for _ in range(times):
            with self.lock:
                before = getattr(self, name, 0)
                block(0)
                setattr(self, name, before + 1)

    @threaded
    def space(self) -> object:
        universe.out(("a", 1))
        return [universe.take(("a", int)), universe.take(("b", int), timeout=10)]

    @threaded
    def no_tuple(self) -> None:
        universe.take(("none",), timeout=0)

    @threaded
    def stored(self) -> str:
        self.storage.write("f", "x" * 1_000_000)
        return self.storage.read_text("f")[:1]


@register("native.money")
class Money(StandardTool):
    def on_start(self) -> None:
        self.gate = Gate()
        self.log_of = []

    def begin(self) -> None:
        if context.method != "on_start":
            self.log_of.append(f"begin {here() == self.loop}")

    def commit(self) -> None:
        if context.method != "on_start":
            self.log_of.append(f"commit {here() == self.loop}")

    def abort(self) -> None:
        self.log_of.append(f"abort {here() == self.loop}")

    @threaded
    def works(self) -> None:
        self.log_of.append("works")

    @threaded
    def fails(self) -> None:
        raise ValueError("no")

    @threaded
    @limit(timeout=0.05)
    def too_long(self) -> None:
        self.gate.wait()
        self.log_of.append("ended")

    @limit(timeout=0.05)
    def nests(self) -> None:
        call("native.money.slow")

    @threaded
    def slow(self) -> None:
        self.gate.wait()
        self.log_of.append("ended")

    @threaded
    @limit(timeout=0.05)
    def calls_late(self) -> None:
        self.gate.wait()
        try:
            call("native.plain")
        except BaseException as error:
            self.log_of.append(type(error).__name__)
            raise

    loop = here()


@pytest.fixture
def server():
    with toolserver.testing.serve(
        Native, Money, config={"server": {"threads": 2}}
    ) as server:
        yield server
        until(lambda: server.worker.dispatcher.threads.free == 2)


def test_the_loop_goes_on(server):
    assert server.call("native.thread") != here()
    running = gevent.spawn(server.call, "native.blocks")
    until(lambda: server.tool("native").gate.entered)
    assert server.http.get("/native/plain").json() == here()
    server.tool("native").gate.open()
    assert running.get() == "done"


def test_a_plain_call_stays_plain(server):
    assert server.tool("native").thread() == here()
    with server_context(server):
        assert tool("native", Native).thread() == here()


def server_context(server):
    return toolserver.contexts.bind(
        toolserver.contexts.Context(services=server.worker.services)
    )


def test_the_context_is_the_callers(server):
    client, method, request_id, value = server.as_client("ann").call("native.facts")
    assert (client, method, value) == ("ann", "facts", "unset")
    assert request_id
    assert server.call("native.outer") == "by the caller"
    assert server.call("native.sets") == "in the thread"
    assert server.call("native.sets_inside") == "unset"


def test_exceptions_keep_their_class(server):
    with pytest.raises(ValueError, match="bad"):
        server.call("native.raises", "value")
    assert server.http.get("/native/raises?kind=conflict").status_code == 409
    found = server.http.get("/native/redirects", allow_redirects=False)
    assert (found.status_code, found.headers["location"]) == (303, "/elsewhere")


def test_other_tools_are_called_in_the_loop(server):
    thread, inner = server.call("native.calls", "native.plain")
    assert (thread != here(), inner == here()) == (True, True)
    assert server.call("native.calls_typed") == here()
    with pytest.raises(toolserver.errors.MethodNotFound):
        server.call("native.calls", "native.missing")


def test_threads_that_wait_for_each_other_are_not_too_few(server):
    assert server.call("native.deep", 7) == 7


def test_who_finds_all_threads_busy_waits_in_order(server):
    native, threads = server.tool("native"), server.worker.dispatcher.threads
    running = [gevent.spawn(server.call, "native.numbered", n) for n in range(6)]
    until(lambda: native.gate.entered == 2)
    assert (threads.free, threads.waiting) == (0, 4)
    running[3].kill()
    assert threads.waiting == 3
    native.gate.open()
    gevent.joinall(running, raise_error=True)
    assert sorted(native.order[:2]) == [0, 1]
    assert set(native.order) == {0, 1, 2, 4, 5}
    assert threads.waiting == 0


def test_a_time_out_is_told_at_once(server):
    native = server.tool("native")
    with pytest.raises(CallTimeout):
        server.call("native.too_long")
    assert (native.order, server.worker.dispatcher.threads.free) == ([], 1)
    native.gate.open()
    until(lambda: native.order)


def test_a_time_out_applies_while_waiting_for_a_thread(server):
    native = server.tool("native")
    busy = [gevent.spawn(server.call, "native.blocks") for _ in range(2)]
    until(lambda: native.gate.entered == 2)
    with pytest.raises(CallTimeout):
        server.call("native.too_long")
    native.gate.open()
    gevent.joinall(busy, raise_error=True)
    assert native.order == []


def test_transactions_are_kept_in_the_loop(server):
    money = server.tool("native.money")
    server.call("native.money.works")
    assert money.log_of == ["begin True", "works", "commit True"]
    money.log_of.clear()
    with pytest.raises(ValueError, match="no"):
        server.call("native.money.fails")
    assert money.log_of == ["begin True", "abort True"]


def test_a_transaction_is_aborted_when_the_thread_has_ended(server):
    money = server.tool("native.money")
    with pytest.raises(CallTimeout):
        server.call("native.money.too_long")
    assert money.log_of == ["begin True"]
    money.gate.open()
    until(lambda: len(money.log_of) == 3)
    assert money.log_of == ["begin True", "ended", "abort True"]


def test_a_call_inside_another_waits_for_its_thread(server):
    """The thread may use what belongs to the outer call."""
    money = server.tool("native.money")
    running = gevent.spawn(server.call, "native.money.nests")
    until(lambda: money.gate.entered)
    gevent.sleep(0.1)
    assert money.log_of == ["begin True", "begin True"]
    money.gate.open()
    with pytest.raises(CallTimeout):
        running.get()
    assert money.log_of[2:] == ["ended", "abort True", "abort True"]


def test_a_thread_whose_caller_has_gone_calls_nobody(server):
    money = server.tool("native.money")
    with pytest.raises(CallTimeout):
        server.call("native.money.calls_late")
    money.gate.open()
    until(lambda: len(money.log_of) == 3)
    assert money.log_of[1:] == ["Timeout", "abort True"]


def test_locks_hold_between_threads_and_greenlets(server):
    with gevent.Timeout(20):
        assert server.call("native.locked") == "locked"
        running = [
            gevent.spawn(server.call, "native.count", "total", 40) for _ in range(4)
        ]
        for _ in range(40):
            with server.tool("native").lock:
                before = getattr(server.tool("native"), "total", 0)
                gevent.sleep(0)
                server.tool("native").total = before + 1
        gevent.joinall(running, raise_error=True)
    assert server.tool("native").total == 200


def test_the_tuple_space_can_be_used(server):
    running = gevent.spawn(server.call, "native.space")
    with server_context(server):
        universe.out(("b", 2))
    with gevent.Timeout(10):
        assert running.get() == [("a", 1), ("b", 2)]
    with pytest.raises(NoTuple):
        server.call("native.no_tuple")


def test_files_can_be_used(server):
    assert server.call("native.stored") == "x"


def test_unused_threads_are_not_started(server):
    server.call("native.plain")
    assert server.worker.dispatcher.threads._pool is None


def around_that(waits, then):
    """Something around a thread that waits first; it may not want to be ended."""

    def around(inside):
        with contextlib.suppress(BaseException):
            waits()
        return inside() if then else None

    return around


@pytest.mark.parametrize("stays", [False, True])
@pytest.mark.parametrize("then", [False, True])
def test_who_has_gone_before_the_thread_begins_starts_none(stays, then):
    slots, ran = ThreadSlots(1), []
    waiting = Event()

    def waits():
        waiting.set()
        gevent.sleep(60)

    around = around_that(waits, then)
    caller = gevent.spawn(slots.run, lambda: ran.append(1), around, stays=stays)
    assert waiting.wait(10)
    caller.kill(timeout=10)
    assert caller.dead
    until(lambda: slots.free == 1)
    assert ran == []


def test_who_is_ended_as_its_turn_comes_gives_it_on():
    slots, gate = ThreadSlots(1), Event()

    def run(function):
        return gevent.spawn(
            slots.run, lambda: None, lambda inside: function(), stays=False
        )

    first, second, third = run(gate.wait), run(bool), run(bool)
    until(lambda: slots.waiting == 2)
    gate.set()
    # The turn has been handed over, and is not taken yet.
    until(lambda: slots.waiting < 2)
    second.kill(block=False)
    gevent.joinall([first, second, third], timeout=10)
    assert third.get(timeout=10) is False
    assert (slots.free, slots.waiting) == (1, 0)


def test_generators_are_refused():
    with pytest.raises(TypeError, match="generator"):

        @threaded
        def generate():
            yield 1
