"""What becomes of results, also of the odd ones, and of failures to render them."""

from __future__ import annotations

import datetime as dt
import enum
import gzip
import io
import math
import os
from decimal import Decimal
from pathlib import Path
from urllib.parse import quote

import pytest

import toolserver.testing
from toolserver import (
    DirectResponse,
    Markup,
    Redirect,
    Response,
    StandardTool,
    context,
    generator,
    html,
    on_error,
    register,
    rest,
)
from toolserver.errors import ApplicationError, NotFound, NotModified

BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"


class Flag(enum.StrEnum):
    ON = "on"
    OFF = ""


class Unusual(ApplicationError):
    status = 499


@register("results")
class Results(StandardTool):
    folder = Path()

    # files

    def nothing(self, kind: str) -> str | bytes:
        return "" if kind == "text" else b""

    def named(self, name: str) -> Path:
        return self.folder / name

    def opened(self, name: str, mode: str = "rb") -> io.IOBase:
        return (self.folder / name).open(mode)

    def written(self) -> io.IOBase:
        file = (self.folder / "written").open("w+b")
        file.write(b"not flushed")
        file.seek(4)
        return file

    def unpacked(self) -> io.IOBase:
        return gzip.open(self.folder / "packed.gz")

    def in_memory(self) -> io.BytesIO:
        return io.BytesIO(b"in memory")

    def text_in_memory(self) -> io.StringIO:
        return io.StringIO("täxt")

    def piped(self) -> io.IOBase:
        read, write = os.pipe()
        os.write(write, b"from a pipe")
        os.close(write)
        return os.fdopen(read, "rb")

    def flag(self, name: str) -> Flag:
        return Flag[name]

    # streams

    def nothing_first(self):
        yield None
        yield None
        yield 1

    def octets(self):
        yield bytearray(b"a")
        yield b""
        yield memoryview(b"b")

    def fails_at_once(self):
        raise ValueError(f"in {context.method}")
        yield

    # generators

    def typed(self) -> dict:
        return {"a": 1}

    @generator(typed, content_type="application/xml")
    def _(self, request, result):
        return result

    @generator(typed, content_type="application/json")
    def _(self, request, result):
        return result

    def any_or_html(self) -> str:
        return "result"

    @generator(any_or_html)
    def _(self, request, result):
        return f"any {result}"

    @generator(any_or_html, content_type="text/html")
    def _(self, request, result):
        return Markup("html {}").format(result)

    @generator(any_or_html, "POST")
    def _(self, request, result):
        return f"posted {result}"

    @rest("GET")
    def page(self, request):
        return "page"

    @generator(page)
    def _(self, request, result):
        return f"a {result}"

    def answers(self, how: str) -> str:
        return how

    @generator(answers)
    def _(self, request, result):
        match result:
            case "redirect":
                raise Redirect("/elsewhere")
            case "unchanged":
                raise NotModified
            case "direct":
                raise DirectResponse(Response("direct", status=201))
            case "missing":
                raise NotFound("no such page")
            case _:
                raise ValueError("in the generator")

    def mended(self) -> str:
        return "never seen"

    @generator(mended)
    def _(self, request, result):
        raise ValueError("broken")

    @on_error(mended)
    def _(self, request, error):
        return f"mended: {error}"

    def told(self, how: str) -> str:
        raise NotFound(how)

    @on_error(told)
    def _(self, request, error):
        match str(error):
            case "response":
                return Response("made", status=409)
            case "redirect":
                raise Redirect("/elsewhere")
            case "direct":
                raise DirectResponse(Response("direct", status=201))
            case _:
                raise ValueError("in the error handler")

    def odd(self, data: str) -> None:
        raise Unusual("no", data={"list": [1], "object": {"a": object()}}[data])

    def page_by_page(self):
        yield html.p("one")
        yield html.p("two")

    def moves(self, url: str) -> None:
        raise Redirect(url)

    # values as XML

    def odd_values(self) -> list:
        return [math.inf, -math.inf, math.nan, Decimal("1E+3"), "a\rb"]

    def all_kinds(self) -> dict:
        return {
            "none": None,
            "yes": True,
            "octets": b"\xff",
            "day": dt.date(2026, 2, 3),
            "clock": dt.time(4, 5),
            "two words": [1],
        }

    def control(self) -> list:
        return ["\x00"]

    # messages

    def no_utf8(self) -> None:
        raise NotFound("no page \udcff")

    def foreign_name(self) -> None:
        raise type("Фehler", (ApplicationError,), {})("x")


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    folder = Results.folder = tmp_path_factory.mktemp("files")
    (folder / "a.txt").write_text("0123456789")
    (folder / "packed.gz").write_bytes(gzip.compress(b"unpacked"))
    os.mkfifo(folder / "pipe")
    with toolserver.testing.serve(Results) as running:
        yield running


