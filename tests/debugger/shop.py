"""Tools that are looked into."""

from __future__ import annotations

import time
from collections.abc import Iterator

from gevent.event import Event
from gevent.monkey import get_original

from toolserver import StandardTool, call, limit, register, require, threaded

native_sleep = get_original("time", "sleep")


@register("shop")
class Shop(StandardTool):
    greeting = "Hello"

    def __init__(self) -> None:
        self.gate = Event()
        self.journal: list[str] = []
        self.is_open = False

    def greet(self, name: str) -> str:
        return f"{self.greeting} {name}!"

    @require(lambda count: count > 0, "some")
    def order(self, count: int) -> int:
        return count

    def wait(self, word: str = "") -> str:
        self.gate.wait()
        return word

    def outer(self) -> str:
        return call("stock.reserve")

    def stubborn(self) -> str:
        try:
            self.gate.wait()
        except Exception:
            self.gate.wait()
        return "after all"

    def pieces(self) -> Iterator[str]:
        yield "first "
        self.gate.wait()
        yield "last"

    @threaded
    def computes(self) -> str:
        deadline = time.monotonic() + 20
        while not self.is_open and time.monotonic() < deadline:
            native_sleep(0.01)
        return "computed"

    @limit(timeout=60)
    def bounded(self) -> None:
        self.gate.wait()

    def start(self) -> str:
        return self.spawn(self.wait, "spawned").id

    def start_unlisted(self) -> None:
        """Spawn what is no method of a tool."""

        def waits() -> None:
            self.gate.wait()

        self.spawn(waits)
        self.spawn(self.gate.wait)
        self.spawn(lambda: call("stock.reserve"))

    def queue(self) -> str:
        return self.enqueue(0, self.wait, "queued").id


@register("stock")
class Stock(StandardTool):
    """A tool with transactions."""

    def __init__(self) -> None:
        self.gate = Event()
        self.journal: list[str] = []

    def begin(self) -> None:
        self.journal.append("begin")

    def commit(self) -> None:
        self.journal.append("commit")

    def abort(self) -> None:
        self.journal.append("abort")

    def reserve(self) -> str:
        self.gate.wait()
        return "reserved"
