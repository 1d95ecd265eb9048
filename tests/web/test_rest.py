"""Tools over REST, as callers see them."""

from __future__ import annotations

import dataclasses
import datetime as dt
import gc
import io
import logging
import socket
import time
from decimal import Decimal
from pathlib import Path

import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st

import toolserver.testing
from tests.sample import Faults, Types
from toolserver import (
    DirectResponse,
    FactoryTool,
    Markup,
    Redirect,
    Request,
    Response,
    StandardTool,
    TransientTool,
    UploadedFile,
    context,
    generator,
    limit,
    on_error,
    parser,
    read_only,
    redirect,
    register,
    rest,
    validate,
)
from toolserver.errors import (
    AlreadyDone,
    ApplicationError,
    Forbidden,
    NotFound,
    NotModified,
    NotOffered,
    Obsolete,
    StartError,
    ToolserverError,
    TooMany,
    Unauthenticated,
)
from toolserver.message import Headers
from toolserver.toolspecs import describe_tool
from toolserver.web.arguments import read_arguments


@dataclasses.dataclass
class Item:
    name: str
    count: int = 1


@register("pages")
class Pages(StandardTool):
    """Answers whatever is below it."""

    @rest("GET", name="*")
    def any_page(self, request: Request) -> list:
        return list(request.rest)

    def known(self) -> str:
        return "known"


@register("shop")
class Shop(StandardTool):
    """Everything that REST can do with a method."""

    def __init__(self):
        self.made = 0

    @rest("GET")
    def index(self, request: Request) -> Markup:
        return Markup("<h1>Shop</h1>")

    @read_only
    def add(self, a: int, b: int = 0) -> int:
        return a + b

    def many(self, values: list[int], names: set[str] | None = None) -> list:
        return [values, sorted(names or ())]

    def item(self, item: Item) -> Item:
        return item

    def flags(self, on: bool, day: dt.date | None = None) -> list:
        return [on, day]

    def upload(self, data: bytes, note: str = "") -> list:
        return [len(data), note]

    @limit(max_body=2_000_000)
    def big(self, data: bytes) -> int:
        return len(data)

    def page(self) -> Markup:
        return Markup("<p>page</p>")

    def octets(self) -> bytes:
        return b"\x00\x01"

    def nothing(self) -> None: ...

    def money(self) -> Decimal:
        return Decimal("1.50")

    def nan(self) -> float:
        return float("nan")

    def opaque(self) -> object:
        return object()

    def words(self):
        for word in ("a", "ä", "c"):
            yield f"{word}:{context.method}\n"

    def records(self):
        yield {"n": 1}
        yield [2]

    def breaks(self):
        yield "start"
        raise ValueError("broken")

    def never_starts(self):
        raise ValueError("broken")
        yield

    def file(self) -> Path:
        return Path(__file__)

    def open_file(self) -> io.BufferedReader:
        file = Path(__file__).open("rb")  # noqa: SIM115  # the server closes it
        file.seek(4)
        return file

    def lost_file(self) -> Path:
        return Path("/nowhere/at/all")

    def custom(self) -> Response:
        return Response("teapot", status=418, headers={"X-Tea": "yes"})

    def rest_of_path(self, first: str, number: int = 0) -> list:
        return [first, number, list(context.request.rest)]

    # wrappers

    def wrapped(self, name: str) -> str:
        return f"for {name}"

    @parser(wrapped, "GET")
    def _(self, request):
        return {"name": request.query["who"]}

    @parser(wrapped)
    def _(self, request):
        return {"name": request.form["whom"]}

    @generator(wrapped, content_type="text/html")
    def _(self, request, result):
        return Markup("<b>{}</b>").format(result)

    @generator(wrapped, content_type="application/json")
    def _(self, request, result):
        return {"said": result}

    def counted(self) -> str:
        return "same"

    @generator(counted)
    def _(self, request, result):
        self.made += 1
        return result

    def guarded(self, who: str = "") -> str:
        return "in"

    @validate(guarded, "POST")
    def _(self, call):
        if call.kwargs.get("who") != "ann":
            raise Forbidden("only ann")

    def failing(self) -> None:
        raise NotFound("no such order")

    @on_error(failing)
    def _(self, request, error):
        return f"sorry: {error}"

    def failing_badly(self) -> None:
        raise ValueError("first")

    @on_error(failing_badly)
    def _(self, request, error):
        raise RuntimeError("second")

    # several verbs of one resource

    @rest("GET", name="thing")
    def get_thing(self, request):
        return f"got {'/'.join(request.rest)}"

    @rest("PUT", "DELETE", name="thing")
    def change_thing(self, request):
        return f"{request.method} {request.body.decode()}"

    # signals

    def moves(self) -> None:
        raise Redirect("/shop/", 307)

    def moves_too(self) -> Response:
        return redirect("/shop/")

    def unchanged(self) -> None:
        raise NotModified

    def direct(self) -> None:
        raise DirectResponse(Response("as is", status=201, headers={"X-A": "1"}))

    def by_hand(self) -> None:
        writer = context.request.writer
        writer.start(200, [("Content-Type", "text/plain")])
        writer.write(b"by ")
        writer.write(b"hand")
        raise AlreadyDone

    def login(self) -> None:
        raise Unauthenticated("who are you?")

    def too_many(self) -> None:
        raise TooMany("slow down", retry_after=7)

    def not_offered(self) -> None:
        raise NotOffered("not here")

    def gone(self) -> None:
        raise Obsolete("use shop.add")

    def odd_message(self) -> None:
        raise ApplicationError("line\r\nX-Evil: 1 ä \x00 <script>", data={"a": "ä"})

    def versioned(self) -> Response:
        return Response("v1", headers={"ETag": '"one"', "Cache-Control": "max-age=5"})


