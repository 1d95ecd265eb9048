"""From requests to arguments, and that any request at all has an answer."""

from __future__ import annotations

import dataclasses
import datetime as dt
import logging
from typing import Annotated, Any
from urllib.parse import quote, urlencode

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from toolserver import StandardTool, on_error, parser, rest
from toolserver.contexts import Context, bind
from toolserver.dispatcher import Dispatcher
from toolserver.message import Headers, Request
from toolserver.registry import Registry
from toolserver.settings import Settings
from toolserver.web.rest import REST


@dataclasses.dataclass
class Circle:
    radius: float


@dataclasses.dataclass
class Square:
    side: float


@dataclasses.dataclass
class Drawing:
    # msgspec knows no union of dataclasses: such a type takes a way of its own.
    shape: Circle | Square
    drawn: dt.date | None = None


class Echo(StandardTool):
    """Each method gives back what it got, as Python writes it."""

    def text(self, v: str) -> str:
        return repr(v)

    def number_or_text(self, v: int | str) -> str:
        return repr(v)

    def numbers_or_text(self, v: list[int] | str) -> str:
        return repr(v)

    def drawing(self, v: Drawing) -> str:
        return repr(v)

    def drawings(self, v: list[Drawing]) -> str:
        return repr(v)

    def pair(self, v: tuple[dt.date, int]) -> str:
        return repr(v)

    def dates(self, v: dict[str, dt.date]) -> str:
        return repr(v)

    def small(self, v: Annotated[int, msgspec.Meta(le=9)]) -> str:
        return repr(v)

    def files(self, v: list[bytes]) -> str:
        return repr(v)

    def file(self, v: bytes | None = None) -> str:
        return repr(v)

    def untyped(self, v: Any = None, *more: Any, **named: Any) -> str:
        return repr((v, more, named))

    def parsed(self, v: int) -> str:
        return repr(v)

    @parser(parsed)
    def _(self, request):
        return {"v": request.query["number"]}

    @parser(parsed, "PUT")
    def _(self, request):
        return (request.json(),), {}

    def badly_parsed(self) -> None: ...

    @parser(badly_parsed)
    def _(self, request):
        return "no mapping"

    @rest("GET", "POST", "PUT")
    def raw(self, request):
        return repr((request.rest, dict(request.query), request.body))

    @rest("POST")
    def uploaded(self, request):
        (first, second) = request.files.get_all("v")
        return first.file.read(1) + second.file.read()

    @on_error()
    def _(self, request, error):
        if request.headers.get("x-handled"):
            return f"handled {type(error).__name__}"
        raise error


@pytest.fixture(scope="module")
def answer():
    registry = Registry()
    registry.add(Echo(), "echo")
    rest = REST(registry, Dispatcher(registry), settings=Settings())

    def answer(path, query="", *, method="GET", body=b"", kind="", **headers):
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        if kind:
            headers["content-type"] = kind
        request = Request(
            method=method,
            path=path,
            raw_path=path,
            query_string=query,
            headers=Headers(headers.items()),
            content=body,
        )
        route = rest.exact(request) or rest.nearest(request)
        if route is None:
            return None
        with bind(Context(request=request, protocol="REST")):
            return rest.answer(request, route)

    return answer


@pytest.mark.parametrize(
    ("method", "values", "got"),
    [
        ("text", ["{"], "'{'"),
        ("text", ["[1]"], "'[1]'"),
        ("number_or_text", ["5"], "'5'"),
        ("number_or_text", ["[draft"], "'[draft'"),
        ("numbers_or_text", ["[1,2]"], "[1, 2]"),
        ("numbers_or_text", ["1", "2"], "[1, 2]"),
        ("numbers_or_text", ["[x]"], "'[x]'"),
        (
            "drawing",
            ['{"shape":{"side":2},"drawn":"2026-01-02"}'],
            "Drawing(shape=Square(side=2.0), drawn=datetime.date(2026, 1, 2))",
        ),
        (
            "drawings",
            ['[{"shape":{"radius":1}}]'],
            "[Drawing(shape=Circle(radius=1.0), drawn=None)]",
        ),
        (
            "drawings",
            ['{"shape":{"radius":1}}', '{"shape":{"side":2}}'],
            "[Drawing(shape=Circle(radius=1.0), drawn=None), "
            "Drawing(shape=Square(side=2.0), drawn=None)]",
        ),
        (
            "drawings",
            ['{"shape":{"radius":1}}'],
            "[Drawing(shape=Circle(radius=1.0), drawn=None)]",
        ),
        ("pair", ["2026-01-02", "3"], "(datetime.date(2026, 1, 2), 3)"),
        ("pair", ['["2026-01-02",3]'], "(datetime.date(2026, 1, 2), 3)"),
        ("dates", ['{"a":"2026-01-02"}'], "{'a': datetime.date(2026, 1, 2)}"),
        ("small", ["9"], "9"),
        ("untyped", ["[1]"], "('[1]', (), {})"),
    ],
)
def test_texts_become_values(answer, method, values, got):
    query = urlencode([("v", value) for value in values])
    response = answer(f"/echo/{method}", query)
    assert (response.status, response.body.decode()) == (200, got)
    form = "application/x-www-form-urlencoded"
    response = answer(f"/echo/{method}", method="POST", body=query.encode(), kind=form)
    assert (response.status, response.body.decode()) == (200, got)


