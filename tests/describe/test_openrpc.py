"""The OpenRPC document, and that calls are as it says."""

from __future__ import annotations

import pytest
from blog import Blog
from greeting import Greeting
from jsonschema import Draft202012Validator

import toolserver.testing
from tests.sample import Faults, Types
from toolserver import ObsoleteTool, StandardTool, limit, register
from toolserver.describe.openapi import Info
from toolserver.describe.openrpc import describe_rpc
from toolserver.registry import Registry


@register("sample.old")
class Old(ObsoleteTool):
    obsolete = {"sell": "use shop.buy"}  # noqa: RUF012  # as users write it


@pytest.fixture(scope="module")
def server():
    with toolserver.testing.serve(Greeting, Types, Faults, Blog, Old) as running:
        yield running


def discover(server, *params):
    call = {"jsonrpc": "2.0", "id": 1, "method": "rpc.discover", "params": params}
    answer = server.http.post("/JSONRPC", json=call).json()
    return answer["result"]


@pytest.fixture(scope="module")
def document(server):
    return discover(server)


@pytest.fixture(scope="module")
def methods(document):
    return {method["name"]: method for method in document["methods"]}


def test_the_document_has_the_members_that_the_specification_asks_for(document):
    assert document["openrpc"] == "1.3.2"
    assert document["info"].keys() >= {"title", "version"}
    names = [method["name"] for method in document["methods"]]
    assert len(set(names)) == len(names)
    for method in document["methods"]:
        assert method["paramStructure"] in ("by-name", "by-position", "either")
        required = [param["required"] for param in method["params"]]
        if method["paramStructure"] != "by-name":
            assert required == sorted(required, reverse=True)
        for described in (*method["params"], method["result"]):
            assert described.keys() >= {"name", "schema"}
        for error in method["errors"]:
            *_, name = error["$ref"].split("/")
            assert type(document["components"]["errors"][name]["code"]) is int


def test_all_schemas_are_valid_and_complete(document):
    schema = {"$defs": {"all": document}, **document}
    for method in document["methods"]:
        for described in (*method["params"], method["result"]):
            Draft202012Validator.check_schema(described["schema"])
            # A reference that leads nowhere raises.
            Draft202012Validator({**schema, **described["schema"]}).is_valid({})


def test_a_method_is_described(methods):
    method = methods["greeting.greet"]
    assert method["tags"] == [{"name": "greeting"}]
    assert method["summary"] == "Greet somebody."
    assert "- Requires: the name is not blank" in method["description"]
    assert method["paramStructure"] == "either"
    assert method["params"][1] == {
        "name": "language",
        "required": False,
        "description": "The language of the greeting.",
        "schema": {"type": "string", "enum": ["en", "de", "fr"], "default": "en"},
    }
    assert method["result"] == {
        "name": "result",
        "description": "The greeting.",
        "schema": {"type": "string"},
    }
    errors = [error["$ref"].rpartition("/")[2] for error in method["errors"]]
    assert {"InvalidParams", "RequireBroken", "Unwelcome"} <= set(errors)


def test_the_server_is_where_the_calls_go(server, document):
    assert document["servers"] == [
        {"name": "JSON-RPC 2.0", "url": server.url("/JSONRPC")}
    ]


def test_only_exported_methods_of_tools_are_described(methods):
    assert "sample.faults.fine" in methods
    assert "sample.faults.secret" not in methods
    assert not any(name.startswith(("system.", "rpc.", "API.")) for name in methods)


def test_how_arguments_may_be_given(methods):
    assert methods["sample.types.many"]["paramStructure"] == "by-name"
    assert methods["sample.old.sell"]["deprecated"] is True


def test_tools_of_a_factory_are_described_as_far_as_they_are_listed(server):
    key = server.call("blog.create", "A title", "A text").strip("/").rpartition("/")[2]
    names = [method["name"] for method in discover(server)["methods"]]
    assert f"blog.{key}.show" in names


def test_a_single_tool_can_be_asked_for(server):
    names = [method["name"] for method in discover(server, "system")["methods"]]
    assert "system.listMethods" in names
    with pytest.raises(KeyError, match="result"):
        discover(server, "nope")


class Bare(StandardTool):
    @limit(timeout=5)
    def wait(self) -> None:
        """Wait.

        Raises:
            ValueError: It has no number of its own.
        """

    def stay(self) -> None: ...


def test_what_has_a_bound_of_time_may_come_to_its_end():
    registry = Registry()
    registry.add(Bare(), "")
    document = describe_rpc(registry, Info("x", "1", "All of it.", "/"))
    assert document["info"]["description"] == "All of it."
    methods = {method["name"]: method for method in document["methods"]}
    # What is at the root belongs to no group.
    assert "tags" not in methods["wait"]
    errors = {
        name: [error["$ref"].rpartition("/")[2] for error in methods[name]["errors"]]
        for name in ("wait", "stay")
    }
    assert errors == {
        "wait": ["InvalidParams", "ApplicationError", "CallTimeout"],
        "stay": ["InvalidParams", "ApplicationError"],
    }


def test_without_tools_there_are_no_methods():
    assert describe_rpc(Registry(), Info("x", "1", "", "/"))["methods"] == []