@register("shop.inner")
class Inner(StandardTool):
    def add(self) -> str:
        return "inner"


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    home = tmp_path_factory.mktemp("home")
    (home / "www" / "shop" / "pictures").mkdir(parents=True)
    (home / "www" / "shop" / "pictures" / "a.txt").write_text("a picture")
    (home / "www" / "shop" / "add.txt").write_text("a file beside a method")
    (home / "www" / "shop" / "thing").mkdir()
    (home / "www" / "shop" / "thing" / "file").write_text("a file below a method")
    with toolserver.testing.serve(
        Shop, Inner, Pages, Types, Faults, home=home
    ) as running:
        yield running


@pytest.fixture
def get(server):
    return lambda path, **options: server.http.get(
        path, allow_redirects=False, **options
    )


# what is left over


@register("shop.leaving")
class Leaving(StandardTool):
    def take(self, size: int, file: bytes = b"") -> str:
        raise ValueError("too large")

    @on_error(take)
    def _told(self, request: Request, error: Exception) -> str:
        raise error

    def refuse(self, size: int, file: bytes = b"") -> str:
        raise Forbidden("not here") from ValueError("too large")


@pytest.mark.parametrize("method", ["take", "refuse"])
@pytest.mark.parametrize("size", ["1", "much"])
def test_files_of_a_failed_call_are_closed_at_once(method, size, monkeypatch):
    # What is logged is kept for the report of the test, with its frames.
    monkeypatch.setattr(logging.getLogger("toolserver.calls"), "disabled", True)
    with toolserver.testing.serve(Leaving) as server:
        gc.collect()
        gc.disable()
        try:
            files = [("size", (None, size)), ("file", b"abc")]
            answer = server.http.post(f"/shop/leaving/{method}", files=files)
            assert answer.status_code in (400, 403, 500)
            until = time.monotonic() + 5
            while open_uploads() and time.monotonic() < until:
                time.sleep(0.001)
            assert open_uploads() == []
        finally:
            gc.enable()


def open_uploads():
    return [each for each in gc.get_objects() if type(each) is UploadedFile]


# paths of the server that belong to a tool, wherever it is


