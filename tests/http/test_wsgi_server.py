from __future__ import annotations

import io
import os
import sys
from wsgiref.validate import validator

import pytest
import requests

from tests.http.raw_http import GET, HOST, Client, ask, serving, wait_for
from toolserver.http.wsgi_server import FileWrapper, WSGIHandler


def hello(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"hello"]


def environ_for(request: bytes, **options):
    seen = []

    def app(environ, start_response):
        seen.append(dict(environ))
        return hello(environ, start_response)

    with serving(WSGIHandler(app, **options)) as server:
        assert ask(server, request).status == 200
        seen[0]["port"] = server.address[1]
    return seen[0]


def test_the_environ_is_that_of_pep_3333():
    environ = environ_for(
        b"POST /a%20b/%C3%BC%ff?x=%20y HTTP/1.1\r\nHost: Example.org:80\r\n"
        b"Content-Type: text/x\r\nContent-Length: 3\r\nX-A: 1\r\nX-A: 2\r\n"
        b"X_A: smuggled\r\nCookie: a=1\r\nCookie: b=2\r\n\r\nabc"
    )
    assert environ["REQUEST_METHOD"] == "POST"
    assert environ["SCRIPT_NAME"] == ""
    # The bytes of the path, one character each.
    assert environ["PATH_INFO"].encode("latin-1") == b"/a b/\xc3\xbc\xff"
    assert environ["QUERY_STRING"] == "x=%20y"
    assert environ["CONTENT_TYPE"] == "text/x"
    assert environ["CONTENT_LENGTH"] == "3"
    assert environ["SERVER_NAME"] == environ["REMOTE_ADDR"] == "127.0.0.1"
    assert environ["SERVER_PORT"] == str(environ["port"])
    assert environ["REMOTE_PORT"].isdigit()
    assert environ["SERVER_PROTOCOL"] == "HTTP/1.1"
    assert environ["HTTP_HOST"] == "Example.org:80"
    assert environ["HTTP_X_A"] == "1, 2"
    assert environ["HTTP_COOKIE"] == "a=1; b=2"
    assert environ["wsgi.version"] == (1, 0)
    assert environ["wsgi.url_scheme"] == "http"
    assert environ["wsgi.errors"] is sys.stderr
    assert environ["wsgi.input_terminated"] is True
    assert environ["wsgi.file_wrapper"] is FileWrapper
    for name, value in environ.items():
        if name.isupper():
            assert type(value) is str
            value.encode("latin-1")


def test_what_was_not_sent_is_not_in_the_environ():
    environ = environ_for(GET)
    assert "CONTENT_LENGTH" not in environ
    assert "CONTENT_TYPE" not in environ
    assert environ["QUERY_STRING"] == ""


def test_further_variables():
    assert environ_for(GET, environ={"my.own": 1})["my.own"] == 1


def test_requests_with_the_same_head_do_not_share_their_environ():
    def app(environ, start_response):
        assert "mark" not in environ
        environ["mark"] = environ["PATH_INFO"] = "changed"
        return hello(environ, start_response)

    with serving(WSGIHandler(app)) as server, Client(server) as client:
        for _ in range(3):
            assert client.send(GET).answer().status == 200


@validator
def checked(environ, start_response):
    data = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    environ["wsgi.errors"].write("")
    if environ["PATH_INFO"] == "/write":
        write = start_response("200 OK", [("Content-Type", "text/plain")])
        write(b"written ")
        return [b"and returned"]
    if environ["PATH_INFO"] == "/gen":
        start_response("200 OK", [("Content-Type", "text/plain")])
        return (piece for piece in (b"", b"gene", b"", b"rated"))
    if environ["PATH_INFO"] == "/empty":
        start_response("204 No Content", [])
        return []
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [data or b"hello"]


def test_the_validator_is_content():
    with serving(WSGIHandler(checked)) as server, requests.Session() as session:
        assert session.get(server.url + "/").text == "hello"
        assert session.post(server.url + "/", data=b"abc").text == "abc"
        assert len(session.post(server.url, data=b"x" * 200_000).content) == 200_000
        assert session.get(server.url + "/gen").text == "generated"
        assert session.get(server.url + "/write").text == "written and returned"
        assert session.get(server.url + "/empty").status_code == 204
        assert session.head(server.url + "/").status_code == 200


