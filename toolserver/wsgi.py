"""The whole server as a WSGI application, for another server to run.

``gunicorn -k gevent toolserver.wsgi:application`` is one way. The home is that of
``$TOOLSERVER_HOME``, or as `toolserver.home.Home.find` says. The tools are loaded when
``application`` is first looked up, in the process that serves. Sizes and times on the
wire are then the other server's to bound.

Spec: PEP 3333.
"""

from __future__ import annotations

import atexit
import os
import re
from collections.abc import Callable, Iterable, Iterator
from http import HTTPStatus
from typing import Any
from urllib.parse import quote, unquote_to_bytes

from toolserver.configuration import load
from toolserver.errors import AlreadyDone, InvalidRequest, ToolserverError
from toolserver.home import Home
from toolserver.message import FileBody, Headers, Request, Response
from toolserver.settings import Limits
from toolserver.web.app import App
from toolserver.worker import Worker

__all__ = ["WSGIApplication", "make_application"]

_StartResponse = Callable[..., Callable[[bytes], Any]]

#: Bodies up to this size are read before the application is called.
_BUFFERED_BODY = 65536
_BLOCK = 65536
_LENGTH = re.compile(r"[0-9]{1,18}")


def __getattr__(name: str) -> Any:
    if name != "application":
        raise AttributeError(f"module 'toolserver.wsgi' has no attribute {name!r}")
    globals()[name] = made = make_application()
    return made


def make_application(home: Home | None = None) -> WSGIApplication:
    """Load a home, run the hooks of its tools, and offer it as an application.

    Args:
        home: The home; by default the one that `Home.find` finds.

    Returns:
        The application; the tools are stopped when it is closed, or the process ends.

    Raises:
        StartError: What keeps the server from starting.
    """
    home = home or Home.find()
    home.prepare()
    configuration = load(home.settings_file, environment=os.environ)
    worker = Worker(configuration.settings, home, configuration=configuration)
    application = WSGIApplication(
        worker.open(), configuration.settings.limits, worker.stop
    )
    atexit.register(application.close)
    return application


class WSGIApplication:
    """Answers WSGI requests by an `App`.

    Args:
        app: What answers requests.
        limits: Bounds for their bodies.
        stop: Stops what the application answers with.
    """

    def __init__(
        self, app: App, limits: Limits, stop: Callable[[], object] | None = None
    ) -> None:
        self._app = app
        self._limits = limits
        self._stop = stop

    def close(self) -> None:
        """Stop the tools, once; nothing is answered afterwards."""
        stop, self._stop = self._stop, None
        atexit.unregister(self.close)
        if stop is not None:
            stop()

    def __call__(
        self, environ: dict[str, Any], start_response: _StartResponse
    ) -> Iterable[bytes]:
        """Answer a request.

        Args:
            environ: The request's variables.
            start_response: Takes status and header fields.

        Returns:
            The blocks of the body.
        """
        writer = _Writer(start_response)
        try:
            response = self._app(self._request(environ, writer))
        except AlreadyDone:
            return ()
        except ToolserverError as error:
            response = Response(f"{error.message}\n", status=error.status)
        _start(start_response, response.status, response.headers, response.body)
        if environ["REQUEST_METHOD"] == "HEAD":
            response.close()
            return ()
        body = response.body
        if isinstance(body, bytes):
            return (body,)
        return _FileBlocks(body) if isinstance(body, FileBody) else body

    def _request(self, environ: dict[str, Any], writer: _Writer) -> Request:
        length = environ.get("CONTENT_LENGTH") or "0"
        if _LENGTH.fullmatch(length) is None:
            raise InvalidRequest("content-length: expected up to 18 digits")
        pairs = [
            (name[5:].replace("_", "-").title(), value)
            for name, value in environ.items()
            if name.startswith("HTTP_")
        ]
        for name in ("CONTENT_TYPE", "CONTENT_LENGTH"):
            if environ.get(name):
                pairs.append((name.replace("_", "-").title(), environ[name]))
        request = Request(limits=self._limits, writer=writer).replace(
            method=environ["REQUEST_METHOD"],
            raw_path=_raw_path(environ),
            query_string=environ.get("QUERY_STRING", ""),
            headers=Headers(pairs),
            host=environ.get("HTTP_HOST", "").lower(),
            scheme=environ["wsgi.url_scheme"],
            http_version=environ.get("SERVER_PROTOCOL", "HTTP/1.1")[5:],
            peer=environ.get("REMOTE_ADDR", ""),
            local=(environ["SERVER_NAME"], int(environ["SERVER_PORT"] or 0)),
        )
        size = int(length)
        if size > self._limits.body and size > self._app.body_limit(request):
            return request.replace(content=_TooLarge())
        body = _Body(environ["wsgi.input"], size)
        return request.replace(content=body.read() if size <= _BUFFERED_BODY else body)