@pytest.fixture
def get(server):
    def get(method, accept=None, **headers):
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        return server.http.get(
            f"/results/{method}",
            headers={"Accept": accept, **headers},
            allow_redirects=False,
            timeout=10,
        )

    return get


# files


@pytest.mark.parametrize(
    ("method", "content_type", "body"),
    [
        ("named?name=a.txt", "text/plain; charset=utf-8", "0123456789"),
        ("opened?name=a.txt", "text/plain; charset=utf-8", "0123456789"),
        ("opened?name=a.txt&mode=r", "text/plain; charset=utf-8", "0123456789"),
        ("written", "application/octet-stream", "flushed"),
        ("unpacked", "application/octet-stream", "unpacked"),
        ("in_memory", "application/octet-stream", "in memory"),
        ("text_in_memory", "text/plain; charset=utf-8", "täxt"),
        ("piped", "application/octet-stream", "from a pipe"),
    ],
)
def test_what_can_be_read_is_sent(get, method, content_type, body):
    answer = get(method)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == content_type
    assert answer.content.decode() == body


@pytest.mark.parametrize(
    ("kind", "media_type"),
    [("text", "text/plain; charset=utf-8"), ("bytes", "application/octet-stream")],
)
def test_an_empty_result_has_a_media_type(get, kind, media_type):
    answer = get(f"nothing?kind={kind}")
    assert (answer.content, answer.headers["Content-Type"]) == (b"", media_type)


@pytest.mark.parametrize("name", ["", "missing", "pipe", "a.txt/below", "a%00b"])
def test_only_regular_files_are_found(get, name):
    answer = get(f"named?name={name}")
    assert (answer.status_code, answer.json()["error"]) == (404, "NotFound")


def test_a_named_file_has_versions_and_parts(get):
    whole = get("named?name=a.txt")
    assert whole.headers["accept-ranges"] == "bytes"
    part = get("named?name=a.txt", Range="bytes=2-4")
    assert (part.status_code, part.text) == (206, "234")
    assert part.headers["content-range"] == "bytes 2-4/10"
    parts = get("named?name=a.txt", Range="bytes=0-1,8-")
    assert parts.headers["content-type"].startswith("multipart/byteranges")
    assert get("named?name=a.txt", Range="bytes=99-").status_code == 416
    etag, modified = whole.headers["etag"], whole.headers["last-modified"]
    same = get("named?name=a.txt", Range="bytes=2-4", If_None_Match=etag)
    assert (same.status_code, same.content) == (304, b"")
    assert get("named?name=a.txt", If_Modified_Since=modified).status_code == 304
    other = get("named?name=a.txt", Range="bytes=2-4", If_Range='"other"')
    assert (other.status_code, other.text) == (200, "0123456789")
    # The tool has chosen where to begin: there is no whole to take parts of.
    assert get("written", Range="bytes=0-1").status_code == 200


# streams


@pytest.mark.parametrize(
    ("method", "content_type", "body"),
    [
        ("nothing_first", "application/x-ndjson", "null\nnull\n1\n"),
        ("octets", "application/octet-stream", "ab"),
    ],
)
def test_each_piece_of_a_stream_is_sent(get, method, content_type, body):
    answer = get(method)
    assert (answer.headers["content-type"], answer.text) == (content_type, body)


def test_a_stream_that_fails_at_once_is_the_tools_failure(get, caplog):
    problem = get("fails_at_once").json()
    assert problem["detail"] == "ValueError: in fails_at_once"
    assert problem["error"] == "ValueError"
    assert "fails_at_once failed" in caplog.text


# generators


@pytest.mark.parametrize(
    ("accept", "content_type", "body"),
    [
        ("application/xml", "application/xml", "<result><a>1</a></result>"),
        ("application/xml,application/json;q=0.5", "application/xml", "<a>1</a>"),
        ("application/json,application/xml;q=0.5", "application/json", '{"a":1}'),
        ("image/png", "application/json", '{"a":1}'),
        (None, "application/json", '{"a":1}'),
    ],
)
def test_a_generators_media_type_is_what_is_sent(get, accept, content_type, body):
    answer = get("typed", accept)
    assert answer.headers["content-type"] == content_type
    assert answer.text.endswith(body) or body in answer.text
    assert answer.headers["vary"] == "Accept"


