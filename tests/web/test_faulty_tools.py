"""A tool may do whatever it likes: its call fails, and the server stands.

Each fault is called through every protocol. The call fails with the error that is
meant for it, the log says which method it was and on which line, and the next call on
the same connection answers.
"""

import inspect
import logging
import re
from collections.abc import Iterator
from dataclasses import dataclass

import gevent
import pytest
import requests

from tests.parity.opening import opened
from toolserver import (
    Response,
    StandardTool,
    chain,
    context,
    on_error,
    register,
    require,
    validate,
)
from toolserver.errors import ApplicationError, NotFound
from toolserver.logs import ErrorLog
from toolserver.message import Request
from toolserver.parity.calls import Asked


class Bare(BaseException):
    pass


class Mute(Exception):
    def __str__(self):
        raise ValueError("no text")

    __repr__ = __str__


class Deadly(Mute):
    def __str__(self):
        raise SystemExit(7)

    __repr__ = __str__


class Impatient(Mute):
    def __str__(self):
        raise KeyboardInterrupt

    __repr__ = __str__


class Textless(Exception):
    def __str__(self):
        return 5


class OutOfPrint(ApplicationError):
    code = -32152
    status = 409

    def __init__(self, item):
        self.item = item  # the base is not called


class NoCode(ApplicationError):
    code = "x"


class Large(ApplicationError):
    code = 2**70


class NoFailure(ApplicationError):
    status = 204


class NoStatus(ApplicationError):
    status = "teapot"


class Speechless(ApplicationError):
    def __init__(self):
        super().__init__(Mute())


class Unreadable(list):
    def __init__(self, error):
        super().__init__([1])
        self.error = error

    def __iter__(self):
        raise self.error


@dataclass
class Lazy:
    """Its attribute fails when the answer is written."""

    item: str = ""

    def __getattribute__(self, name):
        if name == "item":
            raise RuntimeError("the database is closed")
        return object.__getattribute__(self, name)


def circle():
    inner: list = []
    inner.append(inner)
    return inner


@register("faulty")
class Faulty(StandardTool):
    """Fails in more ways than its author thought of."""

    def fine(self) -> str:
        return "fine"

    def bare(self):
        raise Bare("naked")

    def interrupted(self):
        raise KeyboardInterrupt

    def exits(self):
        raise SystemExit(3)

    def ends_its_greenlet(self):
        raise gevent.GreenletExit

    def kills_itself(self):
        gevent.kill(gevent.getcurrent())
        gevent.sleep(60)

    def times_out(self):
        raise gevent.Timeout(3)

    def generator_exit(self):
        raise GeneratorExit

    def stops_iteration(self):
        raise StopIteration(4)

    def asks_for_too_much(self):
        bytearray(2**62)

    def recurses(self):
        self.recurses()

    def group(self):
        raise BaseExceptionGroup("several", [KeyboardInterrupt(), ValueError("one")])

    def system_error(self):
        raise SystemError("broken extension")

    def mute(self):
        raise Mute

    def deadly(self):
        raise Deadly

    def impatient(self):
        raise Impatient

    def textless(self):
        raise Textless

    def lengthy(self):
        raise ValueError("x" * 3_000_000)

    def no_text(self):
        raise ValueError("a\udc80\x00b")

    def out_of_print(self):
        raise OutOfPrint("book")

    def no_code(self):
        raise NoCode("odd")

    def large_code(self):
        raise Large("odd")

    def no_failure(self):
        raise NoFailure("odd")

    def no_status(self):
        raise NoStatus("odd")

    def speechless(self):
        raise Speechless

    def facts_of_no_kind(self):
        raise NotFound("gone", data={"where": object()})

    def facts_that_exit(self):
        raise NotFound("gone", data=Unreadable(SystemExit(3)))

    def gives_circle(self):
        return circle()

    def gives_depth(self):
        value: list = []
        for _ in range(20_000):
            value = [value]
        return value

    def gives_lazy(self):
        return Lazy()

    def gives_unreadable(self):
        return Unreadable(ValueError("torn"))

    def gives_exit(self):
        return Unreadable(SystemExit(3))

    def gives_interrupt(self):
        return Unreadable(KeyboardInterrupt())

    def gives_coroutine(self):
        return circle

    def gives_lock(self):
        return self.lock

    def stream_of(self, kind: str, first: bool):
        error = {
            "ValueError": ValueError("dry"),
            "SystemExit": SystemExit(3),
            "KeyboardInterrupt": KeyboardInterrupt(),
            "GreenletExit": gevent.GreenletExit(),
            "Mute": Mute(),
        }[kind]

        def pieces() -> Iterator[str]:
            if first:
                yield "one"
            raise error

        return pieces()

    def stream_of_things(self, first: bool):
        def pieces():
            if first:
                yield "one"
            yield object()

        return pieces()

    def gives_response(self, kind: str):
        return {
            "status": lambda: Response("hi", status=99),
            "field": lambda: Response("hi", headers={"X": "b\r\nSet-Cookie: a=b"}),
            "length": lambda: Response("hi", headers={"Content-Length": "9"}),
        }[kind]()

    def handled(self):
        raise ValueError("first")

    @on_error(handled)
    def _handle(self, request, exc):
        raise SystemExit(4)