def _raw_path(environ: dict[str, Any]) -> str:
    """The path as it was sent, which signatures cover, as far as the server tells."""
    octets = environ.get("PATH_INFO", "").encode("latin-1")
    # PEP 3333 has no name for it; these are those of gunicorn, and of most others.
    target: str = environ.get("RAW_URI") or environ.get("REQUEST_URI") or ""
    sent = target.partition("?")[0]
    # What was rewritten on its way here is another path by now.
    if sent[:1] == "/" and sent.isascii() and unquote_to_bytes(sent) == octets:
        return sent
    return quote(octets) or "/"


def _start(
    start_response: _StartResponse,
    status: int,
    headers: list[tuple[str, str]],
    body: Any,
) -> Callable[[bytes], Any]:
    named = {name.lower() for name, _ in headers}
    fields = list(headers)
    if "content-length" not in named and status not in (204, 304):
        if isinstance(body, bytes):
            fields.append(("Content-Length", str(len(body))))
        elif isinstance(body, FileBody):
            fields.append(("Content-Length", str(body.length)))
    return start_response(f"{status} {_reason(status)}", fields)


def _reason(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Unknown"


class _Writer:
    """Lets a tool write its answer by hand."""

    def __init__(self, start_response: _StartResponse) -> None:
        self._start_response = start_response
        self._write: Callable[[bytes], Any] | None = None

    @property
    def started(self) -> bool:
        """Whether the status line has been sent."""
        return self._write is not None

    def start(self, status: int, headers: Iterable[tuple[str, str]]) -> None:
        """Send the status line and the header fields."""
        self._write = _start(self._start_response, status, list(headers), None)

    def write(self, data: bytes) -> None:
        """Send a piece of the body."""
        if self._write is None:
            raise RuntimeError("writer: start comes before write")
        self._write(data)

    def on_hangup(self, callback: Callable[[], object] | None) -> None:
        """Do nothing: WSGI has no way to tell."""


class _Body:
    """A body that is read from the other server as it is asked for."""

    def __init__(self, source: Any, size: int) -> None:
        self._source = source
        self._left = size

    def read(self, size: int = -1, /) -> bytes:
        """Up to `size` bytes, all that remain when negative; empty at the end."""
        wanted = self._left if size < 0 else min(size, self._left)
        parts = []
        while wanted:
            data: bytes = self._source.read(min(wanted, _BLOCK))
            if not data:
                raise InvalidRequest("body: ended early")
            self._left -= len(data)
            wanted -= len(data)
            parts.append(data)
        return b"".join(parts)

    def readline(self, size: int = -1, /) -> bytes:
        """One line with its end, cut at `size` bytes when not negative."""
        bound = self._left if size < 0 else min(size, self._left)
        line: bytes = self._source.readline(bound) if bound else b""
        if bound and not line:
            raise InvalidRequest("body: ended early")
        self._left -= len(line)
        return line

    def readlines(self, hint: int = -1, /) -> list[bytes]:
        """The remaining lines, at least `hint` bytes of them when positive."""
        lines: list[bytes] = []
        size = 0
        for line in self:
            lines.append(line)
            size += len(line)
            if 0 < hint <= size:
                break
        return lines

    def __iter__(self) -> Iterator[bytes]:
        return iter(self.readline, b"")


class _TooLarge(_Body):
    """A body that passes its limit: whoever reads it learns so."""

    def __init__(self) -> None:
        super().__init__(None, 0)

    def read(self, size: int = -1, /) -> bytes:
        """Refuse."""
        raise _BodyTooLarge("body: larger than the server accepts")

    def readline(self, size: int = -1, /) -> bytes:
        """Refuse."""
        return self.read()


class _BodyTooLarge(InvalidRequest):
    status = 413


class _FileBlocks:
    """A span of a file, block by block."""

    def __init__(self, file: FileBody) -> None:
        self._file = file
        self._offset = file.offset
        self._left = file.length

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        if not self._left:
            raise StopIteration
        data = os.pread(self._file.fileno(), min(_BLOCK, self._left), self._offset)
        if not data:
            raise EOFError(f"file: ended {self._left} bytes before its span")
        self._offset += len(data)
        self._left -= len(data)
        return data

    def close(self) -> None:
        """Close the file."""
        self._file.close()