def test_blocks_of_a_list_get_a_length_and_those_of_others_chunks():
    def app(environ, start_response):
        start_response("200 Fine With Me", [])
        return [b"a", bytearray(b"b")] if environ["PATH_INFO"] == "/" else iter([b"c"])

    with serving(WSGIHandler(app)) as server, Client(server) as client:
        answer = client.send(GET).answer()
        assert answer.body == b"ab"
        assert answer.headers["content-length"] == "2"
        answer = client.send(b"GET /x HTTP/1.1\r\n%b\r\n" % HOST).answer()
        assert answer.body == b"c"
        assert answer.headers["transfer-encoding"] == "chunked"
        client.send(GET)
        assert client.read(28) == b"HTTP/1.1 200 Fine With Me\r\nD"


class Closing:
    """An iterable that counts how often it is closed."""

    def __init__(self, pieces):
        self.pieces = pieces
        self.closed = 0

    def __iter__(self):
        for piece in self.pieces:
            if isinstance(piece, Exception):
                raise piece
            yield piece

    def close(self):
        self.closed += 1


@pytest.mark.parametrize(
    ("pieces", "status"),
    [
        ([b"a", b"b"], 200),
        ([], 200),
        ([b"", b""], 200),
        ([ValueError("early")], 500),
        ([b"", ValueError("early")], 500),
        ([b"a", ValueError("late")], 200),
    ],
)
def test_close_is_called_once_whatever_happens(pieces, status):
    result = Closing(pieces)

    def app(environ, start_response):
        start_response("200 OK", [])
        return result

    with serving(WSGIHandler(app)) as server, Client(server) as client:
        assert client.send(GET).head()[0] == status
        wait_for(lambda: server.busy == 0)
        assert result.closed == 1


def test_close_is_called_for_head_and_when_the_client_vanishes():
    results = []

    def app(environ, start_response):
        start_response("200 OK", [])
        results.append(Closing([b"x" * 100_000] * 1000))
        return results[-1]

    with serving(WSGIHandler(app)) as server:
        with Client(server) as client:
            client.send(b"HEAD / HTTP/1.1\r\n%b\r\n" % HOST).answer("HEAD")
            client.send(GET).read(10)
        wait_for(lambda: server.busy == server.connections == 0)
        assert [result.closed for result in results] == [1, 1]


def test_start_response_may_come_with_the_first_block():
    def app(environ, start_response):
        yield b""
        start_response("202 Accepted", [("X-Late", "yes")])
        yield b"late"

    with serving(WSGIHandler(app)) as server:
        answer = ask(server, GET)
        assert (answer.status, answer.headers["x-late"]) == (202, "yes")
        assert answer.body == b"late"


def test_start_response_has_to_be_called(caplog):
    with serving(WSGIHandler(lambda environ, start_response: [b"x"])) as server:
        assert ask(server, GET).status == 500
    assert "did not call start_response" in caplog.text


def test_start_response_twice_needs_exc_info():
    def app(environ, start_response):
        start_response("200 OK", [("X-First", "1")])
        try:
            if environ["PATH_INFO"] == "/twice":
                start_response("200 OK", [])
            raise ValueError("changed my mind")
        except ValueError:
            start_response("503 Busy", [("X-Second", "2")], sys.exc_info())
        return [b"sorry"]

    with serving(WSGIHandler(app)) as server, Client(server) as client:
        answer = client.send(GET).answer()
        assert answer.status == 503
        assert "x-first" not in answer.headers
        assert answer.headers["x-second"] == "2"
        client.send(b"GET /twice HTTP/1.1\r\n%b\r\n" % HOST)
        assert client.answer().status == 500


def test_exc_info_is_raised_once_the_head_is_sent(caplog):
    def app(environ, start_response):
        start_response("200 OK", [])
        yield b"sent"
        try:
            raise ValueError("too late")
        except ValueError:
            start_response("500 Oops", [], sys.exc_info())
        yield b"never"

    with serving(WSGIHandler(app)) as server, Client(server) as client:
        client.send(GET)
        assert client.head()[0] == 200
        assert b"never" not in client.read()
    assert "ValueError: too late" in caplog.text


@pytest.mark.parametrize(
    ("status", "headers"),
    [
        ("200 OK\r\nX: y", []),
        ("200", [("X\r\n", "y")]),
        ("200 OK", [("X", "y\nZ: z")]),
        ("200 OK", [("X", "\u20ac")]),
        ("200 OK", [(b"X", "y")]),
        ("99 Odd", []),
        ("100 Continue", []),
        ("OK", []),
        (200, []),
    ],
)
def test_start_response_refuses_what_cannot_be_sent(status, headers):
    raised = []

    def app(environ, start_response):
        try:
            start_response(status, headers)
        except (ValueError, TypeError) as error:
            raised.append(error)
            start_response("400 Caught", [])
        return [b"ok"]

    with serving(WSGIHandler(app)) as server:
        assert ask(server, GET).status == 400
    assert len(raised) == 1


