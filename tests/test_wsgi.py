"""The whole server as a WSGI application."""

from __future__ import annotations

import contextlib
import http.client
import io
import json
import os
import socket
import subprocess
import sys
import wsgiref.util
import wsgiref.validate
import xmlrpc.client

import gevent
import pytest
import requests

from toolserver.declarations import declared
from toolserver.home import Home
from toolserver.message import FileBody
from toolserver.wsgi import _FileBlocks, make_application

TOOL = """
from pathlib import Path

from toolserver import Response, StandardTool, context, limit, register, rest
from toolserver.errors import AlreadyDone


@register("wsgi.sample")
class Sample(StandardTool):
    def add(self, a: int, b: int = 0) -> int:
        return a + b

    def words(self):
        yield "one "
        yield "two"

    def file(self) -> Path:
        return Path(__file__)

    def path(self) -> str:
        return context.request.raw_path

    def by_hand(self) -> None:
        context.request.writer.start(200, [("Content-Type", "text/plain")])
        context.request.writer.write(b"by hand")
        raise AlreadyDone

    def too_soon(self) -> bool:
        writer = context.request.writer
        was_started = writer.started
        try:
            writer.write(b"body")
        except RuntimeError as error:
            return not was_started and "before write" in str(error)

    def plain(self, status: int) -> Response:
        return Response(b"made", status=status, headers=[("X-By", "hand")])

    def measured(self) -> Response:
        return Response(iter([b"ab"]), headers=[("Content-Length", "2")])

    @limit(max_body=100_000)
    def length(self, data: bytes) -> int:
        return len(data)

    @rest("POST")
    @limit(max_body=100_000)
    def read(self, request) -> str:
        return str(len(request.stream.read()))

    @rest("POST")
    @limit(max_body=100_000)
    def lines(self, request) -> list[int]:
        stream = request.stream
        first = [stream.readline(10), stream.readline()]
        found = [*first, *stream.readlines(30_000), *stream]
        return [len(line) for line in found]

    @rest("POST")
    @limit(max_body=100_000)
    def all_lines(self, request) -> list[int]:
        return [len(line) for line in request.stream.readlines()]

    @rest("POST")
    def first_line(self, request) -> str:
        return str(request.stream.readline())
"""


@pytest.fixture(scope="module", autouse=True)
def _declared_here_alone():
    """A server that loads its tools serves all that the process has registered."""
    before = list(declared)
    declared.clear()
    yield
    declared[:] = before


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    made = Home(tmp_path_factory.mktemp("home"))
    made.create()
    (made.tools / "wsgi_sample.py").write_text(TOOL)
    (made.www / "a.txt").write_text("a file")
    made.settings_file.write_text("[limits]\nbody = 1000\n")
    return made


@pytest.fixture(scope="module")
def ask(home):
    made = make_application(home)
    application = wsgiref.validate.validator(made)

    def ask(method, path, body=b"", content_type="", **variables):
        environ = {"REQUEST_METHOD": method, "SCRIPT_NAME": "", **variables}
        environ.setdefault("HTTP_HOST", "localhost")
        environ["PATH_INFO"], _, environ["QUERY_STRING"] = path.partition("?")
        environ["wsgi.input"] = io.BytesIO(body)
        if body:
            environ.setdefault("CONTENT_LENGTH", str(len(body)))
            environ["CONTENT_TYPE"] = content_type
        wsgiref.util.setup_testing_defaults(environ)
        seen = []
        written = []

        def start_response(status, headers, exc_info=None):
            seen.append((status, http.client.HTTPMessage()))
            for name, value in headers:
                seen[0][1][name] = value
            return written.append

        # The validator itself stumbles over lengths that are none.
        run = made if "CONTENT_LENGTH" in variables else application
        blocks = run(environ, start_response)
        try:
            text = b"".join(blocks)
        finally:
            getattr(blocks, "close", int)()
        return seen[0][0], seen[0][1], b"".join(written) + text

    yield ask
    made.close()


def test_tools_files_and_protocols_answer(ask):
    assert ask("GET", "/wsgi/sample/add?a=1&b=2")[2] == b"3"
    assert ask("GET", "/wsgi/sample/words")[2] == b"one two"
    assert ask("GET", "/wsgi/sample/file")[2].decode() == TOOL
    assert ask("GET", "/wsgi/sample/by_hand")[2] == b"by hand"
    assert ask("GET", "/a.txt")[2] == b"a file"
    body = xmlrpc.client.dumps((1, 2), "wsgi.sample.add").encode()
    assert b"<int>3</int>" in ask("POST", "/RPC2", body, "text/xml")[2]
    status, headers, text = ask("HEAD", "/wsgi/sample/add?a=1")
    assert (status, headers["Content-Length"], text) == ("200 OK", "1", b"")


@pytest.mark.parametrize("variable", ["RAW_URI", "REQUEST_URI"])
def test_the_path_is_the_one_that_was_sent(ask, variable):
    """Signatures cover it, with whatever needless escapes there are."""

    def path(sent, given="/wsgi/sample/path"):
        return ask("GET", given, **{variable: sent})[2].decode()

    assert path("/wsgi/%73ample/path?a=1") == "/wsgi/%73ample/path"
    assert path("/WSGI/../wsgi/sample/path") == "/wsgi/sample/path"
    # It is another one by now, or no path.
    assert path("/elsewhere") == "/wsgi/sample/path"
    assert path("http://localhost/wsgi/sample/path") == "/wsgi/sample/path"
    assert path("") == "/wsgi/sample/path"


