"""The API pages, as a reader without scripts sees them."""

from __future__ import annotations

import html
import re
import shlex
import subprocess
import sys
from dataclasses import dataclass
from typing import Literal

import html5lib
import pytest

import toolserver.testing
from tests.sample import Faults, Types
from toolserver import (
    FactoryTool,
    InternalTool,
    OnlyRPCCRAMTool,
    Request,
    StandardTool,
    TransientFactoryTool,
    TransientTool,
    destructive,
    ensure,
    generator,
    hidden,
    idempotent,
    invariant,
    parser,
    read_only,
    register,
    require,
    rest,
)
from toolserver.declarations import declared


@dataclass
class Part:
    """A part of an order.

    Attributes:
        name: What it is called.
        count: How many of them.
    """

    name: str
    count: int = 1


@register("paper.mill")
class Mill(StandardTool):
    """Makes *paper* <b>quickly</b>.

    From wood.
    """

    @read_only
    @require(lambda sheets: sheets < 1000, "not too much paper at once")
    @ensure(lambda result: result > 0, "some weight")
    def weigh(self, sheets: int, kind: Literal["thin", "thick"] = "thin") -> float:
        """Tell what so many sheets weigh.

        A longer story.

        Args:
            sheets: How many sheets.
            kind: Which `paper`.

        Returns:
            Kilograms.

        Raises:
            ValueError: Never.

        Example:
            >>> weigh(3)
        """
        return sheets * 0.005

    @destructive
    @idempotent
    def shred(self, part: Part, *more: Part, **options: bool) -> None:
        """Shred it."""

    @hidden
    def secret(self) -> None:
        """Nobody is told."""

    @rest("PUT", name="stock")
    def restock(self, request: Request) -> None:
        """Bring wood."""

    @invariant
    def dry(self) -> bool:
        return True

    @read_only
    def look(self, where: str) -> str:
        return where

    def render(self, text: str) -> str:
        return text

    @generator(render, content_type="text/html")
    def _page(self, request, result):
        return result

    @parser(look)
    def _parse(self, request):
        return {"where": request.query["place"]}

    @generator(look, content_type="text/html")
    def _render(self, request, result):
        return result


class Sheet(TransientTool):
    """A sheet of paper."""

    def fold(self, times: int) -> int:
        """Fold it."""
        return times


@register("sheets")
class Sheets(FactoryTool):
    """Sheets by their numbers."""

    children = (Sheet,)

    @hidden
    def child_keys(self):
        return ["1", "a-b"]


class Box(TransientFactoryTool):
    """A box of sheets."""

    children = (Sheet,)


@register("boxes")
class Boxes(FactoryTool):
    """Boxes, which nobody can list."""

    children = (Box,)


#: Its class stands in no file.
Unwritten = register("unwritten")(
    type(StandardTool)("Unwritten", (StandardTool,), {"__doc__": "Made anew."})
)


@register("quiet")
class Quiet(InternalTool):
    pass


@pytest.fixture(scope="module")
def server():
    tools = (Mill, Sheets, Boxes, Quiet, Types, Faults)
    with toolserver.testing.serve(*tools) as running:
        yield running


def read(server, path):
    answer = server.http.get(path)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    return answer.text


def text_of(page):
    """What a reader reads."""
    body = page[page.index("<main") :]
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", body)).split())


PATHS = ["/API/", "/API/?q=paper", "/API/paper.mill/", "/API/sheets/", "/API/system/"]
PATHS += [
    "/API/boxes/",
    "/API/sample.types/",
    "/API/sheets.a-b/",
    "/API/API/",
    "/API/quiet/",
]


@pytest.mark.parametrize("path", PATHS)
def test_pages_are_valid_and_safe(server, path):
    page = read(server, path)
    parser = html5lib.HTMLParser(strict=True)
    parser.parse(page)
    assert not re.search(r"<script(?! src=\"/API/)|<style|\son\w+=|\sstyle=", page)
    ids = re.findall(r'\sid="([^"]*)"', page)
    assert len(ids) == len(set(ids))
    assert set(re.findall(r'for="([^"]*)"', page)) <= set(ids)
    policy = server.http.get(path).headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    for source in re.findall(r'(?:src|href)="([^"]*)"', page):
        assert not source.startswith("//")
        assert not source.startswith("http") or source.startswith(server.url())