@register("shop.crawlers")
class Crawlers(StandardTool):
    @rest("GET", name="/robots.txt")
    def robots(self, request: Request) -> str:
        return "User-agent: *"


class OtherCrawlers(Crawlers):
    pass


def test_a_tool_can_answer_a_path_of_the_server():
    with toolserver.testing.serve(Crawlers) as server:
        assert server.http.get("/robots.txt").text == "User-agent: *"
        assert server.http.post("/robots.txt").headers["Allow"] == "GET, HEAD, OPTIONS"
        for elsewhere in ("/shop/crawlers/robots.txt", "/shop/crawlers/%2Frobots.txt"):
            assert server.http.get(elsewhere).status_code == 404
        assert server.http.get("/robots.txt/more").status_code == 404


def test_a_path_of_the_server_belongs_to_one_tool():
    register(OtherCrawlers, "shop.other_crawlers")
    with (
        pytest.raises(StartError, match=r"path '/robots\.txt' is taken by a tool from"),
        toolserver.testing.serve(Crawlers, OtherCrawlers),
    ):
        pass


@pytest.mark.parametrize("path", ["/", "/a//b", "/a/", "/a b", "/{a}"])
def test_a_malformed_path_of_the_server_is_refused(path):
    with pytest.raises(TypeError, match="expected a path such as"):
        rest("GET", name=path)


def test_a_tool_of_a_factory_has_no_path_of_the_server():
    class Child(TransientTool):
        @rest("GET", name="/child")
        def answer(self, request: Request) -> str:
            return "which one"

    class Factory(FactoryTool):
        children = (Child,)

    register(Factory, "shop.factory")
    with (
        pytest.raises(StartError, match=r"Child\.answer: got the path '/child'"),
        toolserver.testing.serve(Factory),
    ):
        pass


# arguments


@pytest.mark.parametrize(
    ("path", "answer"),
    [
        ("/shop/add?a=1&b=2", 3),
        ("/shop/add?a=1", 1),
        ("/shop/add/1/2", 3),
        ("/shop/add/1?b=2", 3),
        ("/shop/many?values=1&values=2&names=x", [[1, 2], ["x"]]),
        ("/shop/many?values=7", [[7], []]),
        ("/shop/many?values=[1,2]", [[1, 2], []]),
        ('/shop/item?item={"name":"a","count":2}', {"name": "a", "count": 2}),
        ("/shop/flags?on=yes", [True, None]),
        ("/shop/flags?on=0&day=", [False, None]),
        ("/shop/flags?on=true&day=2026-01-02", [True, "2026-01-02"]),
        ("/shop/rest_of_path/a%2Fb/5/", ["a/b", 5, ["a/b", "5"]]),
        ("/shop/inner/add", "inner"),
    ],
)
def test_arguments_come_from_query_and_path(get, path, answer):
    found = get(path, headers={"Accept": "application/json"})
    assert found.status_code == 200
    assert found.json() == answer


@pytest.mark.parametrize(
    ("path", "answer"),
    [
        ("/pages/a", ["a"]),
        ("/pages/a/", ["a"]),
        ("/pages/a.b/c%2Fd/", ["a.b", "c/d"]),
        ("/pages/*", ["*"]),
        ("/pages/*/x", ["*", "x"]),
        ("/pages/known", "known"),
    ],
)
def test_a_tool_can_answer_whatever_is_below_it(get, path, answer):
    found = get(path, headers={"Accept": "application/json"})
    assert found.json() == answer


def test_only_its_verbs_answer_whatever_is_below(server):
    answer = server.http.put("/pages/a/b")
    assert answer.status_code == 405
    assert answer.headers["allow"] == "GET, HEAD, OPTIONS"
    assert server.http.get("/pages/").status_code == 404


