"""Calls to be copied: which there are, and that programs can be read as such."""

from __future__ import annotations

import enum

import pytest

from toolserver import StandardTool, expose, read_only
from toolserver.describe.snippets import Address, snippets
from toolserver.toolspecs import describe_tool

ADDRESS = Address("http://host/", "shop", "/shop/")
RPC = (
    *("Python, toolserver", "curl, JSON-RPC"),
    *("Python, xmlrpc.client", "Python, zeep"),
)


class Odd(enum.Enum):
    OTHER = object()


class Shop(StandardTool):
    @expose("sell-out")
    def sell_out(self, item: str, note: str = "") -> None: ...

    @expose("import")
    def import_(self, item: str) -> None: ...

    @read_only
    def is_open(self, today: bool) -> bool: ...

    def pick(self, odd: Odd) -> None: ...


def snippets_of(name, *, verbs=("GET", "POST"), is_rendered=False):
    spec = describe_tool(Shop)[name]
    found = snippets(spec, ADDRESS, verbs=verbs, is_rendered=is_rendered)
    return {each.label: each.code for each in found}


@pytest.mark.parametrize(
    ("verbs", "labels"),
    [
        (["POST"], {"curl", "Python, requests", *RPC}),
        (["GET"], set(RPC)),
        ([], set(RPC)),
    ],
)
def test_only_ways_that_are_open_are_shown(verbs, labels):
    assert set(snippets_of("pick", verbs=verbs)) == labels


@pytest.mark.parametrize("name", ["sell-out", "import"])
def test_what_is_no_name_in_python_is_looked_up_by_its_text(name):
    found = snippets_of(name)
    assert f"getattr(tool, '{name}')(item='text')" in found["Python, toolserver"]
    assert f"getattr(server, 'shop.{name}')('text')" in found["Python, xmlrpc.client"]
    assert f"client.service['{name}'](item='text')" in found["Python, zeep"]
    for label, code in found.items():
        if label.startswith("Python"):
            compile(code, label, "exec")


def test_what_changes_nothing_is_asked_for_by_a_query():
    found = snippets_of("is_open", is_rendered=True)
    assert found["curl"] == (
        "curl -H 'Accept: application/json' 'http://host/shop/is_open?today=true'"
    )
    assert snippets_of("is_open", verbs=["POST"])["curl"].startswith(
        "curl http://host/shop/is_open \\\n  -H 'Content-Type: application/json'"
    )


def test_of_what_nobody_can_send_none_is_shown():
    assert """-d '{"odd": null}'""" in snippets_of("pick")["curl"]