#: A fault, the class of what the caller is told, and its number.
RAISED = [
    ("bare", "Bare", -32500),
    ("interrupted", "KeyboardInterrupt", -32500),
    ("exits", "SystemExit", -32500),
    ("ends_its_greenlet", "GreenletExit", -32500),
    ("kills_itself", "GreenletExit", -32500),
    ("times_out", "Timeout", -32500),
    ("generator_exit", "GeneratorExit", -32500),
    ("stops_iteration", "StopIteration", -32500),
    ("asks_for_too_much", "MemoryError", -32500),
    ("recurses", "RecursionError", -32500),
    ("group", "BaseExceptionGroup", -32500),
    ("system_error", "SystemError", -32500),
    ("mute", "Mute", -32500),
    ("deadly", "Deadly", -32500),
    ("impatient", "Impatient", -32500),
    ("textless", "Textless", -32500),
    ("lengthy", "ValueError", -32500),
    ("no_code", "NoCode", -32500),
    ("large_code", "Large", -32500),
    ("no_failure", "NoFailure", -32500),
    ("no_status", "NoStatus", -32500),
    ("speechless", "Speechless", -32500),
]
#: Likewise, of what is returned; the words are part of what the log says.
RETURNED = [
    ("gives_circle", "ApplicationError", "nested deeper"),
    ("gives_lazy", "RuntimeError", "the database is closed"),
    ("gives_unreadable", "ValueError", "torn"),
    ("gives_exit", "SystemExit", "SystemExit: 3"),
    ("gives_interrupt", "KeyboardInterrupt", "KeyboardInterrupt"),
    ("gives_coroutine", "ApplicationError", "function"),
    ("gives_lock", "ApplicationError", "RLock"),
]
STREAMED = ["ValueError", "SystemExit", "KeyboardInterrupt", "GreenletExit", "Mute"]


@register("faulty.hooks")
class FaultyHooks(StandardTool):
    """Fails in what surrounds its methods."""

    def fine(self) -> str:
        return "fine"

    def begin(self):
        pass

    def commit(self):
        if context.method == "commits":
            raise SystemExit(5)

    def abort(self):
        if context.method == "aborts":
            raise RuntimeError("nor that")

    def commits(self):
        pass

    def aborts(self):
        raise ValueError("first")

    def validated(self):
        pass

    @validate(validated)
    def _check(self, call):
        raise SystemExit(6)

    @require(lambda: 1 / 0)
    def required(self):
        pass


def refuse_rewriting(request: Request):
    if request.path == "/rewritten":
        raise KeyboardInterrupt
    return None


@pytest.fixture(scope="module")
def server():
    rewriting = chain("system.request.rewrite", Request)
    rewriting.append(refuse_rewriting)
    try:
        with opened(Faulty, FaultyHooks) as running:
            yield running
    finally:
        rewriting.remove(refuse_rewriting)


