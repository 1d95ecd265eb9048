"""MCP: both eras, tools, resources, prompts."""

from typing import Literal

import pytest
import requests

from toolserver import (
    Document,
    Image,
    StandardTool,
    prompt,
    read_only,
    register,
    resource,
)
from toolserver.testing import serve

STATELESS = "2026-07-28"
ENVELOPE = {
    "io.modelcontextprotocol/protocolVersion": STATELESS,
    "io.modelcontextprotocol/clientCapabilities": {},
}


@register("shop.orders")
class Orders(StandardTool):
    """Takes orders."""

    @read_only
    def count(self, item: str, least: int = 0) -> dict[str, int]:
        """Count what there is of an item.

        Args:
            item: What to count.
            least: From which number on.
        """
        return {item: max(least, 2)}

    def greet(self, name: str) -> str:
        return f"hi {name}"

    def fail(self) -> None:
        raise ValueError("no such luck")

    def picture(self) -> Image:
        return Image(b"\x89PNG", "image/png")

    def mixed(self) -> list[str | Image | Document]:
        return ["look", Image(b"x"), Document("test://d", "text")]

    @prompt
    def review(self, language: Literal["German", "Greek"], code: str = "") -> str:
        """Ask for a review.

        Args:
            language: In which language.
        """
        return f"Review in {language}: {code}"

    @resource("shop://items/{item}", media_type="application/json")
    def item(self, item: str) -> str:
        """One item."""
        return f'"{item}"'

    @resource("shop://motto")
    def motto(self) -> str:
        return "we sell"


@pytest.fixture(scope="module")
def server():
    with serve(Orders) as found:
        yield found


@pytest.fixture
def ask(server):
    def ask(method, params=None, *, version="2025-11-25", status=200, headers=None):
        params = dict(params or {})
        sent = {"MCP-Protocol-Version": version}
        if version == STATELESS:
            params["_meta"] = ENVELOPE
            sent["Mcp-Method"] = method
            name = params.get("name", params.get("uri"))
            if name:
                sent["Mcp-Name"] = name
        message = {"jsonrpc": "2.0", "id": 7, "method": method, "params": params}
        answer = requests.post(
            server.url("/MCP"), json=message, headers=sent | (headers or {}), timeout=10
        )
        assert answer.status_code == status, answer.text
        assert answer.json()["id"] == 7
        told = answer.json()
        return told["result"] if "result" in told else told["error"]

    return ask


ERAS = pytest.mark.parametrize("version", ["2025-11-25", STATELESS])


def test_the_handshake_agrees_on_a_revision(ask):
    asked = {"capabilities": {}, "clientInfo": {"name": "test", "version": "1"}}
    for offered, expected in (("2025-03-26", "2025-03-26"), ("1999", "2025-11-25")):
        answer = ask("initialize", {**asked, "protocolVersion": offered})
        assert answer["protocolVersion"] == expected
        # Tasks came with the last of these revisions.
        assert set(answer["capabilities"]) - {"tasks"} == {
            *("tools", "resources", "completions", "prompts")
        }
        assert ("tasks" in answer["capabilities"]) == (expected == "2025-11-25")
    assert ask("ping") == {}


def test_a_stateless_client_discovers_the_server(ask):
    answer = ask("server/discover", version=STATELESS)
    assert answer["supportedVersions"] == [STATELESS]
    assert answer["resultType"] == "complete"
    assert answer["cacheScope"] == "private"


@ERAS
def test_methods_are_listed_as_tools(ask, version):
    tools = {tool["name"]: tool for tool in ask("tools/list", version=version)["tools"]}
    assert set(tools) == {
        f"shop.orders.{name}" for name in ("count", "greet", "fail", "picture", "mixed")
    }
    count = tools["shop.orders.count"]
    assert count["inputSchema"]["required"] == ["item"]
    assert count["inputSchema"]["properties"]["item"]["description"] == "What to count."
    assert count["outputSchema"]["type"] == "object"
    assert count["annotations"]["readOnlyHint"] is True
    greet = tools["shop.orders.greet"]["outputSchema"]
    assert greet["properties"]["result"] == {"type": "string"}
    assert "outputSchema" not in tools["shop.orders.fail"]
    assert "outputSchema" not in tools["shop.orders.mixed"]


