"""What hostile requests cost a real server in memory: bounded, and told.

The figures are printed: ``pytest -s tests/web/test_memory.py``.
"""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from functools import lru_cache
from pathlib import Path

import pytest

MIB = 1024 * 1024
#: Bytes of a body that just passes the limit, with its head.
SIZE = 10 * MIB - 2000
#: What a single request may cost while it is answered; what many may leave behind.
REQUEST, LEFT = 128 * MIB, 96 * MIB
#: What a request costs that is refused by its framing, whatever it sends.
REFUSED = 16 * MIB

SERVER = """
from gevent import monkey
monkey.patch_all()
from decimal import Decimal
from gevent.os import tp_read
from toolserver import StandardTool, register
from toolserver.testing import serve

@register("hostile")
class Hostile(StandardTool):
    def take(self, value) -> int:
        return 1

    def text(self, value: str) -> int:
        return len(value)

    def number(self, value: int) -> int:
        return value

    def decimal(self, value: Decimal) -> Decimal:
        return value

    def data(self, value: bytes) -> int:
        return len(value)

with serve(Hostile) as server:
    print(server.worker.http.local[1], flush=True)
    tp_read(0, 1)
"""


class Process:
    """A server in a process of its own."""

    def __init__(self, process: subprocess.Popen[str], port: int) -> None:
        self._folder = Path(f"/proc/{process.pid}")
        self._address = "127.0.0.1", port

    def resident(self) -> int:
        return self._read("VmRSS")

    def begin(self) -> int:
        """Forget the peak so far; what is resident now."""
        (self._folder / "clear_refs").write_text("5")
        return self.resident()

    def peak(self) -> int:
        return self._read("VmHWM")

    def _read(self, name: str) -> int:
        for line in (self._folder / "status").read_text().splitlines():
            if line.startswith(f"{name}:"):
                return int(line.split()[1]) * 1024
        raise AssertionError(name)

    def connect(self) -> socket.socket:
        return socket.create_connection(self._address, 30)

    def ask(self, *pieces: bytes) -> bytes:
        """Send what is taken of some pieces; the begin of the answer."""
        answer = b""
        with self.connect() as client:
            # Who is refused amid a body may find the connection reset.
            with suppress(ConnectionError):
                for piece in pieces:
                    client.sendall(piece)
            with suppress(ConnectionError):
                while piece := client.recv(65536):
                    answer = (answer + piece)[:1000]
        return answer


