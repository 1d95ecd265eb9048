"""The OpenAPI document as it is served."""

from __future__ import annotations

import pytest
from blog import Blog
from greeting import Greeting
from openapi_spec_validator import validate as validate_document

import toolserver.testing
from tests.sample import Types
from toolserver import register, validate
from toolserver.builtin.openapi import OpenAPITool
from toolserver.declarations import declared
from toolserver.errors import Forbidden


@pytest.fixture(scope="module")
def server():
    settings = {"openapi": {"title": "Greetings", "version": "3"}}
    with toolserver.testing.serve(Greeting, Types, Blog, settings=settings) as running:
        yield running


def test_all_tools_but_the_servers_own_are_described(server):
    answer = server.http.get("/openapi.json")
    assert answer.headers["Content-Type"] == "application/json"
    document = answer.json()
    validate_document(document)
    assert {path.split("/")[1] for path in document["paths"]} == {
        *("greeting", "sample", "blog"),
    }
    assert document["info"]["title"] == "Greetings"
    assert document["info"]["version"] == "3"
    assert document["servers"] == [{"url": server.url("")}]


@pytest.mark.parametrize("tool", ["greeting", "openapi", "system"])
def test_a_single_tool_can_be_asked_for(server, tool):
    document = server.http.get("/openapi.json", params={"tool": tool}).json()
    validate_document(document)
    assert [tag["name"] for tag in document["tags"]] == [tool]


def test_a_tool_of_a_factory_can_be_asked_for(server):
    key = server.call("blog.create", "A title", "A text")
    namespace = f"blog.{key.strip('/').rpartition('/')[2]}"
    document = server.http.get("/openapi.json", params={"tool": namespace}).json()
    validate_document(document)
    assert f"/{namespace.replace('.', '/')}/show" in document["paths"]


def test_an_unknown_tool_is_not_found(server):
    answer = server.http.get("/openapi.json?tool=greting")
    assert answer.status_code == 404
    assert answer.json()["detail"] == "no tool 'greting', did you mean 'greeting'?"


def test_accounts_are_told_where_they_are_judged(server):
    document = server.http.get("/openapi.json?tool=greeting").json()
    assert document["components"]["securitySchemes"]["basic"]["scheme"] == "basic"
    assert document["security"] == [{}, {"basic": []}]
    assert "401" in document["paths"]["/greeting/greet_all"]["post"]["responses"]
    with toolserver.testing.serve(Greeting, config={"auth": {"basic": False}}) as other:
        document = other.http.get("/openapi.json").json()
    assert document["components"]["securitySchemes"] == {}
    assert "security" not in document


def test_who_has_the_document_gets_304(server):
    tag = server.http.get("/openapi.json").headers["ETag"]
    again = server.http.get("/openapi.json", headers={"If-None-Match": tag})
    assert again.status_code == 304


def test_the_document_is_kept_until_the_tools_change():
    with toolserver.testing.serve(Greeting) as server:
        before = server.http.get("/openapi.json").json()
        tool = server.tool("openapi")
        (kept,) = tool._kept
        assert server.http.get("/openapi.json").json() == before
        assert list(tool._kept) == [kept]
        entry = server.worker.registry.prepare(Types(), "sample.later")
        server.worker.registry.swap([], [entry])
        after = server.http.get("/openapi.json").json()
        assert "/sample/later/int_" in after["paths"]


def test_the_public_address_goes_first():
    config = {"server": {"public_url": "https://shop.example/api"}}
    with toolserver.testing.serve(Greeting, config=config) as server:
        document = server.call("openapi.document")
        assert document["servers"] == [{"url": "https://shop.example/api"}]


class Restricted(OpenAPITool):
    @validate()
    def _nobody(self, call):
        raise Forbidden("not for you")


@pytest.fixture
def _undeclared():
    """What a test registers goes with it."""
    before = list(declared)
    yield
    declared[:] = before


@pytest.mark.usefixtures("_undeclared")
def test_the_document_can_be_restricted():
    register(Restricted, "openapi")
    with toolserver.testing.serve(Restricted) as server:
        assert server.http.get("/openapi.json").status_code == 403


def test_the_document_can_be_left_out():
    config = {"tools": {"omit": ["openapi"]}}
    with toolserver.testing.serve(Greeting, config=config) as server:
        assert server.http.get("/openapi.json").status_code == 404