def test_arguments_come_from_forms_and_json(server):
    post = server.http.post
    assert post("/shop/add", data={"a": 1, "b": 2}).json() == 3
    assert post("/shop/add", json={"a": 1, "b": 2}).json() == 3
    assert post("/shop/add?b=5", json={"a": 1}).json() == 6
    assert post("/shop/add", json=[1, 2]).json() == 3
    assert post("/shop/add", json=4).json() == 4
    assert post("/shop/item", json={"item": {"name": "a"}}).json()["count"] == 1
    files = {"data": ("x.bin", b"12345")}
    answer = post("/shop/upload", files=files, data={"note": "n"})
    assert answer.json() == [5, "n"]


@pytest.mark.parametrize(
    ("path", "options", "status", "text"),
    [
        ("/shop/add?a=x", {}, 400, "a: expected int, got str 'x'"),
        ("/shop/add", {}, 400, "a: missing, expected int"),
        ("/shop/add?a=1&c=2", {}, 400, "unknown argument 'c'"),
        ("/shop/add?a=1&a=2", {}, 400, "a: given 2 times"),
        ("/shop/add/1?a=2", {}, 400, "a: given twice"),
        ("/shop/add/1/2/3", {}, 400, "got 3 elements"),
        ("/shop/item?item={", {}, 400, "expected Item as JSON"),
        ("/shop/many?values=a", {}, 400, "values[0]: expected int"),
        ("/shop/nope", {}, 404, "nothing here"),
        ("/nope", {}, 404, "nothing here"),
        ("/shop/__class__", {}, 404, "nothing here"),
        ("/shop/_check", {}, 404, "nothing here"),
        ("/shop.inner/add", {}, 404, "nothing here"),
        ("/%2e%2e/etc/passwd", {}, 404, "nothing here"),
    ],
)
def test_mistakes_are_told(get, path, options, status, text):
    answer = get(path, **options)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert text in problem["detail"]
    assert problem["status"] == status
    assert problem["instance"].startswith("urn:toolserver:request:")
    assert answer.headers["x-rest-errorobject"] == problem["error"]


@pytest.mark.parametrize(
    ("options", "status", "text"),
    [
        ({"json": {"a": "1"}}, 400, "a: expected int, got str '1'"),
        ({"data": b"{", "headers": {"Content-Type": "application/json"}}, 400, "JSON"),
        ({"data": b"a", "headers": {"Content-Type": "text/csv"}}, 415, "text/csv"),
        ({"data": b"a"}, 415, "content type: got none"),
        ({"json": {"a": 1}, "params": {"a": 1}}, 400, "a: given twice"),
        ({"data": {"a": 1}, "params": {"a": 1}}, 400, "a: given twice"),
        ({"files": {"a": b"1"}, "params": {"a": 1}}, 400, "a: given twice"),
    ],
)
def test_mistakes_in_bodies_are_told(server, options, status, text):
    answer = server.http.post("/shop/add", **options)
    assert (answer.status_code, answer.json()["status"]) == (status, status)
    assert text in answer.json()["detail"]


def test_a_method_may_take_a_larger_body():
    config = {"limits": {"body": 1000}}
    with toolserver.testing.serve(Shop, config=config) as server:
        files = {"data": b"x" * 1_000_000}
        assert server.http.post("/shop/big", files=files).json() == 1_000_000
        assert server.http.post("/shop/upload", files=files).status_code == 413
        files = {"data": b"x" * 2_000_000}
        assert server.http.post("/shop/big", files=files).status_code == 413


# results


@pytest.mark.parametrize(
    ("method", "accept", "content_type", "body"),
    [
        ("add?a=1", None, "application/json", "1"),
        ("page", None, "text/html; charset=utf-8", "<p>page</p>"),
        ("octets", None, "application/octet-stream", "\x00\x01"),
        ("money", None, "application/json", '"1.50"'),
        ("inner/add", None, "text/plain; charset=utf-8", "inner"),
        ("inner/add", "application/json", "application/json", '"inner"'),
        ("inner/add", "text/html,*/*;q=0.8", "text/plain; charset=utf-8", "inner"),
        ("words", None, "text/plain; charset=utf-8", "a:words\nä:words\nc:words\n"),
        ("records", None, "application/x-ndjson", '{"n":1}\n[2]\n'),
        ("file", None, "text/x-python; charset=utf-8", None),
    ],
)
def test_results_become_answers(get, method, accept, content_type, body):
    answer = get(f"/shop/{method}", headers={"Accept": accept})
    answer.encoding = "utf-8"
    assert answer.status_code == 200
    assert answer.headers["content-type"] == content_type
    assert answer.text == (Path(__file__).read_text() if body is None else body)