@pytest.fixture
def log():
    """What the error log has of the tool, record by record."""

    class Lines(logging.Handler):
        def __init__(self):
            super().__init__()
            self.texts = []
            self.format = ErrorLog().format

        def emit(self, record):
            # At once, as the frames of failures are forgotten.
            if record.levelno >= logging.ERROR:
                self.texts.append(self.format(record))

    handler = Lines()
    logging.getLogger().addHandler(handler)
    yield handler.texts
    logging.getLogger().removeHandler(handler)


def ask(server, method, *arguments, tool="faulty"):
    name = f"{tool}.{method}"
    return Asked(name, arguments, {}, server.worker.registry.target(name))


def doors(server):
    for door in server.doors:
        yield door
        (told,) = door.call([ask(server, "fine")])
        assert told.value == "fine", door.name


def failure_of(door, asked):
    (told,) = door.call([door.form(asked)])
    assert told.failure is not None, door.name
    return told.failure


def tells_line(logged, method):
    """Whether a log has a line of a method, as tracebacks tell it."""
    rows, first = inspect.getsourcelines(getattr(Faulty, method))
    told = re.findall(rf"{re.escape(__file__)}(?::|\", line )(\d+)", logged)
    return any(int(line) in range(first, first + len(rows)) for line in told)


@pytest.mark.parametrize(("method", "kind", "code"), RAISED)
def test_whatever_is_raised_fails_its_own_call(server, log, method, kind, code):
    for door in doors(server):
        log.clear()
        found = failure_of(door, ask(server, method))
        assert found.kind in (kind, None), door.name
        assert found.code in (code, None), door.name
        assert found.status in (200, 500, None), door.name
        assert len(found.text or "") < 17_000, door.name
        logged = "".join(log)
        assert f"faulty.{method} failed, reference " in logged, door.name
        assert tells_line(logged, method), door.name
        assert len(logged) < 40_000


def test_an_error_may_leave_its_base_out(server):
    for door in doors(server):
        found = failure_of(door, ask(server, "out_of_print"))
        assert found.kind in ("OutOfPrint", None), door.name
        assert found.code in (-32152, None), door.name
        assert found.text == "book", door.name


@pytest.mark.parametrize("method", ["facts_of_no_kind", "facts_that_exit"])
def test_an_error_arrives_without_facts_that_cannot_be_told(server, log, method):
    for door in doors(server):
        log.clear()
        found = failure_of(door, ask(server, method))
        assert found.kind in ("NotFound", None), door.name
        assert found.code in (-32004, None), door.name
        assert found.text == "gone", door.name
        assert f"faulty.{method}: NotFound cannot be told: data: " in log[0]


@pytest.mark.parametrize(("method", "kind", "words"), RETURNED)
def test_what_cannot_be_sent_fails_its_own_call(server, log, method, kind, words):
    for door in doors(server):
        log.clear()
        (told,) = door.call([ask(server, method)])
        if told.failure is None:
            # A pickle carries a circle.
            assert (door.name, method) == ("PickleRPC", "gives_circle")
            continue
        assert told.failure.kind in (kind, None), door.name
        assert told.failure.code in (-32500, None), door.name
        logged = "".join(log)
        assert f"faulty.{method}" in logged, door.name
        assert words in logged, door.name
        assert re.search(rf"{re.escape(__file__)}(:|\", line )\d+", logged), door.name


def test_depth_ends_no_process(server, log):
    for door in doors(server):
        found = failure_of(door, ask(server, "gives_depth"))
        assert found.kind in ("ApplicationError", None), door.name
        assert "faulty.gives_depth (" in log[-1], door.name


