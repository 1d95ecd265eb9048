"""Which methods are called, which calls are left out, and what is told of it."""

from __future__ import annotations

import itertools
from typing import Annotated

import gevent
import msgspec
import pytest

from tests.parity.opening import opened
from toolserver import (
    CRAMSettings,
    FactoryTool,
    Image,
    OnlyRPCCRAMTool,
    Request,
    StandardTool,
    TransientTool,
    expose,
    generator,
    hidden,
    idempotent,
    parser,
    read_only,
    register,
)
from toolserver.errors import StartError
from toolserver.parity.calls import Asked, Failure, Told
from toolserver.parity.reporting import Report
from toolserver.parity.running import Fault, MethodReport
from toolserver.parity.selecting import select
from toolserver.parity.trial import try_methods

Coded = Annotated[str, msgspec.Meta(pattern="^[a-z]{30}-[0-9]{30}$")]


@register("trial.mixed")
class Mixed(StandardTool):
    numbers = itertools.count()

    @read_only
    def fine(self, value: int) -> int:
        return value

    @read_only
    def picture(self) -> Image:
        return Image(b"x", "image/png")

    @read_only
    def coded(self, value: Coded) -> str:
        return value

    @read_only
    def slow(self, value: int) -> int:
        if value == 2**31:
            gevent.sleep(60)
        return value

    @read_only
    def always_slow(self) -> None:
        gevent.sleep(60)

    @read_only
    def unsteady(self) -> int:
        return next(self.numbers)

    @read_only
    def parsed(self, value: int) -> int:
        return value

    @parser(parsed)
    def _parse(self, request: Request) -> dict[str, int]:
        return {"value": 7}

    @read_only
    def drawn(self) -> str:
        return "drawn"

    @generator(drawn, content_type="text/plain")
    def _draw(self, request: Request, result: str) -> str:
        return f"<{result}>"

    @idempotent
    def put(self, value: bool) -> bool:
        return value

    def change(self, value: bool) -> bool:
        return value

    @read_only
    @expose("renamed")
    def other_name(self) -> int:
        return 1

    @read_only
    @hidden
    def secret(self) -> int:
        return 2


@register("trial.locked")
class Locked(OnlyRPCCRAMTool):
    settings = CRAMSettings(secret="s")

    @read_only
    def ask(self) -> int:
        return 1


class Book(TransientTool):
    @read_only
    def title(self) -> str:
        return self.key


@register("trial.library")
class Library(FactoryTool):
    children = (Book,)

    def child_keys(self) -> list[str]:
        return ["dune", "emma~2"]


@pytest.fixture(scope="module")
def server():
    with opened(Mixed, Locked, Library) as running:
        yield running


def names(selection):
    return [target.name for _, target in selection.methods]


def test_only_methods_that_change_nothing_are_chosen(server):
    chosen = select(server.worker.registry)
    mixed = [
        *("always_slow", "coded", "drawn", "fine", "parsed", "renamed", "slow"),
        "unsteady",
    ]
    assert names(chosen) == [
        "trial.library.dune.title",
        "trial.library.emma~2.title",
        *(f"trial.mixed.{name}" for name in mixed),
    ]
    assert chosen.skipped == {
        "trial.mixed.put": "only @idempotent: --idempotent calls it",
        "trial.mixed.change": "not @read_only: its full name calls it",
        "trial.mixed.picture": (
            "returns Image, which each protocol has in its own way"
        ),
        "trial.locked.ask": "asks for the answer to a challenge",
    }


def test_methods_and_tools_can_be_named(server):
    registry = server.worker.registry
    assert names(select(registry, ["trial.mixed.change"])) == ["trial.mixed.change"]
    assert names(select(registry, ["trial.library"])) == [
        "trial.library.dune.title",
        "trial.library.emma~2.title",
    ]
    found = names(select(registry, ["trial.mixed"], idempotent=True))
    assert "trial.mixed.put" in found
    assert "trial.mixed.change" not in found
    # The server's own tools are asked where they are meant.
    assert "system.listMethods" in names(select(registry, ["system"]))
    for wrong in ("trial.mixd", "trial.mixed.secret", "trial.mixed.other_name", ""):
        with pytest.raises(StartError, match="no tool and no method"):
            select(registry, [wrong])


def test_what_cannot_be_compared_is_told(server):
    wanted = ("slow", "always_slow", "unsteady", "coded", "parsed", "drawn")
    chosen = select(server.worker.registry, [f"trial.mixed.{name}" for name in wanted])
    report = try_methods(chosen, server.inside, server.doors, count=14, seed=1)
    assert report.skipped == {
        "trial.mixed.always_slow": "each call takes more than 0.5 s",
        "trial.mixed.unsteady": "tells something else each time",
        "trial.mixed.coded": "no value of type str could be made",
    }
    found = {method.name: method for method in report.methods}
    assert found.keys() == {
        f"trial.mixed.{name}" for name in ("slow", "parsed", "drawn")
    }
    assert not report.has_faults
    assert found["trial.mixed.slow"].slow == 1
    assert found["trial.mixed.parsed"].skipped == {"REST": "has a parser for REST"}
    assert found["trial.mixed.drawn"].skipped == {"REST": "has a generator for REST"}
    (line,) = [line for line in report.lines() if line.startswith("trial.mixed.slow:")]
    assert line.endswith("slow ones left out")


def test_a_report_can_be_printed_whatever_values_were_sent():
    failure = Failure("ValueError", -32500, "lone \ud800 and \x1b[31m", 500)
    fault = Fault(
        "REST", Asked("a.b", ("\ud800",)), Told("x" * 1000), Told(None, failure)
    )
    method = MethodReport("a.b", {"REST": 9}, [fault] * 5)
    report = Report(3, 9, [method], {"a.c": "why"})
    text = "\n".join(report.lines())
    assert all(line.isprintable() for line in text.split("\n"))
    assert "got:      ValueError -32500 HTTP 500: lone \\ud800 and \\x1b[31m" in text
    assert "… (1002 in all)" in text
    assert "REST: 2 more" in text
    assert "again: tsctl test a.b --count 9 --seed 3" in text
    assert text.endswith("1 method, 9 calls, 1 with faults (seed 3)")
    told = report.as_json()
    assert (told["agrees"], told["methods"][0]["differing"]) == (False, {"REST": 5})
    assert len(told["methods"][0]["faults"]) == 3
