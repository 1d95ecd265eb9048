"""What the built-in tools tell of tools that are unlike most."""

from __future__ import annotations

from typing import Literal

import pytest
import requests

import toolserver.testing
from toolserver import (
    Document,
    FactoryTool,
    TransientTool,
    prompt,
    register,
    resource,
)
from toolserver.builtin import openapi
from toolserver.protocols.mcp_envelope import HANDSHAKE


class Page(TransientTool):
    def title(self) -> str:
        return self.namespace


@register("book")
class Book(FactoryTool):
    children = (Page,)

    def child_exists(self, key: str) -> bool:
        return key.startswith("page")

    @resource("book://cover", media_type="text/plain")
    def cover(self) -> Document:
        return Document("book://cover", b"red", "image/x-color")

    @prompt
    def summary(self) -> str:
        return "Tell of it."

    def has(self, number: Literal[1, 2], kind: Literal[1, "b"]) -> bool:
        return True


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with toolserver.testing.serve(
        Book,
        home=tmp_path_factory.mktemp("home"),
        config={"static": {"enabled": False}},
    ) as running:
        yield running


def ask(server, method, **params):
    message = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
    told = requests.post(
        server.url("/mcp"),
        json=message,
        headers={"MCP-Protocol-Version": HANDSHAKE[-1]},
        timeout=10,
    ).json()
    return told["result"] if "result" in told else told["error"]


def test_no_files_are_offered_where_none_are_served(server):
    (server.worker.home.www / "page.html").write_text("<p>")
    listed = ask(server, "resources/list")["resources"]
    assert {each["uri"].partition(":")[0] for each in listed} == {"book", "toolserver"}


def test_a_description_of_no_tool(server):
    told = ask(server, "resources/read", uri="toolserver:tools/bock")
    assert told["code"] == -32002


def test_a_document_tells_of_itself(server):
    told = ask(server, "resources/read", uri="book://cover")
    assert told["contents"][0]["mimeType"] == "image/x-color"


@pytest.mark.parametrize("name", ["book.cover", "nothing"])
def test_what_is_no_prompt(server, name):
    told = ask(server, "prompts/get", name=name)
    assert told == {"code": -32602, "message": f"unknown prompt: {name!r}"}


@pytest.mark.parametrize(
    "ref",
    [
        {"type": "ref/resource", "uri": "book://none"},
        {"type": "ref/prompt", "name": "x"},
    ],
)
def test_nothing_completes_what_there_is_not(server, ref):
    given = {"name": "number", "value": ""}
    told = ask(server, "completion/complete", ref=ref, argument=given)
    assert told["completion"]["values"] == []


def test_choices_of_several_types_are_strings_to_xmlrpc(server):
    told = server.remote("RPC2").call("system.methodSignature", "book.has")
    assert told == [["boolean", "int", "string"]]


def test_documents_are_kept_within_bounds(server, monkeypatch):
    monkeypatch.setattr(openapi, "_KEPT", 2)
    tool = server.worker.registry.of_class(openapi.OpenAPITool).tool
    tool._kept.clear()
    for name in ("book", "openapi", "system", "book"):
        assert server.http.get(f"/openapi.json?tool={name}").status_code == 200
    # Those of a tool that comes and goes are not kept.
    assert server.http.get("/openapi.json?tool=book.page").status_code == 200
    assert len(tool._kept) == 2


@pytest.mark.parametrize("left_out", ["WSDL", "openapi"])
def test_the_api_page_links_to_what_there_is(tmp_path, left_out):
    config = {"tools": {"omit": [left_out]}}
    with toolserver.testing.serve(Book, home=tmp_path, config=config) as other:
        page = other.http.get("/API/book").text
    links = {"WSDL": "/WSDL/book", "openapi": "/openapi.json?tool=book"}
    shown = {name for name, link in links.items() if f'{link}"' in page}
    assert shown == set(links) - {left_out}
