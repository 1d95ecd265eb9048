"""Keys of factories in templates of resources, and as completions."""

import pytest
import requests

from tests.protocols.test_mcp import ENVELOPE, STATELESS
from toolserver import (
    AuthenticatedTool,
    FactoryTool,
    TransientTool,
    prompt,
    register,
    resource,
)
from toolserver.errors import NotFound
from toolserver.testing import serve


class Post(TransientTool):
    @resource("blog://{key}")
    def text(self) -> str:
        return f"text of {self.key}"

    @resource("blog://{key}/parts/{part}")
    def part(self, part: int) -> str:
        if part > 3:
            raise NotFound("no such part")
        return f"part {part} of {self.key}"

    @prompt
    def compare(self, key: str) -> str:
        return f"Compare {self.key} with {key}."


class Secret(AuthenticatedTool, Post):
    clients = "ann"


class Draft(TransientTool):
    """Nothing of it can be read."""


@register("blog")
class Blog(FactoryTool):
    children = (Post, Secret, Draft)
    posts = ("first", "fifth", "second", "Fire", "forbidden", "draft")

    def child_keys(self):
        return self.posts

    def make_child(self, key):
        return {"forbidden": Secret, "draft": Draft}.get(key, Post)()

    @prompt
    def summary(self, key: str, other: str = "") -> str:
        return f"Summarize {key}."


@register("broken")
class Broken(FactoryTool):
    children = (Post,)

    def child_keys(self):
        raise RuntimeError("no list today")

    @prompt
    def summary(self, key: str) -> str:
        return key


@pytest.fixture(scope="module")
def server():
    with serve(Blog, Broken) as running:
        yield running


@pytest.fixture
def ask(server):
    def ask(method, **params):
        headers = {"MCP-Protocol-Version": STATELESS, "Mcp-Method": method}
        if "uri" in params:
            headers["Mcp-Name"] = params["uri"]
        params["_meta"] = ENVELOPE
        message = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        told = requests.post(
            server.url("/mcp"), json=message, headers=headers, timeout=10
        ).json()
        return told.get("result") or told["error"]

    return ask


def test_one_template_leads_to_the_tools_of_all_keys(ask):
    listed = ask("resources/templates/list")["resourceTemplates"]
    assert [each["uriTemplate"] for each in listed] == [
        *("blog://{key}/parts/{part}", "blog://{key}")
    ]
    for uri, text in (
        ("blog://first", "text of first"),
        ("blog://second", "text of second"),
        ("blog://second/parts/2", "part 2 of second"),
    ):
        (content,) = ask("resources/read", uri=uri)["contents"]
        assert (content["uri"], content["text"]) == (uri, text)


@pytest.mark.parametrize(
    "uri",
    [
        *("blog://third", "blog://forbidden", "blog://first.text", "blog://%2e"),
        *("blog://draft", "blog://first/parts/4", "blog://first/parts/2/3"),
    ],
)
def test_keys_that_lead_to_nothing(ask, uri):
    told = ask("resources/read", uri=uri)
    assert (told["code"], told["data"]) == (-32602, {"uri": uri})


TEMPLATE = {"type": "ref/resource", "uri": "blog://{key}"}


@pytest.mark.parametrize(
    ("ref", "argument", "begun", "values"),
    [
        (TEMPLATE, "key", "fi", ["first", "fifth", "Fire"]),
        (TEMPLATE, "key", "", ["first", "fifth", "second", "Fire", "draft"]),
        (TEMPLATE, "key", "forb", []),
        (TEMPLATE, "part", "", []),
        ({"type": "ref/prompt", "name": "blog.summary"}, "key", "s", ["second"]),
        ({"type": "ref/prompt", "name": "blog.summary"}, "other", "s", []),
        ({"type": "ref/prompt", "name": "blog.first.compare"}, "key", "s", ["second"]),
        ({"type": "ref/prompt", "name": "broken.summary"}, "key", "", []),
        ({"type": "ref/prompt", "name": "no.such"}, "key", "", []),
    ],
)
def test_keys_are_completed(ask, ref, argument, begun, values):
    argument = {"name": argument, "value": begun}
    found = ask("completion/complete", ref=ref, argument=argument)["completion"]
    assert found == {"values": values, "total": len(values), "hasMore": False}
