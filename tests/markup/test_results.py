"""What the writers of markup make, as results of methods."""

import re
import xmlrpc.client
from collections.abc import Iterator
from pathlib import Path

import pytest

import toolserver.testing
from toolserver import (
    Markup,
    Request,
    Response,
    StandardTool,
    generator,
    html,
    read_only,
    register,
    rss,
    xml,
)
from toolserver.markup.documents import XML


@register("written")
class Written(StandardTool):
    @read_only
    def page(self, text: str = "é") -> Markup:
        return html.document("Page", html.p(text))

    @read_only
    def document(self, text: str = "é") -> XML:
        return xml("note", text)

    @read_only
    def feed(self) -> Markup:
        return rss("News", "https://example.org/", "é")

    @read_only
    def stream(self, count: int = 2) -> Iterator[Markup]:
        return (xml.item(number) for number in range(count))

    @read_only
    def failed(self) -> Response:
        return Response(xml("error"), status=400)

    @read_only
    def data(self) -> dict[str, int]:
        return {"a": 1}

    @generator(data, content_type="application/xml")
    def _as_document(self, request: Request, data: dict[str, int]) -> Markup:
        return xml("data", data)


@pytest.fixture(scope="module")
def server():
    with toolserver.testing.serve(Written) as running:
        yield running


@pytest.mark.parametrize(
    ("path", "content_type", "body"),
    [
        ("page?text=%3Cb%3E", "text/html; charset=utf-8", "<p>&lt;b&gt;</p>"),
        ("page", "text/html; charset=utf-8", "<p>é</p>"),
        ("document", "application/xml", "<note>é</note>"),
        ("feed", "application/rss+xml", "<description>é</description>"),
        ("stream", "application/xml", "<item>0</item><item>1</item>"),
        ("data", "application/xml", '<data a="1"/>'),
    ],
)
def test_results_are_sent_as_what_they_are(server, path, content_type, body):
    answer = server.http.get(f"/written/{path}")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == content_type
    assert body in answer.content.decode()


def test_a_response_knows_its_type(server):
    answer = server.http.get("/written/failed")
    assert answer.status_code == 400
    assert answer.headers["content-type"] == "application/xml"


def test_over_rpc_they_are_text(server):
    with xmlrpc.client.ServerProxy(server.url("/RPC2")) as proxy:
        assert proxy.written.document("<") == (
            '<?xml version="1.0"?>\n<note>&lt;</note>'
        )


def test_the_documentation_writes_what_it_says():
    page = Path(__file__).parents[2] / "docs" / "rendering.md"
    names = {"__name__": "documentation"}
    for block in re.findall(r"^```python\n(.*?)^```$", page.read_text(), re.M | re.S):
        exec(block, names)
    assert '<item count="2" gift="true">book</item>' in names["order"]
    assert "<dc:creator>Ann Lee</dc:creator>" in names["feed"]
    with toolserver.testing.serve(names["Guests"]) as server:
        shown = server.http.get("/guests/page").text
    assert '<li class="guest">&lt;Bob&gt;</li>' in shown
