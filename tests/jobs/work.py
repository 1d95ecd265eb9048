"""A tool whose calls tests hold up and let go."""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import Iterator
from typing import Any

from gevent.event import Event

from tests.sample import OutOfStock
from toolserver import (
    Call,
    CRAMSettings,
    Markup,
    OnlyRPCCRAMTool,
    Request,
    Response,
    StandardTool,
    context,
    generator,
    hidden,
    html,
    on_error,
    parser,
    progress,
    read_only,
    register,
    rest,
    validate,
)
from toolserver.errors import Forbidden


@dataclasses.dataclass
class Receipt:
    item: str
    count: int = 1


@register("work")
class Work(StandardTool):
    """Does what tests ask for."""

    def __init__(self) -> None:
        self.release = Event()
        self.calls: list[str] = []

    def add(self, a: int, b: int = 1) -> int:
        """Add two numbers.

        Args:
            a: One.
            b: The other.
        """
        self.calls.append("add")
        return a + b

    @read_only
    def look(self, what: str = "nothing") -> str:
        return f"saw {what}"

    def order(self, item: str, count: int = 1) -> Receipt:
        return Receipt(item, count)

    @parser(order, "PUT")
    def _parse(self, request: Request) -> dict[str, str]:
        return {"item": request.query["what"]}

    @generator(order, content_type="text/csv")
    def _csv(self, request: Request, receipt: Receipt) -> str:
        return f"{receipt.item},{receipt.count}\n"

    @generator(order, content_type="application/json")
    def _json(self, request: Request, receipt: Receipt) -> Receipt:
        return receipt

    def who(self) -> str:
        return f"{context.client} {sorted(context.groups)} {context.job_id is not None}"

    def wait(self, text: str = "released") -> str:
        self.calls.append(f"wait {text}")
        progress(0.25, "began")
        if not self.release.wait(20):
            raise TimeoutError("nobody released it")
        progress(0.75, "nearly")
        return text

    @read_only
    def let_go(self) -> None:
        self.release.set()

    def fail(self, how: str = "own") -> None:
        if how == "own":
            raise OutOfStock("nothing left", data={"item": "book"})
        raise ValueError("no way")

    def break_down(self, how: str = "own") -> None:
        self.fail(how)

    @on_error(fail)
    def _failed(self, request: Request, exc: Exception) -> str:
        return f"sorry: {exc}"

    def page(self) -> Markup:
        return html.document("Page", html.h1("Work"))

    def octets(self) -> bytes:
        return b"\0\1"

    def kinds(self) -> list[Any]:
        return [None, 1.5, "text", {"a": [1]}, dt.date(2026, 1, 2)]

    def nothing(self, refuse: bool = False) -> None: ...

    @validate(nothing)
    def _refuse(self, call: Call) -> None:
        if call.kwargs.get("refuse"):
            raise Forbidden("not you")

    @rest("POST")
    def raw(self, request: Request) -> Response:
        return Response("raw")

    def stream(self) -> Iterator[str]:
        return iter(["a", "b"])

    @hidden
    def secret(self) -> str:
        return "secret"


@register("locked")
class Locked(OnlyRPCCRAMTool):
    settings = CRAMSettings(secret="s")

    def add(self, a: int, b: int = 1) -> int:
        return a + b
