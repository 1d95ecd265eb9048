"""Errors of each kind are told through each door, with class, number and status."""

from __future__ import annotations

import gevent
import pytest

from tests.parity.opening import opened, told
from toolserver import (
    ObsoleteTool,
    StandardTool,
    call,
    ensure,
    invariant,
    limit,
    register,
    require,
    require_client,
    require_group,
)
from toolserver.errors import (
    ApplicationError,
    Conflict,
    InternalError,
    NotFound,
    NotOffered,
    Overload,
    TooMany,
    Unauthenticated,
)
from toolserver.parity.calls import Asked


class SoldOut(ApplicationError):
    code = -32151
    status = 409


@register("parity.failing")
class Failing(StandardTool):
    """Fails in each way."""

    @require(lambda count: count > 0, "at least one")
    @ensure(lambda count, result: result > count, "more than before")
    def contract(self, count: int) -> int:
        return count

    def forbidden(self) -> None:
        require_group("editors")

    def for_others(self) -> None:
        require_client("somebody")

    def unauthenticated(self) -> None:
        raise Unauthenticated("sign in first")

    @limit(timeout=0.02)
    def slow(self) -> None:
        gevent.sleep(30)

    def overloaded(self) -> None:
        raise Overload("no room")

    def too_many(self) -> None:
        raise TooMany("slowly")

    def missing(self) -> None:
        raise NotFound("no such thing")

    def conflict(self) -> None:
        raise Conflict("not now: 'ä <&> 𝄞'")

    def not_offered(self) -> None:
        raise NotOffered("not here")

    def own(self) -> None:
        raise SoldOut("sold out", data={"left": 0})

    def value_error(self) -> None:
        raise ValueError("broken: twice")

    def key_error(self) -> None:
        raise KeyError("key")

    def silent(self) -> None:
        raise RuntimeError

    def odd(self) -> None:
        raise type("Odd", (Exception,), {})("odd\nlines\t of text")

    def leaves(self) -> None:
        raise SystemExit(3)

    def internal(self) -> None:
        raise InternalError("a-1")

    def unsendable(self) -> object:
        return object()

    def bad_call(self) -> None:
        call("parity.failing.nothing")


@register("parity.broken")
class Broken(StandardTool):
    @invariant
    def _never(self) -> bool:
        """It never holds."""
        return False

    def ask(self) -> None: ...


@register("parity.gone")
class Gone(ObsoleteTool):
    obsolete = {"buy": "use shop.orders.place"}  # noqa: RUF012 - read only


#: Each way to fail: the call, the class, the number, and the status over REST.
#: They are those of the reference of errors.
TABLE = [
    ("parity.failing.contract", (0,), "RequireBroken", -32022, 422),
    ("parity.failing.contract", (1,), "EnsureBroken", -32023, 500),
    ("parity.broken.ask", (), "InvariantBroken", -32023, 500),
    ("parity.failing.contract", ("one",), "InvalidParams", -32602, 400),
    ("parity.failing.contract", (), "InvalidParams", -32602, 400),
    ("parity.failing.forbidden", (), "Forbidden", -32003, 403),
    ("parity.failing.for_others", (), "Forbidden", -32003, 403),
    ("parity.failing.unauthenticated", (), "Unauthenticated", -32001, 401),
    ("parity.gone.buy", (), "Obsolete", -32010, 410),
    ("parity.failing.slow", (), "CallTimeout", -32008, 503),
    ("parity.failing.overloaded", (), "Overload", -32029, 503),
    ("parity.failing.too_many", (), "TooMany", -32029, 429),
    ("parity.failing.missing", (), "NotFound", -32004, 404),
    ("parity.failing.conflict", (), "Conflict", -32009, 409),
    ("parity.failing.not_offered", (), "NotOffered", -32051, 501),
    ("parity.failing.own", (), "SoldOut", -32151, 409),
    ("parity.failing.value_error", (), "ValueError", -32500, 500),
    ("parity.failing.key_error", (), "KeyError", -32500, 500),
    ("parity.failing.silent", (), "RuntimeError", -32500, 500),
    ("parity.failing.odd", (), "Odd", -32500, 500),
    ("parity.failing.leaves", (), "SystemExit", -32500, 500),
    ("parity.failing.internal", (), "InternalError", -32603, 500),
    ("parity.failing.unsendable", (), "ApplicationError", -32500, 500),
    ("parity.failing.bad_call", (), "MethodNotFound", -32500, 500),
]


@pytest.fixture(scope="module")
def server():
    with opened(Failing, Broken, Gone) as running:
        yield running


@pytest.mark.parametrize(("name", "args", "kind", "code", "status"), TABLE)
def test_each_failure(server, name, args, kind, code, status):
    asked = Asked(name, args, {}, server.worker.registry.target(name))
    (expected,) = server.inside.call([asked])
    found = expected.failure
    assert (found.kind, found.code, found.status) == (kind, code, status)
    # One call alone, and two in a batch.
    report = server.judge(name, [asked] * 3)
    assert told(report) == []
    assert not report.skipped


def test_what_each_door_tells_of_a_failure(server):
    name = "parity.failing.own"
    asked = Asked(name, (), {}, server.worker.registry.target(name))
    seen = {}
    for door in server.doors:
        (found,) = door.call([asked])
        seen[door.name] = (
            found.failure.kind,
            found.failure.code,
            found.failure.status,
            found.failure.text,
        )
    kind, code, text = "SoldOut", -32151, "sold out"
    assert seen == {
        "REST": (kind, code, 409, text),
        "JSON-RPC": (kind, code, 200, text),
        "XML-RPC": (None, code, 200, text),
        "SOAP rpc/encoded": (kind, None, 500, text),
        "SOAP document/literal": (kind, None, 500, text),
        "PickleRPC": (kind, code, None, text),
        "job": (kind, code, 200, text),
        "MCP": (kind, code, 200, text),
    }