def test_an_open_file_is_sent_from_where_it_stands(get):
    assert get("/shop/open_file").text == Path(__file__).read_text()[4:]
    assert get("/shop/lost_file").status_code == 404


def test_nothing_is_no_content(get):
    answer = get("/shop/nothing")
    assert (answer.status_code, answer.content) == (204, b"")


def test_xml_for_who_prefers_it(get):
    headers = {"Accept": "application/xml"}
    answer = get('/shop/item?item={"name":"<a>"}', headers=headers)
    assert answer.headers["content-type"] == "application/xml"
    assert answer.headers["vary"] == "Accept"
    assert "<result><name>&lt;a&gt;</name><count>1</count></result>" in answer.text


def test_what_cannot_be_sent_is_an_error_of_the_tool(get, caplog):
    assert "NaN" in get("/shop/nan").json()["detail"]
    assert get("/shop/opaque").status_code == 500


def test_a_response_is_sent_as_it_is(get):
    answer = get("/shop/custom")
    assert (answer.status_code, answer.text) == (418, "teapot")
    assert answer.headers["x-tea"] == "yes"


def test_a_stream_that_breaks_is_cut_and_one_that_never_starts_is_an_error(get, caplog):
    with pytest.raises(requests.exceptions.ChunkedEncodingError):
        get("/shop/breaks")
    assert "ValueError: broken" in caplog.text
    assert get("/shop/never_starts").status_code == 500


# wrappers


def test_the_most_specific_wrapper_is_used(server):
    headers = {"Accept": "text/html"}
    answer = server.http.get("/shop/wrapped?who=<Ann>", headers=headers)
    assert answer.text == "<b>for &lt;Ann&gt;</b>"
    answer = server.http.post("/shop/wrapped", data={"whom": "Bob"}, headers=headers)
    assert answer.text == "<b>for Bob</b>"
    headers = {"Accept": "application/json"}
    answer = server.http.get("/shop/wrapped?who=Ann", headers=headers)
    assert answer.json() == {"said": "for Ann"}
    headers = {"Accept": "text/plain"}
    assert server.http.get("/shop/wrapped?who=Ann", headers=headers).text == "for Ann"


def test_a_field_that_a_parser_misses_is_the_callers_mistake(get):
    answer = get("/shop/wrapped")
    assert answer.status_code == 400
    assert answer.json()["detail"] == "who: missing in the query"


def test_a_validator_minds_its_verb(server):
    assert server.http.get("/shop/guarded").text == "in"
    assert server.http.post("/shop/guarded", data={"who": "eve"}).status_code == 403
    assert server.http.post("/shop/guarded", data={"who": "ann"}).text == "in"


def test_an_error_handler_keeps_the_status(get, caplog):
    answer = get("/shop/failing")
    assert (answer.status_code, answer.text) == (404, "sorry: no such order")
    assert answer.headers["x-rest-errorobject"] == "NotFound"
    answer = get("/shop/failing_badly")
    assert answer.status_code == 500
    assert answer.json()["detail"] == "ValueError: first"


# verbs and paths


def test_verbs(server):
    request = server.http.request
    assert request("GET", "/shop/thing/a/b").text == "got a/b"
    assert request("PUT", "/shop/thing/a", data=b"new").text == "PUT new"
    assert request("DELETE", "/shop/thing/a").text == "DELETE "
    answer = request("POST", "/shop/thing/a")
    assert answer.status_code == 405
    assert answer.headers["allow"] == "DELETE, GET, HEAD, OPTIONS, PUT"
    answer = request("OPTIONS", "/shop/add")
    assert (answer.status_code, answer.headers["allow"]) == (
        *(204, "GET, HEAD, OPTIONS, POST"),
    )
    answer = request("HEAD", "/shop/add?a=1")
    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["content-length"] == "1"


