"""One HTTP request, its answer, and whether the answer is right."""

from __future__ import annotations

import json
import socket
import xmlrpc.client
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

Check = Callable[[bytes], bool]


@dataclass(frozen=True)
class Request:
    """A GET, or a POST where there is a body.

    Attributes:
        target: Path and query.
        body: What is posted.
        content_type: Of the body.
        varies: Whether each request is another one, of the same length.
    """

    varies: ClassVar[bool] = False

    target: str = "/"
    body: bytes = b""
    content_type: str = ""

    def encode(self, port: int) -> bytes:
        """The bytes to send, the same that every load generator sends."""
        verb = "POST" if self.body else "GET"
        lines = [f"{verb} {self.target} HTTP/1.1", f"Host: 127.0.0.1:{port}"]
        if self.body:
            lines.append(f"Content-Type: {self.content_type}")
            lines.append(f"Content-Length: {len(self.body)}")
        return "\r\n".join([*lines, "", ""]).encode() + self.body


class Connection:
    """A kept connection that asks and waits; made for checks, not for speed.

    Args:
        port: Port of the server.
        source: Address to connect from; others than 127.0.0.1 have ports of their
            own.
    """

    def __init__(self, port: int, source: str = "127.0.0.1") -> None:
        self._port = port
        self.socket = socket.socket()
        self.socket.settimeout(30)
        self.socket.bind((source, 0))
        self.socket.connect(("127.0.0.1", port))

    def __enter__(self) -> Connection:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.socket.close()

    def send(self, request: Request) -> None:
        """Send a request."""
        self.socket.sendall(request.encode(self._port))

    def receive(self) -> tuple[int, bytes]:
        """Status and body of one answer, which has to tell its length."""
        data = b""
        while b"\r\n\r\n" not in data:
            data += self._some()
        head, _, body = data.partition(b"\r\n\r\n")
        lines = head.split(b"\r\n")
        fields = [line.partition(b":") for line in lines[1:]]
        headers = {name.lower(): value.strip() for name, _, value in fields}
        length = int(headers[b"content-length"])
        while len(body) < length:
            body += self._some()
        return int(lines[0].split()[1]), body

    def ask(self, request: Request) -> tuple[int, bytes]:
        """Send a request and wait for its answer."""
        self.send(request)
        return self.receive()

    def _some(self) -> bytes:
        data = self.socket.recv(262144)
        if not data:
            raise ConnectionError("the server closed the connection")
        return data


def verify(port: int, request: Request, check: Check) -> None:
    """Ask twice on one connection, and refuse to measure wrong answers.

    Raises:
        AssertionError: The answer is not what it should be.
    """
    for _ in range(2):
        with Connection(port) as connection:
            status, body = connection.ask(request)
        if status != 200 or not check(body):
            raise AssertionError(f"{request}: got {status} {body[:500]!r}")


def exactly(expected: bytes) -> Check:
    """The body is just these bytes."""
    return lambda body: body == expected


def as_json(expected: Any) -> Check:
    """The body is this value in JSON."""
    return lambda body: json.loads(body) == expected


def as_xmlrpc(expected: Any) -> Check:
    """The body is an XML-RPC answer with this value."""
    return lambda body: xmlrpc.client.loads(body) == ((expected,), None)
