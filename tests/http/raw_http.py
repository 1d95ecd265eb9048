"""A client that sends exactly the bytes it is told to, for the tests of the server."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from toolserver.http.transport import HTTPServer
from toolserver.message import Request, Response
from toolserver.settings import Limits, ServerSettings

HOST = b"Host: localhost\r\n"
GET = b"GET / HTTP/1.1\r\n" + HOST + b"\r\n"


def echo(request: Request) -> Response:
    """Sends the body back, or the target where there is none."""
    return Response(request.body or request.target.encode(), content_type="text/plain")


@contextlib.contextmanager
def serving(
    handler: Callable[[Request], Response] = echo,
    *,
    settings: dict[str, Any] | None = None,
    limits: dict[str, Any] | None = None,
    stop_timeout: float = 0.2,
    **options: Any,
) -> Iterator[HTTPServer]:
    """Run a server."""
    server = HTTPServer(
        handler,
        settings=ServerSettings(**{"port": 0, **(settings or {})}),
        limits=Limits(**(limits or {})),
        **options,
    )
    server.listen()
    server.start()
    try:
        yield server
    finally:
        server.stop(stop_timeout)


def wait_for(condition: Callable[[], Any], timeout: float = 15.0) -> Any:
    """Wait until a condition holds; its value."""
    end = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < end, "the condition did not come about"
        time.sleep(0.002)


class Answer(NamedTuple):
    """One reply as it was sent."""

    status: int
    headers: dict[str, str]
    body: bytes


class Client:
    """A raw connection to a server."""

    def __init__(
        self, server: HTTPServer, timeout: float = 15.0, *, source: str = ""
    ) -> None:
        address = server.address
        if isinstance(address, str):
            self.socket = socket.socket(socket.AF_UNIX)
            self.socket.settimeout(timeout)
            self.socket.connect(address)
        else:
            bound = (source, 0) if source else None
            self.socket = socket.create_connection(address, timeout, bound)
        self._file = self.socket.makefile("rb")

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def close(self) -> None:
        self._file.close()
        self.socket.close()

    def send(self, *pieces: bytes) -> Client:
        for piece in pieces:
            self.socket.sendall(piece)
        return self

    def end(self) -> Client:
        """Close our half: nothing more will be sent."""
        self.socket.shutdown(socket.SHUT_WR)
        return self

    def head(self) -> tuple[int, dict[str, str]]:
        """Read one reply's head."""
        line = self._file.readline()
        assert line.startswith(b"HTTP/1.1 "), line
        headers: dict[str, str] = {}
        while (field := self._file.readline()) != b"\r\n":
            assert field.endswith(b"\r\n"), field
            name, _, value = field.decode("latin-1").rstrip("\r\n").partition(": ")
            assert name.lower() not in headers, f"{name} twice"
            headers[name.lower()] = value
        return int(line.split()[1]), headers

    def answer(self, method: str = "GET") -> Answer:
        """Read one whole reply, strictly by its framing."""
        status, headers = self.head()
        if method == "HEAD" or status in (100, 204, 304):
            return Answer(status, headers, b"")
        if headers.get("transfer-encoding") == "chunked":
            assert "content-length" not in headers
            return Answer(status, headers, b"".join(self.chunks()))
        if "content-length" in headers:
            size = int(headers["content-length"])
            body = self._file.read(size)
            assert len(body) == size, "the body was cut"
            return Answer(status, headers, body)
        return Answer(status, headers, self._file.read())

    def chunks(self) -> Iterator[bytes]:
        """Read the chunks of a body."""
        while True:
            line = self._file.readline()
            assert line.endswith(b"\r\n"), "the body was cut"
            size = int(line, 16)
            data = self._file.read(size + 2)
            assert len(data) == size + 2, "the body was cut"
            assert data.endswith(b"\r\n")
            if not size:
                return
            yield data[:-2]

    def read(self, size: int = -1) -> bytes:
        return self._file.read(size)

    def is_closed(self) -> bool:
        """Wait for the server to close; whether nothing else came before."""
        try:
            return self._file.read(1) == b""
        except ConnectionResetError:
            return True


def ask(server: HTTPServer, *pieces: bytes) -> Answer:
    """The answer to one request on a connection of its own."""
    with Client(server) as client:
        return client.send(*pieces).answer()