def test_all_tools_are_listed(server):
    page = read(server, "/API/")
    text = text_of(page)
    assert "paper.mill Makes paper <b>quickly</b>." in text
    assert "weigh Tell what so many sheets weigh." in text
    assert "sheets.a-b" in text
    assert 'href="/API/paper.mill/#weigh"' in page
    assert "secret" not in text
    assert text.index("Parts of the server") < text.index("listMethods")
    for link in re.findall(r'href="(/API/[^"#]*)', page):
        assert server.http.get(link).status_code == 200


def test_tools_and_methods_are_found_by_their_words(server):
    text = text_of(read(server, "/API/?q=MILL+weigh"))
    assert "paper.mill" in text
    assert "weigh" in text
    assert "shred" not in text
    assert "sheets.a-b" not in text
    assert "1 method in 1 tool" in text
    assert "Nothing was found." in read(server, "/API/?q=nowhere")
    assert "secret" not in text_of(read(server, "/API/?q=told")).partition(":")[2]


def test_what_was_searched_for_is_shown_and_never_obeyed(server):
    page = read(server, "/API/?q=%22%3E%3Cscript%3Ealert(1)%3C/script%3E")
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page


def test_a_page_tells_all_of_a_tool(server):
    page = read(server, "/API/paper.mill/")
    text = text_of(page)
    assert "<p>Makes <em>paper</em> &lt;b&gt;quickly&lt;/b&gt;.</p>" in page
    assert "Always holds dry" in text
    assert "weigh(sheets: int, kind: 'thin' | 'thick' = 'thin') -> float" in text
    assert "kind 'thin' | 'thick' 'thin' Which paper" in text
    assert "Returns float Kilograms." in text
    assert "Requires not too much paper at once Ensures some weight" in text
    assert "Raises ValueError Never." in text
    assert ">>> weigh(3)" in text
    assert "destructive idempotent" in text
    assert "*more Part" in text
    assert "**options bool" in text
    assert f"PUT {server.url('/paper/mill/stock')} Bring wood." in text
    assert f"{server.url('/paper/mill/look')} , also as text/html" in text
    assert "secret" not in text
    assert text.index("weigh(") < text.index("shred(") < text.index("list_methods(")
    for address in ("/RPC2/paper/mill", "/JSONRPC/paper/mill", "/SOAP/paper/mill"):
        assert server.url(address) in text
    assert f'href="{server.url("/WSDL/paper.mill")}"' in page


@register("locked")
class Locked(OnlyRPCCRAMTool):
    def open(self, door: str) -> str:
        """Open it."""
        return door


def test_what_rest_refuses_is_not_offered():
    settings = {"locked": {"secret": "x"}}
    with toolserver.testing.serve(Locked, settings=settings) as server:
        page = read(server, "/API/locked/")
    assert server.url("/locked/") not in page
    assert "open(token: tuple[str, str], door: str)" in text_of(page)
    assert f'data-rpc="{server.url("/JSONRPC")}"' in page
    found = snippets_of(page, "open")
    assert "curl" not in found
    assert "secret=" in found["Python, toolserver"]


def test_copied_calls_ask_for_json_where_there_is_something_else(server):
    page = read(server, "/API/paper.mill/")
    assert "Accept" not in snippets_of(page, "weigh")["curl"]
    assert "Accept: application/json" in snippets_of(page, "render")["curl"]
    assert (
        "'Accept': 'application/json'"
        in snippets_of(page, "render")["Python, requests"]
    )


def test_types_are_explained(server):
    text = text_of(read(server, "/API/paper.mill/"))
    assert "Part A part of an order." in text
    assert "name str required What it is called. count int 1 How many of them." in text


def test_a_factory_tells_what_its_tools_can_do(server):
    page = read(server, "/API/sheets/")
    text = text_of(page)
    assert "/sheets/…/ A sheet of paper. fold(times: int) -> int Fold it." in text
    assert 'href="/API/sheets.a-b/"' in page
    assert f"POST {server.url('/sheets/a-b/fold')}" in text_of(
        read(server, "/API/sheets.a-b/")
    )