@pytest.fixture(scope="module")
def server() -> Iterator[Process]:
    with subprocess.Popen(
        [sys.executable, "-c", SERVER],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        running = Process(process, int(process.stdout.readline()))
        for path, kind in (("/JSONRPC", JSON), ("/RPC2", XML), ("/SOAP", XML)):
            running.ask(post(path, kind, b""))
        before = running.resident()
        yield running
        left = running.resident() - before
        print(f"\n{left / MIB:8.1f} MiB left by all of them together")
        process.communicate("end\n", timeout=30)
    assert left < LEFT


JSON, XML = "application/json", "text/xml"
FORM = "application/x-www-form-urlencoded"
MULTIPART = "multipart/form-data; boundary=b"
PART = b'--b\r\nContent-Disposition: form-data; name="value"'


def post(path: str, kind: str, body: bytes) -> bytes:
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
    length = f"Content-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n"
    return (head + length).encode() + body


def jsonrpc(method: bytes, value: bytes) -> bytes:
    call = b'{"jsonrpc":"2.0","id":1,"method":"hostile.%b","params":[%b]}'
    return post("/JSONRPC", JSON, call % (method, value))


def xmlrpc(method: bytes, value: bytes, before: bytes = b"") -> bytes:
    call = (
        b"%b<methodCall><methodName>hostile.%b</methodName><params><param><value>%b"
        b"</value></param></params></methodCall>"
    )
    return post("/RPC2", XML, call % (before, method, value))


def soap(method: bytes, value: bytes, before: bytes = b"") -> bytes:
    call = (
        b'%b<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"><s:Body>'
        b'<%b xmlns="urn:toolserver:hostile"><value>%b</value></%b></s:Body>'
        b"</s:Envelope>"
    )
    return post("/SOAP", XML, call % (before, method, value, method))


def fill(piece: bytes, size: int = SIZE) -> bytes:
    """So many times that it is about as large as a body may be."""
    return piece * ((size - 1000) // len(piece))


@lru_cache
def numbered(piece: bytes, count: int) -> bytes:
    return b"".join(piece % number for number in range(count))


CHUNKED = (
    b"POST /JSONRPC HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n"
)
BEGUN = b"GET /hostile/take?value=1 HTTP/1.1\r\nHost: localhost\r\n"
LAST = BEGUN + b"Connection: close\r\n\r\n"


SLOW = {
    "100 heads that do not end": b"GET / HTTP/1.1\r\nX: " + b"x" * 8000,
    "100 bodies that do not end": post("/JSONRPC", JSON, b" " * 65_000)[:-1],
    "100 uploads that do not end": post("/JSONRPC", JSON, b" " * 200_000)[:-1],
    "100 clients that read nothing": LAST.replace(b"close", b"keep-alive") * 300,
}


# These come first: what others leave behind would be used again.
@pytest.mark.parametrize("name", SLOW)
def test_clients_that_stall_take_little_memory(server, name):
    before = server.begin()
    with ExitStack() as stack:
        for _ in range(100):
            client = stack.enter_context(server.connect())
            client.settimeout(2)
            client.sendall(SLOW[name])
        # All others have been read when this one is answered.
        assert server.ask(LAST).startswith(b"HTTP/1.1 200")
        grown = server.peak() - before
    print(f"\n{grown / MIB:8.1f} MiB  {name}", end="")
    # The body of each of them, twice, is all that there may be.
    assert grown < 100 * 2 * max(len(SLOW[name]), 80_000)


def floods() -> dict[str, tuple[list[bytes], bytes]]:
    """What is sent piece by piece, and how its answer begins."""
    chunk = b"10000\r\n" + b" " * 65536 + b"\r\n"
    heads = [BEGUN + b"X-%d: y\r\n\r\n" % number for number in range(3000)]
    return {
        "a million tiny chunks": (
            [CHUNKED, *[b"1\r\n \r\n" * 10_000] * 100, b"0\r\n\r\n"],
            b"HTTP/1.1 400",
        ),
        "a body without end": ([CHUNKED, *[chunk] * 400], b"HTTP/1.1 413"),
        "a request line without end": ([b"GET /", *[b"x" * MIB] * 10], b"HTTP/1.1 414"),
        "a field without end": ([BEGUN, b"X: ", *[b"x" * MIB] * 10], b"HTTP/1.1 431"),
        "a million fields": ([BEGUN, *[b"X: y\r\n" * 10_000] * 100], b"HTTP/1.1 431"),
        "a compressed body": (
            [CHUNKED.replace(b"\r\n\r\n", b"\r\nContent-Encoding: gzip\r\n\r\n")],
            b"HTTP/1.1 415",
        ),
        "3,000 pipelined requests, each another one": ([*heads, LAST], b"HTTP/1.1 200"),
    }


def test_no_flood_takes_memory(server):
    for name, (pieces, begin) in floods().items():
        before = server.begin()
        answer = server.ask(*pieces)
        grown = server.peak() - before
        print(f"\n{grown / MIB:8.1f} MiB  {name}", end="")
        assert answer.startswith(begin), name
        assert grown < REFUSED, f"{name}: {grown / MIB:.0f} MiB"


LAUGHS = (
    b'<!DOCTYPE a [<!ENTITY a0 "ha">'
    + b"".join(b'<!ENTITY a%d "&a%d;&a%d;">' % (n + 1, n, n) for n in range(40))
    + b"]>"
)
EMOJI = "\N{GRINNING FACE}".encode()


def json_messages() -> dict[str, bytes]:
    return {
        "JSON: nested without end": jsonrpc(b"take", fill(b"[")),
        "JSON: five million values": jsonrpc(b"take", b"[" + fill(b"0,") + b"0]"),
        "JSON: 90,000 names": jsonrpc(
            b"take", b"{" + numbered(b'"%085d":0,', 90_000) + b'"a":0}'
        ),
        "JSON: an integer of ten million digits": jsonrpc(b"number", fill(b"9")),
        "JSON: a large exponent": jsonrpc(b"decimal", b'"1e999999999"'),
        "JSON: one emoji and ten million letters": jsonrpc(
            b"text", b'"' + EMOJI + fill(b"x") + b'"'
        ),
    }


def form_messages() -> dict[str, bytes]:
    return {
        "REST: five million values": post(
            "/hostile/take", JSON, b'{"value":[' + fill(b"0,") + b"0]}"
        ),
        "REST: five million fields": post("/hostile/take", FORM, fill(b"a&")),
        "REST: a million escapes": post(
            "/hostile/text", FORM, b"value=" + fill(b"%41", 3 * MIB)
        ),
        "multipart: 100,000 parts": post(
            "/hostile/take", MULTIPART, fill(PART + b"\r\n\r\n\r\n") + b"--b--"
        ),
        "multipart: a field of ten megabytes": post(
            "/hostile/text", MULTIPART, PART + b"\r\n\r\n" + fill(b"x") + b"\r\n--b--"
        ),
        "multipart: a file of ten megabytes": post(
            "/hostile/data",
            MULTIPART,
            PART + b'; filename="a"\r\n\r\n' + fill(b"x") + b"\r\n--b--",
        ),
        "multipart: a head without end": post(
            "/hostile/take", MULTIPART, b"--b\r\nX: " + fill(b"x")
        ),
    }


def xmlrpc_messages() -> dict[str, bytes]:
    return {
        "XML-RPC: base64 of ten megabytes": xmlrpc(
            b"data", b"<base64>" + fill(b"QUFB") + b"</base64>"
        ),
        "XML-RPC: an integer of ten million digits": xmlrpc(
            b"number", b"<int>" + fill(b"9") + b"</int>"
        ),
        **xml_messages("XML-RPC", xmlrpc),
    }


def soap_messages() -> dict[str, bytes]:
    return xml_messages("SOAP", soap)


def xml_messages(name: str, make: Callable[..., bytes]) -> dict[str, bytes]:
    attributes = numbered(b' a%d=""', 800_000)
    return {
        f"{name}: nested without end": make(b"take", fill(b"<a>")),
        f"{name}: two million elements": make(b"take", fill(b"<a/>")),
        f"{name}: 99,000 names": make(b"take", numbered(b"<n%080d/>", 99_000)),
        f"{name}: 800,000 attributes": make(b"take", b"<a%b/>" % attributes),
        f"{name}: a billion laughs": make(b"take", b"&a40;", LAUGHS),
        f"{name}: one emoji and ten million letters": make(b"text", EMOJI + fill(b"x")),
    }


@pytest.mark.parametrize(
    "messages", [json_messages, form_messages, xmlrpc_messages, soap_messages]
)
def test_no_request_takes_much_memory(server, messages):
    for name, request in messages().items():
        before = server.begin()
        answer = server.ask(request)
        grown = server.peak() - before
        print(f"\n{grown / MIB:8.1f} MiB  {name}", end="")
        assert answer.startswith(b"HTTP/1.1 "), name
        assert grown < REQUEST, f"{name}: {grown / MIB:.0f} MiB"