def test_early_revisions_get_names_without_dots(ask):
    names = {tool["name"] for tool in ask("tools/list", version="2025-06-18")["tools"]}
    assert "shop_orders_greet" in names
    answer = ask(
        "tools/call",
        {"name": "shop_orders_greet", "arguments": {"name": "Ann"}},
        version="2025-06-18",
    )
    assert answer["content"] == [{"type": "text", "text": "hi Ann"}]


@ERAS
def test_results_are_text_and_structure(ask, version):
    def call(method, **arguments):
        params = {"name": f"shop.orders.{method}", "arguments": arguments}
        return ask("tools/call", params, version=version)

    assert call("count", item="book")["structuredContent"] == {"book": 2}
    assert call("greet", name="Ann")["structuredContent"] == {"result": "hi Ann"}
    assert call("picture")["content"] == [
        {"type": "image", "data": "iVBORw==", "mimeType": "image/png"}
    ]
    kinds = [block["type"] for block in call("mixed")["content"]]
    assert kinds == ["text", "image", "resource"]


@ERAS
def test_failures_are_told_to_the_agent(ask, version):
    def call(**arguments):
        params = {"name": "shop.orders.greet", "arguments": arguments}
        return ask("tools/call", params, version=version)

    failed = ask("tools/call", {"name": "shop.orders.fail"}, version=version)
    assert failed["isError"] is True
    assert failed["content"][0]["text"] == "ValueError: no such luck"
    assert "name" in call(nme="Ann")["content"][0]["text"]
    assert call(nme="Ann")["isError"] is True
    status = 400 if version == STATELESS else 200
    unknown = ask("tools/call", {"name": "no.such"}, version=version, status=status)
    assert unknown["code"] == -32602


@pytest.mark.parametrize("name", ["system.listMethods", "mcp.ping", "shop.orders.item"])
def test_what_is_not_offered_is_unknown(ask, name):
    if name == "shop.orders.item":
        names = {tool["name"] for tool in ask("tools/list")["tools"]}
        assert name not in names
    else:
        assert ask("tools/call", {"name": name})["code"] == -32602


@ERAS
def test_resources_are_listed_and_read(ask, version):
    listed = ask("resources/list", version=version)["resources"]
    assert {each["uri"] for each in listed} >= {
        "shop://motto",
        "toolserver:tools/shop.orders",
    }
    templates = ask("resources/templates/list", version=version)["resourceTemplates"]
    assert [each["uriTemplate"] for each in templates] == ["shop://items/{item}"]
    read = ask("resources/read", {"uri": "shop://items/a%20b"}, version=version)
    assert read["contents"] == [
        {
            "uri": "shop://items/a%20b",
            "mimeType": "application/json",
            "text": '"a b"',
        }
    ]
    text = ask("resources/read", {"uri": "toolserver:tools/shop.orders"})
    assert "Count what there is" in text["contents"][0]["text"]
    for uri in ("shop://items/a/b", "toolserver:tools/system", "file:///etc/passwd"):
        told = ask("resources/read", {"uri": uri}, version=version)
        assert told["code"] == (-32602 if version == STATELESS else -32002)
        assert told["data"]["uri"] == uri


def test_static_files_are_resources(ask, server):
    www = server.worker.home.www
    www.mkdir(exist_ok=True)
    (www / "page.html").write_text("<p>hello")
    (www / ".hidden").write_text("secret")
    uri = server.url("/page.html")
    listed = {each["uri"] for each in ask("resources/list")["resources"]}
    assert uri in listed
    assert ask("resources/read", {"uri": uri})["contents"] == [
        {"uri": uri, "mimeType": "text/html", "text": "<p>hello"}
    ]
    for path in ("/.hidden", "/../config/passwd", "/%2e%2e/config/passwd", "/nothing"):
        assert ask("resources/read", {"uri": server.url(path)})["code"] == -32002


@ERAS
def test_prompts_are_listed_made_and_completed(ask, version):
    (listed,) = ask("prompts/list", version=version)["prompts"]
    assert listed["name"] == "shop.orders.review"
    assert listed["arguments"][0] == {
        "name": "language",
        "description": "In which language.",
        "required": True,
    }
    made = ask(
        "prompts/get",
        {"name": "shop.orders.review", "arguments": {"language": "Greek"}},
        version=version,
    )
    assert made["messages"] == [
        {"role": "user", "content": {"type": "text", "text": "Review in Greek: "}}
    ]
    completed = ask(
        "completion/complete",
        {
            "ref": {"type": "ref/prompt", "name": "shop.orders.review"},
            "argument": {"name": "language", "value": "g"},
        },
        version=version,
    )
    assert completed["completion"]["values"] == ["German", "Greek"]