def test_a_tools_own_path_is_its_index(get):
    assert get("/shop/").text == "<h1>Shop</h1>"
    answer = get("/shop?a=1")
    assert (answer.status_code, answer.headers["location"]) == (308, "/shop/?a=1")
    assert get("/sample/types/").status_code == 404


def test_tools_and_files_stand_side_by_side(get):
    assert get("/shop/pictures/a.txt").text == "a picture"
    assert get("/shop/add.txt").text == "a file beside a method"
    # A file goes before a method that takes the rest of the path.
    assert get("/shop/thing/file").text == "a file below a method"


def test_strangers_pages_may_only_look(server):
    headers = {"Sec-Fetch-Site": "cross-site"}
    get = server.http.get
    assert get("/shop/add?a=1", headers=headers).status_code == 200
    assert get("/shop/", headers=headers).status_code == 200
    assert get("/shop/nothing", headers=headers).status_code == 403
    assert get("/shop/nothing", headers={"Sec-Fetch-Site": "same-origin"}).ok


@pytest.mark.parametrize("verb", ["GET", "POST"])
@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 204),
        ({"Origin": "http://127.0.0.1:{port}"}, 204),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": ""}, 403),
        ({"Origin": "http://[::1"}, 403),
        ({"Origin": "https://127.0.0.1:{port}"}, 403),
        ({"Origin": "http://127.0.0.1"}, 403),
        ({"Origin": "http://127.0.0.1:{port}", "Sec-Fetch-Site": "same-site"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Sec-Fetch-Site": "none"}, 204),
        ({"Origin": "https://127.0.0.1:{port}", "Sec-Fetch-Site": "same-origin"}, 204),
    ],
)
def test_pages_of_strangers_change_nothing(server, verb, headers, status):
    port = server.worker.http.local[1]
    sent = {name: value.format(port=port) for name, value in headers.items()}
    answer = server.http.request(verb, "/shop/nothing", headers=sent)
    assert answer.status_code == status
    assert server.http.get("/shop/add?a=1", headers=sent).status_code == 200


# versions of an answer


def test_an_answer_that_is_known_is_not_sent_again(server):
    first = server.http.get("/shop/counted")
    tool = server.tool("shop")
    made = tool.made
    headers = {"If-None-Match": first.headers["etag"]}
    again = server.http.get("/shop/counted", headers=headers)
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["etag"] == first.headers["etag"]
    assert tool.made == made + 1
    headers = {"If-None-Match": '"other"'}
    assert server.http.get("/shop/counted", headers=headers).status_code == 200
    own = server.http.get("/shop/versioned", headers={"If-None-Match": '"one"'})
    assert (own.status_code, own.headers["cache-control"]) == (304, "max-age=5")
    assert server.http.get("/shop/unchanged").status_code == 304


def test_large_answers_are_compressed_for_who_accepts_it(server):
    plain = server.http.get("/shop/file", headers={"Accept-Encoding": "identity"})
    assert "content-encoding" not in plain.headers
    values = "&".join(f"values={n}" for n in range(500))
    headers = {"Accept-Encoding": "gzip"}
    answer = server.http.get(f"/shop/many?{values}", headers=headers)
    assert answer.headers["content-encoding"] == "gzip"
    assert "Accept-Encoding" in answer.headers["vary"]
    assert answer.json()[0] == list(range(500))
    headers["If-None-Match"] = answer.headers["etag"]
    again = server.http.get(f"/shop/many?{values}", headers=headers)
    assert again.status_code == 304


# signals and failures


