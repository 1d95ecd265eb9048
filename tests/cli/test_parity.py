"""``tsctl test`` on the tools of a home."""

from __future__ import annotations

import json

import pytest

from .conftest import ask, run

TOOLS = """
import itertools

from toolserver import AuthenticatedTool, StandardTool, idempotent, read_only, register


@register("shop.orders")
class Orders(StandardTool):
    numbers = itertools.count()

    @read_only
    def find(self, name: str, most: int = 3) -> list[str]:
        print("noise")
        return [name] * min(abs(most), 3)

    @read_only
    def divide(self, one: float, other: float) -> float:
        return one / other

    @read_only
    def number(self) -> int:
        return next(self.numbers)

    @idempotent
    def put(self, name: str) -> int:
        self.storage.write("name", name.encode("utf-8", "replace"))
        return len(name)

    def place(self, name: str) -> None:
        self.storage.write("placed", name)


@register("shop.staff")
class Staff(AuthenticatedTool):
    groups = "staff"

    @read_only
    def secret(self) -> str:
        return "open"
"""

BROKEN = """
from toolserver import register_protocol
from toolserver.protocols.xmlrpc import XMLRPC
from toolserver.settings import Limits, XMLRPCSettings


class Shouting(XMLRPC):
    def encode(self, request, outcomes):
        answer = super().encode(request, outcomes)
        answer.body = answer.body.replace(b"<string>a</string>", b"<string>A</string>")
        return answer


register_protocol(Shouting(Limits(), XMLRPCSettings()))
"""


@pytest.fixture
def home(tmp_path):
    ask(tmp_path, "init")
    (tmp_path / "tools" / "parity_orders.py").write_text(TOOLS)
    return tmp_path


def test_what_agrees_what_is_left_out_and_what_stays_as_it_was(home):
    done = run(home, "test", "shop", "--count", 12, "--json", "--group", "staff")
    assert (done.code, done.err) == (0, "")
    told = json.loads(done.out)
    assert (told["seed"], told["count"], told["agrees"]) == (1, 12, True)
    methods = {method["name"]: method for method in told["methods"]}
    assert set(methods) == {
        "shop.orders.find",
        "shop.orders.divide",
        "shop.staff.secret",
    }
    found = methods["shop.orders.find"]
    assert set(found["calls"]) == {
        *("REST", "JSON-RPC", "XML-RPC", "SOAP rpc/encoded", "SOAP document/literal"),
        *("PickleRPC", "job", "MCP"),
    }
    assert min(found["calls"].values()) >= 12
    assert told["skipped"] == {
        "shop.orders.number": "tells something else each time",
        "shop.orders.place": "not @read_only: its full name calls it",
        "shop.orders.put": "only @idempotent: --idempotent calls it",
    }
    assert list((home / "var").iterdir()) == []


def test_a_broken_codec_is_found(home):
    (home / "tools" / "parity_broken.py").write_text(BROKEN)
    done = run(home, "test", "shop.orders", "--idempotent", "--count", 25, "--seed", 7)
    assert (done.code, done.err) == (1, "")
    assert "shop.orders.find: differs" in done.out
    assert "shop.orders.put: ok" in done.out
    assert "  XML-RPC\n    call:     shop.orders.find(" in done.out
    assert "    got:      ['A'" in done.out
    assert "  again: tsctl test shop.orders.find --count 25 --seed 7\n" in done.out
    assert "noise" not in done.out
    assert done.out.endswith("1 with faults (seed 7)\n")


def test_what_cannot_be_tested(home):
    done = run(home, "test", "shop.oders")
    assert (done.code, done.out) == (1, "")
    assert done.err == (
        "Error: no tool and no method 'shop.oders', did you mean 'shop.orders'?\n"
    )
    (home / "tools" / "parity_orders.py").write_text(
        TOOLS.replace("    @read_only\n", "")
    )
    done = run(home, "test")
    assert (done.code, done.err) == (4, "")
    assert done.out.endswith("0 methods, 0 calls, no faults (seed 1)\n")
    assert ask(home, "test", "--count", 0).code == 2