@pytest.mark.parametrize(
    ("path", "query", "told"),
    [
        ("/echo/small", "v=10", "v: expected int <= 9, got str '10'"),
        ("/echo/drawing", "v={", "v: expected Drawing as JSON"),
        ("/echo/drawing", 'v={"shape":{}}', "v.shape.radius: missing"),
        ("/echo/drawing", "v=x", "v: expected Drawing, got str 'x'"),
        ("/echo/drawings", 'v={"shape":[1&v=2]}', "v[0]: expected Drawing"),
        ("/echo/drawings", "v={}&v={}", "v[0].shape: missing"),
        ("/echo/drawings", "v={&v={}", "v: expected Drawing as JSON, each time"),
        ("/echo/number_or_text", "v=1&v=2", "v: given 2 times, expected once"),
        ("/echo/text/%ff", "", "path: element 1 is not UTF-8"),
        ("/echo/parsed", "v=1", "number: missing in the query"),
        ("/echo/parsed", "number=x", "v: expected int, got str 'x'"),
    ],
)
def test_what_does_not_fit_is_told(answer, path, query, told):
    response = answer(path, quote(query, safe="=&"))
    assert response.status == 400
    assert told in msgspec.json.decode(response.body)["detail"]


def multipart(*parts):
    lines = []
    for name, filename, content in parts:
        disposition = f'form-data; name="{name}"; filename="{filename}"'
        lines += ["--b", f"Content-Disposition: {disposition}", "", content]
    return "\r\n".join([*lines, "--b--", ""]).encode()


@pytest.mark.parametrize(
    ("method", "parts", "status", "got"),
    [
        ("files", [("v", "a", "1"), ("v", "b", "22")], 200, "[b'1', b'22']"),
        ("files", [("v", "a", "1")], 200, "[b'1']"),
        ("file", [("v", "a", "1")], 200, "b'1'"),
        # What a browser sends where no file was chosen.
        ("file", [("v", "", "")], 200, "None"),
        ("file", [("v", "a", "1"), ("v", "b", "2")], 400, "v: given 2 times"),
        ("file", [("w", "a", "1")], 400, "unknown argument 'w'"),
        ("untyped", [("w", "a", "1")], 200, "(None, (), {'w': b'1'})"),
    ],
)
def test_files_fill_parameters(answer, method, parts, status, got):
    kind = "multipart/form-data; boundary=b"
    body = multipart(*parts)
    response = answer(f"/echo/{method}", method="POST", body=body, kind=kind)
    assert response.status == status
    assert got in response.body.decode()


def test_a_method_for_rest_alone_reads_files_itself(answer):
    body = multipart(("v", "a", "123"), ("v", "b", "45"))
    kind = "multipart/form-data; boundary=b"
    response = answer("/echo/uploaded", method="POST", body=body, kind=kind)
    assert (response.status, response.body) == (200, b"145")


def test_a_parser_for_the_verb_comes_first(answer):
    assert answer("/echo/parsed", "number=5").body == b"5"
    kind = "application/json"
    put = answer("/echo/parsed", method="PUT", body=b"6", kind=kind)
    assert put.body == b"6"
    # PATCH is named by no wrapper.
    assert answer("/echo/parsed", method="PATCH").status == 405


def test_a_parser_that_returns_no_mapping_is_the_tools_failure(answer, caplog):
    response = answer("/echo/badly_parsed")
    assert response.status == 500
    assert b"expected a mapping" in response.body


def test_the_tools_error_handler_sees_mistakes_of_callers(answer, caplog):
    response = answer("/echo/small", "v=x", x_handled="1")
    assert (response.status, response.body) == (400, b"handled InvalidParams")
    # By raising the error again it leaves the answer to the server.
    response = answer("/echo/small", "v=x")
    assert msgspec.json.decode(response.body)["error"] == "InvalidParams"
    assert "error handler failed" not in caplog.text


_ANY_TEXT = st.text(alphabet='abv=&%[]{}"1,;/+é\x00\ud800 .-', max_size=30)
_KINDS = ["application/json", "application/x-www-form-urlencoded", "text/plain", ""]
_KINDS += ["multipart/form-data; boundary=b", "multipart/form-data"]


@settings(max_examples=300)
@given(
    method=st.sampled_from([name for name in vars(Echo) if not name.startswith("_")]),
    verb=st.sampled_from(["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS"]),
    rest=_ANY_TEXT,
    query=_ANY_TEXT,
    body=st.binary(max_size=40),
    kind=st.sampled_from(_KINDS),
    accept=st.sampled_from(["", "*/*", "text/html", "application/xml", "a/b;q=x,,"]),
)
def test_any_request_has_an_answer(
    answer, method, verb, rest, query, body, kind, accept
):
    # Failing calls are logged with what failed, which is not what is tested here.
    logging.disable(logging.ERROR)
    try:
        response = answer(
            f"/echo/{method}/{rest}",
            query,
            method=verb,
            body=body,
            kind=kind,
            accept=accept,
        )
    finally:
        logging.disable(logging.NOTSET)
    assert response is not None
    assert 200 <= response.status < 600
    assert isinstance(response.body, bytes)
    for name, value in response.headers:
        assert f"{name}: {value}".isascii()
        assert f"{name}: {value}".isprintable()