def test_a_factory_tells_that_its_tools_make_tools(server):
    page = read(server, "/API/boxes/")
    text = text_of(page)
    assert "Its tools Keys match" in text
    assert "/boxes/…/ A box of sheets. Each of them makes tools, too." in text
    assert '<ul class="keys">' not in page
    assert "makes tools, too" not in text_of(read(server, "/API/sheets/"))


@pytest.mark.parametrize(
    ("path", "target"),
    [
        ("/API/paper.mill", "/API/paper.mill/"),
        ("/API/paper/mill", "/API/paper.mill/"),
        ("/API/paper/mill/", "/API/paper.mill/"),
    ],
)
def test_other_spellings_lead_to_the_page(server, path, target):
    answer = server.http.get(path, allow_redirects=False)
    assert answer.status_code == 308
    assert answer.headers["location"] == target


@pytest.mark.parametrize(
    "path",
    ["/API/nope/", "/API/sheets.7/", "/API/_files/x.css", "/API/_files/..%2fframe.py"],
)
def test_what_is_not_there_is_not_found(server, path):
    assert server.http.get(path).status_code == 404


def test_the_files_of_the_pages_come_from_the_server(server):
    style = server.http.get("/API/_files/pages.css")
    assert style.headers["content-type"] == "text/css; charset=utf-8"
    script = server.http.get("/API/_files/pages.js")
    assert script.headers["content-type"] == "text/javascript; charset=utf-8"
    assert "http:" not in style.text + script.text
    assert "url(" not in style.text


def test_source_is_shown_on_request_alone(server):
    assert "sheets * 0.005" not in read(server, "/API/paper.mill/")
    settings = {"API": {"source": True}}
    with toolserver.testing.serve(Mill, Unwritten, settings=settings) as open_server:
        assert "sheets * 0.005" in read(open_server, "/API/paper.mill/")
        page = read(open_server, "/API/unwritten/")
        assert "Made anew." in page
        assert '<details class="source">' not in page


def test_an_empty_root_leads_to_the_pages(server, tmp_path):
    answer = server.http.get("/", allow_redirects=False)
    assert (answer.status_code, answer.headers["location"]) == (303, "/API/")
    assert server.http.post("/").status_code == 404
    (tmp_path / "www").mkdir()
    (tmp_path / "www/index.html").write_text("home")
    with toolserver.testing.serve(Mill, home=tmp_path) as other:
        assert other.http.get("/").text == "home"
    config = {"tools": {"omit": ["API"]}}
    with toolserver.testing.serve(Mill, config=config) as bare:
        assert bare.http.get("/").status_code == 404


def test_the_root_tool_has_a_page():
    before = list(declared)
    register(Quiet, "")
    try:
        with toolserver.testing.serve(Quiet) as server:
            assert "<h1>/</h1>" in read(server, "/API/_root/")
            assert 'href="/API/_root/"' in read(server, "/API/")
    finally:
        declared[:] = before


def snippets_of(page, method):
    section = page.partition(f'id="{method}"')[2].partition("</section>")[0]
    found = re.findall(r"<h4>([^<]*)</h4><pre><code[^>]*>(.*?)</code>", section, re.S)
    return {label: html.unescape(code) for label, code in found}


def run(label, code):
    command = ["sh", "-c", code] if "curl" in label else [sys.executable, "-c", code]
    if "curl" in label:
        command[2] = code.replace("curl ", "curl -sS --fail ", 1)
    return subprocess.run(command, capture_output=True, text=True, timeout=30)


@pytest.mark.parametrize(
    ("method", "expected"),
    [("weigh", "0.005"), ("shred", ""), ("look", "text"), ("render", "text")],
)
def test_calls_can_be_copied(server, method, expected):
    page = read(server, "/API/paper.mill/")
    found = snippets_of(page, method)
    # What `look` takes over REST is its parser's business.
    assert ("curl" in found) is (method != "look")
    assert {"curl, JSON-RPC", "Python, xmlrpc.client", "Python, zeep"} <= set(found)
    assert next(each for each in found if "Python" in each) == "Python, toolserver"
    for label, code in found.items():
        done = run(label, code)
        assert done.returncode == 0, (label, code, done.stderr)
        assert expected in done.stdout, (label, shlex.quote(code))
