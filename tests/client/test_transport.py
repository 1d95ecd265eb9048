"""Time-outs, retries, proxies, sockets and answers that are none."""

import gzip
import re
import socket
import subprocess
import sys
import time

import certifi
import gevent
import pytest
import trustme

from tests.client.protocols import OPEN
from tests.passwords import quick_hash
from tests.sample import Faults, Types
from tests.tracing import UNMEASURED
from toolserver import StandardTool, errors, register
from toolserver.client import (
    AnswerError,
    AnswerTimeout,
    ConnectionFailed,
    RemoteToolserver,
    TransportError,
    connect,
)
from toolserver.contexts import context
from toolserver.testing import serve

from .scripted import Scripted, respond, result


@register("sample.caller")
class Caller(StandardTool):
    """Tells about its caller."""

    def client(self) -> str | None:
        return context.client

    def header(self, name: str) -> str | None:
        return context.request.headers.get(name)


@pytest.fixture(scope="module")
def server():
    with serve(Types, Faults, Caller) as running:
        yield running


def closed_port():
    """A port on which nothing listens, and its socket, which keeps it so."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    return listener, f"http://127.0.0.1:{listener.getsockname()[1]}/"


def described(method, **facts):
    """The answer to `system.describe` for a tool of one method."""
    fact = {"name": method, "parameters": [], "read_only": False, **facts}
    return result([fact])


def test_no_server():
    listener, url = closed_port()
    with (
        listener,
        connect(url, retries=0, proxies={}) as server,
        pytest.raises(ConnectionFailed) as caught,
    ):
        server.call("a.b")
    assert str(caught.value) == f"{url}: no server answers there"
    assert caught.value.url == url
    assert not caught.value.is_sent
    assert isinstance(caught.value, ConnectionError)
    assert isinstance(caught.value, TransportError)
    assert caught.value.__cause__ is not None


def test_a_host_that_is_not_known():
    with (
        connect("http://toolserver.invalid/", retries=0, proxies={}) as server,
        pytest.raises(ConnectionFailed, match="host is not known") as caught,
    ):
        server.call("a.b")
    assert not caught.value.is_sent


def test_a_server_that_comes_up_is_tried_again():
    listener, url = closed_port()
    with listener, connect(url, retries=20, proxies={}) as server:
        asking = gevent.spawn(server.call, "a.b")
        gevent.sleep(0.02)
        listener.listen()
        connection, _ = listener.accept()
        with connection:
            connection.recv(65536)
            connection.sendall(result("there"))
            assert asking.get(timeout=10) == "there"


@pytest.mark.parametrize(
    ("facts", "attempts"),
    [({}, 1), ({"read_only": True}, 3), ({"idempotent": True}, 3)],
)
def test_calls_are_repeated_where_that_does_no_harm(facts, attempts):
    def answer(head, body):
        return described("b", **facts) if b"system.describe" in body else b""

    with (
        Scripted(answer) as broken,
        connect(broken.url, proxies={}) as server,
        pytest.raises(ConnectionFailed) as caught,
    ):
        server.call("a.b")
    assert caught.value.is_sent
    assert len(broken.bodies()) == attempts


def test_a_repeated_call_succeeds():
    def answer(head, body):
        if b"system.describe" in body:
            return described("b", read_only=True)
        return b"" if len(broken.bodies()) < 3 else result(7)

    with Scripted(answer) as broken, connect(broken.url, proxies={}) as server:
        assert server.call("a.b") == 7


def test_who_cannot_know_does_not_repeat():
    with (
        Scripted(lambda *_: b"") as broken,
        connect(broken.url, proxies={}, retries=1) as server,
        pytest.raises(ConnectionFailed),
    ):
        server.call("a.b")
    assert len(broken.bodies()) == 1


def test_calls_are_repeated_when_the_server_says_when():
    def answer(head, body):
        if len(broken.requests) == 1:
            return respond("503 Busy", b"", "", "Retry-After: 0")
        return result("done")

    with Scripted(answer) as broken, connect(broken.url, proxies={}) as server:
        assert server.call("a.b") == "done"
    assert len(broken.requests) == 2


@pytest.mark.parametrize(
    "fields",
    [
        (),
        ("Retry-After: tomorrow",),
        ("Retry-After: 100",),
        ("Retry-After: " + "9" * 5000,),
        ("Retry-After: 0", "X-REST-Errorobject: CallTimeout"),
    ],
)
def test_calls_are_not_repeated_without_need(fields):
    refused = respond("503 Busy", b"", "", *fields)
    with (
        Scripted(lambda *_: refused) as broken,
        connect(broken.url, timeout=5, proxies={}) as server,
        pytest.raises(AnswerError, match="HTTP 503") as caught,
    ):
        server.call("a.b")
    assert caught.value.status == 503
    assert len(broken.requests) == 1


def test_who_has_all_the_time_in_the_world():
    answers = [respond("503 Busy", b"", "", "Retry-After: 0"), result(3)]
    with (
        Scripted(lambda *_: answers.pop(0)) as busy,
        connect(busy.url, proxies={}, retries=1, timeout=None) as client,
    ):
        assert client.call("a.b") == 3
        assert client._transport.patience > 0
    assert not answers


def test_a_silent_server():
    with (
        Scripted(lambda *_: None) as silent,
        connect(silent.url, timeout=0.1, proxies={}) as server,
        pytest.raises(AnswerTimeout, match=r"no answer within 0\.1 s") as caught,
    ):
        server.call("a.b")
    assert isinstance(caught.value, TimeoutError)
    assert len(silent.requests) == 1


def test_a_server_that_takes_its_time():
    """Each piece comes soon enough, the whole does not."""
    whole = result("x" * 1000)
    pieces = [whole[:200], *(whole[at : at + 1] for at in range(200, 1000))]
    with (
        Scripted(lambda *_: pieces) as slow,
        connect(slow.url, timeout=0.3, proxies={}) as server,
    ):
        started = time.monotonic()
        with pytest.raises(AnswerTimeout):
            server.call("a.b")
    assert time.monotonic() - started < 5


def test_calls_end_in_time(server):
    client = server.remote(timeout=0.2)
    with pytest.raises(AnswerTimeout):
        client.call("sample.faults.waits", 30)
    assert client.call("sample.faults.fine") == "fine"


HTML = b"<!doctype html>\n<title>Welcome</title><p>to <b>nginx</b>\x1b[31m!"
CHUNKED = "Transfer-Encoding: chunked"
BOMB = gzip.compress(b"[" * 3_000_000)


@pytest.mark.parametrize("protocol", OPEN)
@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (respond("404 Not Found", HTML, "text/html"), "HTTP 404 Not Found: Welcome"),
        (respond("502 Bad", b"", ""), "HTTP 502 Bad Gateway: got no body"),
        (respond("799 Odd", b"x", "text/plain"), "HTTP 799: x"),
        (
            respond("302 Found", b"", "", "Location: https://h/"),
            "redirected to 'https://h/'; give that address",
        ),
        (respond("200 OK", b"x" * 1_000_001), "answer of more than 1000000 bytes"),
        (
            respond("200 OK", BOMB, "text/xml", "Content-Encoding: gzip"),
            "answer of more than 1000000 bytes",
        ),
        (result("x" * 100)[:-10], "the answer broke off"),
        (
            f"HTTP/1.1 200 OK\r\n{CHUNKED}\r\n\r\n5\r\nab".encode(),
            "the answer broke off",
        ),
        (f"HTTP/1.1 200 OK\r\n{CHUNKED}\r\n\r\nzz\r\n".encode(), ""),
        (
            respond("200 OK", b"no gzip", "text/xml", "Content-Encoding: gzip"),
            "decompressing",
        ),
        (b"", "the server closed the connection without an answer"),
        (b"SSH-2.0-OpenSSH\r\n", ""),
        (b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 1000 + b"\r\n", "100 headers"),
        (b"HTTP/1.1 200 OK\r\nA: " + b"b" * 100_000 + b"\r\n\r\n", ""),
        (respond("500 Bad", b"{}", "application/problem+json"), "HTTP 500"),
        (respond("500 Bad", b"{", "application/problem+json"), "HTTP 500"),
    ],
)
def test_what_is_no_answer(protocol, answer, message):
    with Scripted(lambda *_: answer) as strange:
        options = {"max_answer": 1_000_000, "proxies": {}, "retries": 0, "timeout": 5}
        with (
            RemoteToolserver(strange.url, protocol, **options) as server,
            pytest.raises(
                TransportError, match=re.escape(message) if message else None
            ) as caught,
        ):
            server.call("a.b")
    assert strange.url in str(caught.value)
    assert str(caught.value).isprintable()


def test_a_page_is_no_answer_but_over_rest():
    page = respond("200 OK", HTML, "text/html")
    with Scripted(lambda *_: page) as strange:
        for protocol in ("JSONRPC", "RPC2", "SOAP"):
            with (
                RemoteToolserver(strange.url, protocol, proxies={}) as server,
                pytest.raises(
                    AnswerError, match="HTTP 200 OK: Welcome to nginx "
                ) as caught,
            ):
                server.call("a.b")
            assert "no answer of a toolserver" in str(caught.value)
        with RemoteToolserver(strange.url, "REST", proxies={}) as server:
            assert server.call("a.b") == HTML.decode()


@pytest.mark.parametrize(
    ("protocol", "media_type", "body"),
    [
        ("JSONRPC", "application/json", b"{"),
        ("JSONRPC", "application/json", b"[]"),
        ("JSONRPC", "application/json", b'{"result": 1}'),
        ("JSONRPC", "application/json", b'{"jsonrpc": "2.0"}'),
        ("JSONRPC", "application/json", b'{"jsonrpc": "2.0", "error": 1}'),
        ("JSONRPC", "application/json", b'{"jsonrpc": "2.0", "error": {"code": "1"}}'),
        ("JSONRPC", "application/json", b"[" * 1000),
        ("RPC2", "text/xml", b""),
        ("RPC2", "text/xml", b"<html/>"),
        ("RPC2", "text/xml", b"<methodResponse><fault/></methodResponse>"),
        ("RPC2", "text/xml", b"<methodResponse><params/></methodResponse>"),
        ("RPC2", "text/xml", b"<!DOCTYPE a><methodResponse/>"),
        ("SOAP", "text/xml", b"<html/>"),
        ("SOAP", "text/xml", b"<a"),
        ("SOAP", "text/xml", "<ä/>".encode("utf-16")),
        ("REST", "application/json", b"{"),
        ("REST", "application/x-ndjson", b"1\n{\n"),
        ("REST", "text/plain; charset=klingon", b"x"),
        ("REST", "text/plain", b"\xff"),
    ],
)
def test_what_is_no_message(protocol, media_type, body):
    answer = respond("200 OK", body, media_type)
    with (
        Scripted(lambda *_: answer) as strange,
        RemoteToolserver(strange.url, protocol, proxies={}) as server,
        pytest.raises(AnswerError, match="no answer of a toolserver") as caught,
    ):
        server.call("a.b")
    assert caught.value.status == 200


@pytest.mark.parametrize("told", [b"null", b"[1]", b"[{}]", b'"x"'])
def test_what_is_no_description(told):
    answer = respond("200 OK", b'{"jsonrpc":"2.0","id":1,"result":%s}' % told)
    with (
        Scripted(lambda *_: answer) as strange,
        connect(strange.url, proxies={}) as server,
        pytest.raises(AnswerError, match="got no description"),
    ):
        server.call("a.b", 1, c=2)


def test_other_addresses_of_a_server(server):
    for protocol in OPEN:
        url = server.url("/no/such/")
        with (
            RemoteToolserver(url, protocol, proxies={}) as client,
            pytest.raises((AnswerError, errors.NotFound), match="no"),
        ):
            client.call("sample.faults.fine")


@pytest.mark.parametrize(
    "url", ["", "localhost", "localhost:4334", "ftp://h/", "http://", "http://h:x/"]
)
def test_what_is_no_address(url):
    with pytest.raises(ValueError, match="url: got"):
        connect(url)


def test_what_is_no_protocol(server):
    with pytest.raises(ValueError, match="protocol: got 'FTP', expected one of"):
        connect(server.url(), "FTP")


def test_requests_that_are_too_large():
    with serve(Types, config={"limits": {"body": 1000}}) as small:
        for protocol in OPEN:
            with pytest.raises(AnswerError, match=r"refused: HTTP 413.*1000") as caught:
                small.remote(protocol).call("sample.types.str_", "x" * 5000)
            assert caught.value.status == 413


def test_a_proxy(server):
    seen = []

    def forward(head, body):
        seen.append(head.split(b"\r\n")[0].decode())
        target = seen[-1].split()[1]
        answer = server.http.post(
            target, data=body, headers={"Content-Type": "application/json"}
        )
        return respond("200 OK", answer.content)

    with Scripted(forward) as proxy:
        client = server.remote(proxies={"http": proxy.url})
        assert client.call("sample.faults.fine") == "fine"
    assert seen == [f"POST {server.url('/JSONRPC')} HTTP/1.1"]


def test_a_proxy_of_the_environment(server, monkeypatch):
    listener, url = closed_port()
    with listener:
        monkeypatch.setenv("http_proxy", url)
        monkeypatch.setenv("no_proxy", "")
        with (
            connect(server.url(), retries=0) as client,
            pytest.raises(ConnectionFailed),
        ):
            client.call("sample.faults.fine")
        with connect(server.url(), proxies={}) as client:
            assert client.call("sample.faults.fine") == "fine"


def test_header_fields_and_kept_connections(server):
    client = server.remote(headers={"X-Trace": "7"})
    caller = client.get_tool("sample.caller")
    assert caller.header("x-trace") == "7"
    assert caller.header("user-agent").startswith("toolserver/")
    before = server.worker.http.connections
    for _ in range(5):
        caller.client()
    assert server.worker.http.connections == before


def test_basic_authentication(tmp_path):
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "passwd").write_text(f"ann:{quick_hash('gehéim')}\n")
    with serve(Caller, home=tmp_path) as server:
        assert server.remote().call("sample.caller.client") is None
        known = server.remote(basic=("ann", "gehéim"))
        assert known.call("sample.caller.client") == "ann"
        for protocol in OPEN:
            unknown = server.remote(protocol, basic=("ann", "x"))
            with pytest.raises(errors.Unauthenticated) as caught:
                unknown.call("sample.caller.client")
            assert caught.value.challenge


@pytest.mark.parametrize("protocol", OPEN)
def test_a_unix_socket(tmp_path, protocol):
    path = str(tmp_path / "socket")
    with (
        serve(Types, config={"server": {"unix_socket": path}}),
        RemoteToolserver(f"http+unix://{path}", protocol) as client,
    ):
        assert client.call("sample.types.str_", "a") == "a"
        assert client.tools()
    with (
        RemoteToolserver(f"http+unix://{path}", protocol, retries=0) as client,
        pytest.raises(ConnectionFailed, match="socket") as caught,
    ):
        client.call("sample.types.str_", "a")
    assert not caught.value.is_sent


def test_a_unix_socket_whose_queue_is_full(tmp_path):
    path = str(tmp_path / "socket")
    options = {"retries": 0, "timeout": 0.2}
    with (
        socket.socket(socket.AF_UNIX) as listener,
        socket.socket(socket.AF_UNIX) as waiting,
    ):
        listener.bind(path)
        listener.listen(0)
        waiting.connect(path)
        with (
            connect(f"http+unix://{path}", **options) as client,
            pytest.raises(AnswerTimeout, match=r"within 0\.2 s"),
        ):
            client.call("a.b")


def test_tls(tmp_path, monkeypatch):
    authority = trustme.CA()
    certificate = authority.issue_cert("localhost", "127.0.0.1")
    cert, key, ca = (str(tmp_path / name) for name in ("cert", "key", "ca"))
    certificate.private_key_and_cert_chain_pem.write_to_path(cert)
    certificate.private_key_pem.write_to_path(key)
    authority.cert_pem.write_to_path(ca)
    settings = {"server": {"tls_certificate": cert, "tls_key": key}}
    with serve(Types, config=settings) as server:
        assert server.url().startswith("https://")
        client = server.remote(verify=ca)
        assert client.call("sample.types.int_", 7) == 7
        # What the program says goes before what the environment says.
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", certifi.where())
        with connect(server.url(), verify=ca) as client:
            assert client.call("sample.types.int_", 7) == 7
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", ca)
        with connect(server.url()) as client:
            assert client.call("sample.types.int_", 7) == 7
        with pytest.raises(ConnectionFailed, match=r"TLS: .*certificate") as caught:
            server.remote(retries=0).call("sample.types.int_", 7)
        assert not caught.value.is_sent
        plain = server.url().replace("https", "http")
        with (
            connect(plain, proxies={}, retries=0) as client,
            pytest.raises(TransportError),
        ):
            client.call("sample.types.int_", 7)
    with pytest.raises(FileNotFoundError, match="no/such"):
        connect("https://localhost/", verify="no/such")


def test_tls_where_there_is_none(server):
    url = server.url().replace("http", "https")
    with (
        connect(url, proxies={}, retries=0) as client,
        pytest.raises(ConnectionFailed, match="TLS"),
    ):
        client.call("sample.faults.fine")


def test_many_at_once(server):
    client = server.remote()
    calls = [gevent.spawn(client.call, "sample.types.int_", n) for n in range(200)]
    assert [call.get(timeout=20) for call in calls] == list(range(200))


SCRIPT = """
import sys, threading, toolserver
assert not set(sys.modules) & {"requests", "msgspec", "gevent"}
results = []
with toolserver.connect(sys.argv[1], sys.argv[2], proxies={}) as server:
    types = server.get_tool("sample.types")
    def ask(number):
        results.append(types.int_(value=number))
    threads = [threading.Thread(target=ask, args=(n,)) for n in range(20)]
    for each in threads: each.start()
    for each in threads: each.join()
assert sorted(results) == list(range(20)), results
assert not any(name.partition(".")[0] == "gevent" for name in sys.modules)
print("done")
"""


@pytest.mark.parametrize("protocol", OPEN)
def test_a_plain_script_with_threads(server, protocol):
    done = subprocess.run(
        [
            *(*UNMEASURED, sys.executable, "-W", "error", "-c", SCRIPT),
            *(server.url(), protocol),
        ],
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert (done.stdout, done.stderr) == ("done\n", "")