def test_mistakes_are_answered(ask):
    assert ask("GET", "/nowhere")[0] == "404 Not Found"
    assert ask("GET", "/wsgi/sample/add?a=x")[0] == "400 Bad Request"
    assert ask("GET", "/", HTTP_HOST="evil.example")[0].startswith("421")
    body = b'{"a": 1, "b": ' + b" " * 1000 + b"2}"
    answer = ask("POST", "/wsgi/sample/add", body, "application/json")
    assert answer[0].startswith("413")
    body = b"data=" + b"x" * 90_000
    form = "application/x-www-form-urlencoded"
    assert ask("POST", "/wsgi/sample/add", body, form)[0].startswith("413")
    assert ask("POST", "/wsgi/sample/length", b"data=eHh4", form)[2] == b"3"


def test_a_large_body_is_read_as_it_is_asked_for(ask):
    body = b"".join(b"x" * size + b"\n" for size in (20_000, 30_000, 20_000))
    kind = "text/plain"
    assert ask("POST", "/wsgi/sample/read", body, kind)[2] == b"70003"
    lines = ask("POST", "/wsgi/sample/lines", body, kind)[2]
    assert json.loads(lines) == [10, 19_991, 30_001, 20_001]


def test_lines_are_read_to_the_end(ask):
    body = b"x" * 30_000 + b"\n" + b"y" * 40_000
    lines = ask("POST", "/wsgi/sample/all_lines", body, "text/plain")[2]
    assert json.loads(lines) == [30_001, 40_000]


def test_a_body_that_is_too_large_has_no_lines(ask):
    answer = ask("POST", "/wsgi/sample/first_line", b"x" * 2000, "text/plain")
    assert answer[0].startswith("413")
    assert b"larger than the server accepts" in answer[2]


def test_answers_by_hand(ask):
    assert ask("GET", "/wsgi/sample/too_soon")[2] == b"true"
    status, headers, text = ask("GET", "/wsgi/sample/plain?status=799")
    assert (status, text) == ("799 Unknown", b"made")
    assert headers["Content-Type"] == "application/octet-stream"
    assert (headers["Content-Length"], headers["X-By"]) == ("4", "hand")
    status, headers, text = ask("GET", "/wsgi/sample/measured")
    assert (headers.get_all("Content-Length"), text) == (["2"], b"ab")


def test_a_file_that_shrinks_while_it_is_sent_ends_the_answer(home):
    file = home.www / "shrinks.bin"
    file.write_bytes(b"x" * 200_000)
    blocks = _FileBlocks(FileBody(os.open(file, os.O_RDONLY), 0, 200_000))
    with contextlib.closing(blocks):
        assert next(blocks)
        os.truncate(file, 10)
        with pytest.raises(EOFError, match="bytes before its span"):
            next(blocks)


def test_it_is_closed_once(home, tmp_path):
    elsewhere = Home(tmp_path)
    elsewhere.create()
    elsewhere.settings_file.touch()
    made = make_application(elsewhere)
    made.close()
    made.close()


def test_a_small_body_that_ends_early_is_refused(ask):
    variables = {"CONTENT_LENGTH": "5"}
    answer = ask("POST", "/wsgi/sample/read", b"ab", "text/plain", **variables)
    assert answer[0] == "400 Bad Request"
    assert b"ended early" in answer[2]


@pytest.mark.parametrize("method", ["read", "lines"])
def test_a_large_body_that_ends_early_is_refused(ask, method):
    variables = {"CONTENT_LENGTH": "80000"}
    body = b"x" * 20_000 + b"\n" + b"x" * 50_000
    answer = ask("POST", f"/wsgi/sample/{method}", body, "text/plain", **variables)
    assert answer[0] == "400 Bad Request"
    assert b"ended early" in answer[2]


@pytest.mark.parametrize("length", ["x", "-1", "1 1", "\xb2", "9" * 5000])
def test_a_length_that_is_no_number_is_refused(ask, length):
    answer = ask(
        "POST", "/wsgi/sample/read", b"ab", "text/plain", CONTENT_LENGTH=length
    )
    assert answer[0] in ("400 Bad Request", "413 Request Entity Too Large")
    assert answer[2]


def test_gunicorn_runs_it(home):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        descriptor = listener.fileno()
        os.set_inheritable(descriptor, True)
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "gunicorn", "-k", "gevent"),
                *("--bind", f"fd://{descriptor}", "toolserver.wsgi:application"),
            ],
            env={**os.environ, "TOOLSERVER_HOME": str(home.path)},
            pass_fds=[descriptor],
            stderr=subprocess.PIPE,
        )
    try:
        with gevent.Timeout(40):
            answer = requests.get(f"{url}/wsgi/sample/add?a=1&b=2", timeout=30)
            assert answer.json() == 3
            with xmlrpc.client.ServerProxy(f"{url}/RPC2") as proxy:
                assert proxy.wsgi.sample.add(20, 3) == 23
            assert requests.get(f"{url}/wsgi/sample/words", timeout=5).text == "one two"
            sender = http.client.HTTPConnection(url.removeprefix("http://"))
            with contextlib.closing(sender):
                sender.request("GET", "/wsgi/s%61mple/path")
                assert sender.getresponse().read() == b"/wsgi/s%61mple/path"
    finally:
        process.terminate()
        process.communicate(timeout=20)