def test_pictures_are_pictures_over_rest(server):
    answer = requests.post(server.url("/shop/orders/picture"), timeout=10)
    assert answer.headers["Content-Type"] == "image/png"
    assert answer.content == b"\x89PNG"
    document = requests.get(server.url("/openapi.json?tool=shop.orders"), timeout=10)
    method = document.json()["paths"]["/shop/orders/picture"]["post"]
    assert "image/*" in method["responses"]["200"]["content"]
    told = server.remote("JSONRPC").get_tool("shop.orders").picture()
    assert told["media_type"] == "image/png"


def test_notifications_are_taken(server):
    message = {"jsonrpc": "2.0", "method": "notifications/initialized"}
    answer = requests.post(server.url("/mcp"), json=message, timeout=10)
    assert (answer.status_code, answer.content) == (202, b"")


@pytest.mark.parametrize(
    ("headers", "meta", "code"),
    [
        ({"Mcp-Method": "tools/call"}, ENVELOPE, -32020),
        ({"MCP-Protocol-Version": "2025-11-25"}, ENVELOPE, -32020),
        ({}, {}, -32602),
        ({}, None, -32602),
        (
            {},
            {**ENVELOPE, "io.modelcontextprotocol/clientCapabilities": "all"},
            -32602,
        ),
        (
            {"MCP-Protocol-Version": "2031-01-01"},
            {**ENVELOPE, "io.modelcontextprotocol/protocolVersion": "2031-01-01"},
            -32022,
        ),
    ],
)
def test_a_stateless_request_agrees_with_its_headers(server, headers, meta, code):
    sent = {"MCP-Protocol-Version": STATELESS, "Mcp-Method": "tools/list", **headers}
    params = {"_meta": meta}
    message = {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": params}
    answer = requests.post(server.url("/mcp"), json=message, headers=sent, timeout=10)
    assert answer.status_code == 400
    assert answer.json()["error"]["code"] == code
    if code == -32022:
        data = {"supported": [STATELESS], "requested": "2031-01-01"}
        assert answer.json()["error"]["data"] == data


@pytest.mark.parametrize("body", ["{", "[]", "1", '{"jsonrpc": "2.0"}'])
def test_what_is_no_message_is_refused(server, body):
    answer = requests.post(
        server.url("/mcp"),
        data=body,
        headers={"Content-Type": "application/json"},
        timeout=10,
    )
    assert answer.status_code == 400
    assert answer.json()["error"]["code"] in (-32700, -32600)


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ({"id": 1.5, "method": "ping"}, -32600),
        ({"id": None, "method": "ping"}, -32600),
        ({"id": 1, "method": "ping", "params": []}, -32602),
        ({"id": 1, "method": "tools/call", "params": {"name": 7}}, -32602),
        (
            {
                "id": 1,
                "method": "tools/call",
                "params": {"name": "shop.orders.greet", "arguments": ["Ann"]},
            },
            -32602,
        ),
    ],
)
def test_what_is_no_request_is_refused(server, message, code):
    sent = {"jsonrpc": "2.0", **message}
    answer = requests.post(server.url("/mcp"), json=sent, timeout=10)
    assert answer.json()["error"]["code"] == code


def test_answers_to_what_nobody_asked_are_dropped(server):
    for kind in ("result", "error"):
        message = {"jsonrpc": "2.0", "id": 1, kind: {}}
        answer = requests.post(server.url("/mcp"), json=message, timeout=10)
        assert (answer.status_code, answer.content) == (202, b"")


@pytest.mark.parametrize(
    "name", ["shop.orders.other", "=?base64?!?=", "=?base64?/w==?="]
)
def test_the_name_in_the_header_is_the_one_in_the_body(ask, name):
    params = {"name": "shop.orders.greet", "arguments": {"name": "Ann"}}
    options = {"version": STATELESS, "headers": {"Mcp-Name": name}, "status": 400}
    assert ask("tools/call", params, **options)["code"] == -32020


def test_pages_of_strangers_may_not_call(server):
    message = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}
    headers = {"Origin": "http://evil.example"}
    answer = requests.post(
        server.url("/mcp"), json=message, headers=headers, timeout=10
    )
    assert answer.status_code == 403
    answer = requests.post(
        server.url("/mcp"), json=message, headers={"Host": "evil.example"}, timeout=10
    )
    assert answer.status_code == 421
    assert requests.get(server.url("/mcp"), timeout=10).status_code == 405