def test_a_result_that_fails_spoils_no_other_of_its_batch(server):
    methods = ["fine", "gives_exit", "gives_lazy", "fine", "exits"]
    batch = [
        {"jsonrpc": "2.0", "id": n, "method": f"faulty.{method}"}
        for n, method in enumerate(methods)
    ]
    with requests.Session() as session:
        session.trust_env = False
        url = f"{server.worker.url.rstrip('/')}/JSONRPC"
        answers = session.post(url, json=batch, timeout=20).json()
    assert [a.get("result") for a in answers] == ["fine", None, None, "fine", None]
    kinds = [answers[number]["error"]["data"]["type"] for number in (1, 2, 4)]
    assert kinds == ["SystemExit", "RuntimeError", "SystemExit"]


@pytest.mark.parametrize("kind", STREAMED)
def test_a_stream_that_fails_before_its_first_piece(server, log, kind):
    for door in doors(server):
        log.clear()
        found = failure_of(door, ask(server, "stream_of", kind, False))
        assert found.kind in (kind, None), door.name
        assert found.code in (-32500, None), door.name
        assert "faulty.stream_of failed, reference " in log[0], door.name
        assert tells_line(log[0], "stream_of"), door.name


@pytest.mark.parametrize("kind", STREAMED)
def test_a_stream_that_fails_after_its_first_piece(server, log, kind):
    for door in doors(server):
        log.clear()
        found = failure_of(door, ask(server, "stream_of", kind, True))
        if door.name == "REST":
            # The status has been sent: the end of the connection tells.
            assert "breaks off" in found.text
            assert "in the stream of faulty.stream_of, reference " in log[0]
        else:
            assert found.kind in (kind, None), door.name
            assert "faulty.stream_of failed, reference " in log[0], door.name
        assert tells_line(log[0], "stream_of"), door.name
        assert len(log) == 1, door.name


@pytest.mark.parametrize("first", [False, True])
def test_a_stream_of_what_cannot_be_sent(server, log, first):
    for door in doors(server):
        log.clear()
        found = failure_of(door, ask(server, "stream_of_things", first))
        if door.name == "REST" and first:
            assert "breaks off" in found.text
        else:
            assert found.kind in ("ApplicationError", None), door.name
        assert "faulty.stream_of_things" in "".join(log), door.name


@pytest.mark.parametrize("kind", ["status", "field", "length"])
def test_a_response_that_cannot_be_sent(server, log, kind):
    for door in doors(server):
        log.clear()
        failure_of(door, ask(server, "gives_response", kind))
        named = "/faulty/" if door.name == "REST" else "faulty."
        assert f"{named}gives_response" in "".join(log), door.name


#: What surrounds a method and fails, and what the caller is told.
AROUND = [
    ("commits", "SystemExit"),
    ("aborts", "ValueError"),
    ("validated", "SystemExit"),
    ("required", "ZeroDivisionError"),
]


@pytest.mark.parametrize(("method", "kind"), AROUND)
def test_what_surrounds_a_method_fails_its_call(server, log, method, kind):
    for door in doors(server):
        log.clear()
        found = failure_of(door, ask(server, method, tool="faulty.hooks"))
        assert found.kind in (kind, None), door.name
        assert found.code in (-32500, None), door.name
        logged = "".join(log)
        assert f"faulty.hooks.{method} failed, reference " in logged, door.name
        assert f'{__file__}", line ' in logged, door.name


def test_a_handler_of_errors_that_fails_too(server, log):
    for door in doors(server):
        log.clear()
        found = failure_of(door, ask(server, "handled"))
        assert found.kind in ("ValueError", None), door.name
        if door.name == "REST":
            assert "faulty.handled: its error handler failed" in log[1]
            assert tells_line(log[1], "_handle")


def test_a_handler_of_a_chain_that_raises_anything_is_skipped(server, log):
    with requests.Session() as session:
        session.trust_env = False
        url = server.worker.url.rstrip("/")
        assert session.get(f"{url}/rewritten", timeout=20).status_code == 404
        assert session.post(f"{url}/faulty/fine", timeout=20).text == "fine"
    assert "skipped the handler tests.web.test_faulty_tools.refuse_rewriting" in log[0]
    assert "KeyboardInterrupt" in log[0]
    assert f'{__file__}", line ' in log[0]
