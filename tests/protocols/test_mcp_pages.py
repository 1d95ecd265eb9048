"""MCP: lists of many pages, and static files as resources."""

import base64

import pytest
import requests

from toolserver import StandardTool, register, validate
from toolserver.errors import Forbidden
from toolserver.testing import serve

PAGE = 200
MANY = {f"method_{number}": lambda self: None for number in range(2 * PAGE + 1)}


@register("many")
class Many(type("_Many", (StandardTool,), MANY)):
    """Has more methods than a page has entries."""


@register("guarded")
class Guarded(StandardTool):
    """Lets nobody have a file of its folder whose name it does not like."""

    @validate(protocol="FILES")
    def only_open_ones(self, call):
        if "open" not in call.name:
            raise Forbidden("not for you")


@pytest.fixture
def server(tmp_path):
    with serve(Many, Guarded, home=tmp_path) as found:
        yield found


@pytest.fixture
def ask(server):
    def ask(method, **params):
        message = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        answer = requests.post(
            server.url("/MCP"),
            json=message,
            headers={"MCP-Protocol-Version": "2025-11-25"},
            timeout=20,
        )
        return answer.json()

    return ask


def pages(ask, method, key):
    """All pages of a list, one after the other."""
    found, params = [], {}
    while True:
        result = ask(method, **params)["result"]
        found.append(result[key])
        if "nextCursor" not in result:
            return found
        params = {"cursor": result["nextCursor"]}


def test_long_lists_have_pages(ask):
    told = pages(ask, "tools/list", "tools")
    assert [len(page) for page in told[:-1]] == [PAGE] * (len(told) - 1)
    names = [tool["name"] for page in told for tool in page]
    assert len(names) == len(set(names))
    assert {f"many.{name}" for name in MANY} <= set(names)


@pytest.mark.parametrize(
    "cursor",
    ["x", "MTA", "ü", "LTE=", "eA==", base64.b64encode(b"9" * 13).decode()],
)
def test_cursors_of_others_are_refused(ask, cursor):
    error = ask("tools/list", cursor=cursor)["error"]
    assert error["code"] == -32602
    assert "cursor: got" in error["message"]


def test_a_cursor_beyond_the_end_is_an_empty_page(ask):
    cursor = base64.b64encode(b"100000").decode()
    assert ask("tools/list", cursor=cursor)["result"]["tools"] == []


def test_static_files_come_as_what_they_are(server, ask):
    www = server.worker.home.www
    (www / "sub").mkdir(parents=True)
    (www / "sub" / "a b.json").write_text('{"a": 1}')
    (www / "picture.png").write_bytes(b"\x89PNG\xff")
    (www / "latin.txt").write_bytes(b"\xe4")
    (www / "large.bin").write_bytes(bytes(1_000_001))
    listed = {
        each["name"]: each
        for page in pages(ask, "resources/list", "resources")
        for each in page
    }
    assert listed["sub/a b.json"]["uri"] == server.url("/sub/a%20b.json")

    def read(path):
        answer = ask("resources/read", uri=server.url(path))
        return answer["result"]["contents"][0] if "result" in answer else None

    assert read("/sub/a%20b.json")["text"] == '{"a": 1}'
    assert base64.b64decode(read("/picture.png")["blob"]) == b"\x89PNG\xff"
    # What is not the text that it should be is told as bytes.
    assert base64.b64decode(read("/latin.txt")["blob"]) == b"\xe4"
    for path in ("/large.bin", "/sub", "/sub/", "/a%00b", "/sub/nothing.txt"):
        assert read(path) is None


def test_many_files_have_pages(server, ask):
    www = server.worker.home.www
    www.mkdir(exist_ok=True)
    for number in range(PAGE + 1):
        (www / f"{number}.txt").touch()
    told = pages(ask, "resources/list", "resources")
    assert len(told) == 2
    names = [each["name"] for page in told for each in page]
    assert {f"{number}.txt" for number in range(PAGE + 1)} <= set(names)


def test_files_that_a_tool_guards_are_neither_listed_nor_read(server, ask):
    folder = server.worker.home.www / "guarded"
    folder.mkdir(parents=True)
    for name in ("open.txt", "closed.txt"):
        (folder / name).write_text(name)
    (told,) = pages(ask, "resources/list", "resources")
    names = {each["name"] for each in told}
    assert "guarded/open.txt" in names
    assert "guarded/closed.txt" not in names
    uri = server.url("/guarded/open.txt")
    assert ask("resources/read", uri=uri)["result"]["contents"][0]["text"] == "open.txt"
    answer = ask("resources/read", uri=server.url("/guarded/closed.txt"))
    assert answer["error"]["code"] == -32002