def test_write_sends_at_once():
    def app(environ, start_response):
        write = start_response("200 OK", [("Content-Length", "6")])
        write(b"")
        write(b"abc")
        environ["wsgi.input"].read(1)
        write(b"def")
        return []

    with serving(WSGIHandler(app)) as server, Client(server) as client:
        client.send(b"POST / HTTP/1.1\r\n%bTransfer-Encoding: chunked\r\n\r\n" % HOST)
        assert client.head()[1]["content-length"] == "6"
        assert client.read(3) == b"abc"
        client.send(b"1\r\nx\r\n")
        assert client.read(3) == b"def"


def test_what_is_returned_follows_what_was_written():
    def app(environ, start_response):
        write = start_response("200 OK", [("Content-Length", "6")])
        write(b"ab")
        yield b"cd"
        yield b"ef"

    def late(environ, start_response):
        return app(environ, start_response)

    with serving(WSGIHandler(late)) as server, Client(server) as client:
        assert client.send(GET).answer().body == b"abcdef"


def test_a_pipe_is_no_real_file():
    reading, writing = os.pipe()
    os.write(writing, b"abc")
    os.close(writing)

    def app(environ, start_response):
        start_response("200 OK", [])
        return environ["wsgi.file_wrapper"](open(reading, "rb"))

    with serving(WSGIHandler(app)) as server:
        assert ask(server, GET).body == b"abc"


def test_a_file_need_not_have_a_close():
    pieces = [b"", b"abc"]

    class Few:
        def read(self, size):
            return pieces.pop()

    def app(environ, start_response):
        start_response("200 OK", [])
        return environ["wsgi.file_wrapper"](Few())

    with serving(WSGIHandler(app)) as server:
        assert ask(server, GET).body == b"abc"


def test_real_files_go_by_the_kernel_and_others_by_blocks(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(os.urandom(300_000))
    files = []

    def app(environ, start_response):
        wrapper = environ["wsgi.file_wrapper"]
        headers = [("Content-Length", "10")] if environ["PATH_INFO"] == "/10" else []
        start_response("200 OK", headers)
        if environ["PATH_INFO"] == "/memory":
            file = io.BytesIO(path.read_bytes())
        else:
            file = path.open("rb")
            file.read(100)
        files.append(file)
        return wrapper(file, 8192)

    with serving(WSGIHandler(app)) as server, Client(server) as client:
        answer = client.send(GET).answer()
        assert answer.headers["content-length"] == "299900"
        assert answer.body == path.read_bytes()[100:]
        answer = client.send(b"GET /10 HTTP/1.1\r\n%b\r\n" % HOST).answer()
        assert answer.body == path.read_bytes()[100:110]
        answer = client.send(b"GET /memory HTTP/1.1\r\n%b\r\n" % HOST).answer()
        assert answer.headers["transfer-encoding"] == "chunked"
        assert answer.body == path.read_bytes()
        wait_for(lambda: server.busy == 0)
    assert all(file.closed for file in files)


def test_broken_bodies_reach_the_application_as_os_errors():
    caught = []

    def app(environ, start_response):
        try:
            environ["wsgi.input"].read()
        except OSError as error:
            caught.append(error)
        start_response("200 OK", [])
        return [b"recovered"]

    with serving(WSGIHandler(app)) as server, Client(server) as client:
        client.send(b"POST / HTTP/1.1\r\n%bTransfer-Encoding: chunked\r\n\r\n5" % HOST)
        answer = client.end().answer()
        assert answer.body == b"recovered"
        assert answer.headers["connection"] == "close"
    assert len(caught) == 1


def test_a_unix_socket_has_a_name_and_a_port(tmp_path):
    seen = []

    def app(environ, start_response):
        seen.append((environ["SERVER_NAME"], environ["SERVER_PORT"]))
        return hello(environ, start_response)

    path = str(tmp_path / "s")
    handler = WSGIHandler(validator(app))
    with serving(handler, settings={"unix_socket": path}) as server:
        assert ask(server, GET).status == 200
    assert seen[0][0]
    assert seen[0][1].isdigit()


def test_a_rewritten_request_does_not_get_the_environ_of_its_head():
    seen = []

    def app(environ, start_response):
        seen.append((environ["REQUEST_METHOD"], environ["PATH_INFO"]))
        return hello(environ, start_response)

    handler = WSGIHandler(app)
    changes = iter([{}, {"method": "PUT"}, {"path": "/ü"}, {}])
    with serving(lambda request: handler(request.replace(**next(changes)))) as server:
        for _ in range(4):
            ask(server, GET)
    path = "/ü".encode().decode("latin-1")
    assert seen == [("GET", "/"), ("PUT", "/"), ("GET", path), ("GET", "/")]