def test_signals_are_answers(get):
    answer = get("/shop/moves")
    assert (answer.status_code, answer.headers["location"]) == (307, "/shop/")
    assert get("/shop/moves_too").status_code == 303
    answer = get("/shop/direct")
    assert (answer.status_code, answer.text) == (201, "as is")
    assert answer.headers["x-a"] == "1"
    assert get("/shop/by_hand").text == "by hand"


@pytest.mark.parametrize(
    ("method", "status", "field", "value"),
    [
        ("login", 401, "www-authenticate", 'Basic realm="toolserver", charset="UTF-8"'),
        ("too_many", 429, "retry-after", "7"),
        ("not_offered", 501, "x-rest-errordetail", "not here"),
        ("gone", 410, "x-rest-errorobject", "Obsolete"),
    ],
)
def test_errors_have_their_status_and_fields(get, method, status, field, value):
    answer = get(f"/shop/{method}")
    assert answer.status_code == status
    assert answer.headers[field] == value


def test_a_message_cannot_break_out_of_its_field(get):
    answer = get("/shop/odd_message")
    assert "x-evil" not in answer.headers
    assert answer.headers["x-rest-errordetail"].isascii()
    assert answer.json()["a"] == "ä"


def test_problems_as_text_for_who_wants_text(get):
    answer = get("/shop/gone", headers={"Accept": "text/plain"})
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert answer.text == "410 Gone: use shop.add\n"


def test_tracebacks_only_for_debugging(get, caplog):
    assert "traceback" not in get("/sample/faults/raises").json()
    config = {"server": {"debug": True}}
    with toolserver.testing.serve(Faults, config=config) as server:
        answer = server.http.get("/sample/faults/raises").json()
        assert any("ValueError: broken" in line for line in answer["traceback"])


def test_an_answer_names_the_request_in_the_log(server, caplog):
    answer = server.http.get("/sample/faults/raises", headers={"X-Request-Id": "my-1"})
    assert answer.json()["instance"] == "urn:toolserver:request:my-1"
    assert "my-1" in caplog.text


def test_the_path_is_never_taken_for_markup(server):
    host, port = server.worker.http.local
    with socket.create_connection((host, port)) as sock:
        sock.sendall(b"GET /<script> HTTP/1.1\r\nHost: localhost\r\n\r\n")
        head = sock.recv(65536)
    assert b"text/html" not in head


def test_files_below_a_tool_are_guarded_by_it(tmp_path):
    @register("closed")
    class Closed(StandardTool):
        @validate(protocol="FILES")
        def _(self, call):
            if not call.name.endswith("open.txt"):
                raise Forbidden("not for you")

    folder = tmp_path / "www" / "closed" / "deep"
    folder.mkdir(parents=True)
    (folder / "open.txt").write_text("open")
    (folder / "secret.txt").write_text("secret")
    (tmp_path / "www" / "free.txt").write_text("free")
    with toolserver.testing.serve(Closed, home=tmp_path) as server:
        assert server.http.get("/closed/deep/open.txt").text == "open"
        assert server.http.get("/closed/deep/secret.txt").status_code == 403
        assert server.http.get("/free.txt").text == "free"
        assert server.http.get("/closed/list_methods").status_code == 200


# any request


@given(
    query=st.text(alphabet='ab=&%[]{}"1,é+ ', max_size=40),
    path=st.text(alphabet="ab/%2f.", max_size=10),
    body=st.binary(max_size=30),
    kind=st.sampled_from(
        [
            "application/json",
            "application/x-www-form-urlencoded",
            "multipart/form-data",
            "",
        ]
    ),
)
def test_any_request_has_arguments_or_an_error(query, path, body, kind):
    request = Request(
        method="POST",
        query_string=query,
        rest=tuple(path.split("/")),
        headers=Headers([("Content-Type", kind)]),
        content=body,
    )
    for name in ("add", "many", "item", "flags", "upload"):
        spec = describe_tool(Shop)[name]
        try:
            args, kwargs = read_arguments(request, spec)
            spec.convert(args, kwargs)
        except ToolserverError as error:
            told = error.message
        else:
            told = "fine"
        assert told