def test_a_generator_for_any_type_gives_way_to_one_for_the_asked(server, get):
    assert get("any_or_html", BROWSER).text == "html result"
    assert get("any_or_html", "text/csv").text == "any result"
    # The verb is more specific than the media type.
    headers = {"Accept": BROWSER}
    posted = server.http.post("/results/any_or_html", headers=headers)
    assert posted.text == "posted result"


@pytest.mark.parametrize(
    ("how", "status"),
    [("response", 409), ("redirect", 303), ("direct", 201), ("else", 404)],
)
def test_an_error_handler_answers_as_a_method_does(get, how, status, caplog):
    answer = get(f"told?how={how}")
    assert answer.status_code == status
    assert ("in the error handler" in caplog.text) == (how == "else")


def test_what_is_told_of_an_error_is_what_can_be_sent(get):
    answer = get("odd?data=list")
    assert answer.status_code == 499
    assert (answer.json()["title"], answer.json()["data"]) == ("Error", [1])
    answer = get("odd?data=object")
    assert (answer.status_code, answer.json()["detail"]) == (499, "no")
    assert "a" not in answer.json()


def test_pieces_of_markup_are_a_page(get):
    answer = get("page_by_page")
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.text == "<p>one</p><p>two</p>"


def test_methods_for_rest_alone_have_generators(get):
    assert get("page").text == "a page"


@pytest.mark.parametrize(
    ("how", "status"),
    [
        ("redirect", 303),
        ("unchanged", 304),
        ("direct", 201),
        ("missing", 404),
        ("else", 500),
    ],
)
def test_a_generator_answers_by_exceptions_as_a_method_does(get, how, status, caplog):
    assert get(f"answers?how={how}").status_code == status


def test_a_generator_that_fails_is_the_tools_failure(get, caplog):
    assert get("answers?how=x").json()["detail"] == "ValueError: in the generator"
    answer = get("mended")
    assert (answer.status_code, answer.text) == (500, "mended: broken")


@pytest.mark.parametrize(
    ("url", "location"),
    [
        ("/wiki/Käse?q=ü#ä", "/wiki/K%C3%A4se?q=%C3%BC#%C3%A4"),
        ("/a%20b c", "/a%20b%20c"),
        ("/a\r\nX-Evil: 1", "/a%0D%0AX-Evil:%201"),
        ("https://example.org/a?b=c&d=[e]", "https://example.org/a?b=c&d=[e]"),
    ],
)
def test_any_text_is_a_location(get, url, location):
    answer = get(f"moves?url={quote(url, safe='')}")
    assert (answer.status_code, answer.headers["location"]) == (303, location)


# values and messages


def test_xml_keeps_what_it_can_express(get):
    text = get("odd_values", "application/xml").text
    items = ["INF", "-INF", "NaN", "1000", "a&#13;b"]
    assert "".join(f"<item>{item}</item>" for item in items) in text
    assert get("all_kinds", "application/xml").text.endswith(
        '<result><none nil="true"/><yes>true</yes><octets>/w==</octets>'
        "<day>2026-02-03</day><clock>04:05:00</clock>"
        '<item key="two words"><item>1</item></item></result>'
    )
    answer = get("control", "application/xml")
    assert answer.status_code == 500
    assert "cannot be sent as XML" in answer.json()["detail"]


def test_messages_need_not_be_utf8_nor_names_ascii(get):
    assert get("no_utf8").json()["detail"] == "no page \\udcff"
    assert get("no_utf8", "text/plain").text == "404 Not Found: no page \\udcff\n"
    answer = get("foreign_name")
    assert answer.json()["error"] == "Фehler"
    assert answer.headers["x-rest-errorobject"] == "\\u0424ehler"


def test_a_browser_gets_a_page_that_holds_nothing_of_the_request(server):
    answer = server.http.get("/<script>alert(1)</script>", headers={"Accept": BROWSER})
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.headers["vary"] == "Accept"
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert "<script" not in answer.text
    assert "&lt;script&gt;" in answer.text


def test_a_verb_that_is_not_answered_is_a_problem(server):
    answer = server.http.put("/results/typed")
    assert (answer.status_code, answer.json()["status"]) == (405, 405)
    assert answer.headers["allow"] == "GET, HEAD, OPTIONS, POST"


@pytest.mark.parametrize("name", ["ON", "OFF"])
def test_members_of_enumerations_of_text_are_told_as_text(server, name):
    path = f"/results/flag?name={name}"
    answer = server.http.get(path, headers={"Accept": "application/json"})
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.json() == Flag[name].value
    answer = server.http.get(path, headers={"Accept": "*/*"})
    assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert answer.text == Flag[name].value
