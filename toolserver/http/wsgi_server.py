"""Any WSGI application as a handler of our server.

Spec: PEP 3333, with ``wsgi.input_terminated`` and ``wsgi.file_wrapper``.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import stat
import sys
from collections.abc import Callable, Iterable, Iterator
from types import TracebackType
from typing import Any
from urllib.parse import unquote_to_bytes

from toolserver.errors import AlreadyDone
from toolserver.http.exchange import Exchange
from toolserver.http.parser import Head
from toolserver.http.reply import check_field
from toolserver.message import FileBody, Request, Response

__all__ = ["FileWrapper", "WSGIHandler", "environ_of"]

_ExcInfo = tuple[type[BaseException], BaseException, TracebackType]
_Environ = dict[str, Any]
_Application = Callable[[_Environ, Any], Iterable[bytes]]

_FILE_BLOCK = 65536
_KNOWN_STARTS = 1024
_STATUS = re.compile(r"([2-5][0-9]{2})(?: ([\t\x20-\x7e\x80-\xff]*))?")


class FileWrapper:
    """The server's ``wsgi.file_wrapper``: a real file in it goes out by the kernel.

    Args:
        file: Object with a ``read`` method.
        block_size: Bytes to read at once where it is no real file.
    """

    __slots__ = ("_block_size", "file")

    def __init__(self, file: Any, block_size: int = _FILE_BLOCK) -> None:
        self.file = file
        self._block_size = block_size

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        data: bytes = self.file.read(self._block_size)
        if not data:
            raise StopIteration
        return data

    def close(self) -> None:
        """Close the file."""
        close = getattr(self.file, "close", None)
        if close is not None:
            close()


class WSGIHandler:
    """Answers requests by a WSGI application.

    Args:
        application: The application.
        environ: Further variables for each request.
    """

    def __init__(
        self, application: _Application, environ: _Environ | None = None
    ) -> None:
        self._application = application
        self._starts = _Starts()
        self._environ: _Environ = {
            "GATEWAY_INTERFACE": "CGI/1.1",
            "SCRIPT_NAME": "",
            "wsgi.version": (1, 0),
            "wsgi.multithread": True,
            "wsgi.multiprocess": False,
            "wsgi.run_once": False,
            "wsgi.input_terminated": True,
            "wsgi.file_wrapper": FileWrapper,
            **(environ or {}),
        }

    def __call__(self, request: Request) -> Response:
        """Run the application for one request.

        Raises:
            AlreadyDone: It has sent its answer by ``write``.
        """
        call = _Call(request, self._starts)
        result = self._application(self._make_environ(request), call.start_response)
        if type(result) is list and not call.has_written:
            # The common case: all is here, so the length is known.
            return _Response(*call.head(), b"".join(result))
        return _stream(call, result)

    def _make_environ(self, request: Request) -> _Environ:
        head = request.notes.get("head")
        # A rewritten request does not fit its head any more.
        if (
            isinstance(head, Head)
            and head.cached
            and head.headers is request.headers
            and head.method is request.method
            and head.raw_path is request.raw_path
            and head.query_string is request.query_string
        ):
            kept = head.environ
            if kept is None or kept[0] is not self:
                kept = head.environ = self, {**self._environ, **environ_of(request)}
            environ: _Environ = kept[1].copy()
        else:
            environ = {**self._environ, **environ_of(request)}
        environ["REMOTE_ADDR"] = request.peer
        environ["REMOTE_PORT"] = str(request.peer_port)
        environ["wsgi.errors"] = sys.stderr
        content = request.content
        environ["wsgi.input"] = (
            io.BytesIO(content) if isinstance(content, bytes) else content
        )
        return environ


def environ_of(request: Request) -> _Environ:
    """The variables that the server and the head of a request give.

    Header fields with an underscore in their name are left out: ``X_A`` and ``X-A``
    would be one variable, and a proxy that guards the one may not know the other.
    """
    name, port = request.local
    environ: _Environ = {
        "SERVER_NAME": name,
        "SERVER_PORT": str(port),
        "wsgi.url_scheme": request.scheme,
        "REQUEST_METHOD": request.method,
        "PATH_INFO": unquote_to_bytes(request.raw_path).decode("latin-1"),
        "QUERY_STRING": request.query_string,
        "SERVER_PROTOCOL": f"HTTP/{request.http_version}",
    }
    for name, value in request.headers.items():
        if "_" in name:
            continue
        key = name.upper().replace("-", "_")
        if key not in ("CONTENT_TYPE", "CONTENT_LENGTH"):
            key = f"HTTP_{key}"
        environ[key] = value
    return environ


class _Response(Response):
    """A response whose header fields are the application's alone."""

    __slots__ = ("reason",)

    def __init__(
        self,
        status: int,
        reason: str,
        headers: list[tuple[str, str]],
        body: bytes | FileBody | Iterable[bytes],
    ) -> None:
        self.status = status
        self.reason = reason
        self.headers = headers
        self.body = body


class _Starts:
    """Checks what applications give to ``start_response``.

    PEP 3333 wants errors in it to be raised there, where the application can see
    them. What was found right is remembered.
    """

    __slots__ = ("_known",)

    def __init__(self) -> None:
        self._known: dict[object, tuple[int, str]] = {}

    def check(self, status: str, headers: list[tuple[str, str]]) -> tuple[int, str]:
        """Status and reason.

        Raises:
            ValueError: The status line or a header field cannot be sent.
        """
        key = status, *headers
        found = self._known.get(key)
        if found is None:
            match = _STATUS.fullmatch(status)
            if match is None:
                raise ValueError(f"status: got {status!r}, expected '200 OK'")
            for name, value in headers:
                check_field(name, value)
            found = int(match[1]), match[2] or ""
            if len(self._known) >= _KNOWN_STARTS:
                self._known.clear()
            self._known[key] = found
        return found


class _Call:
    """One call of the application: what it gave to ``start_response``."""

    __slots__ = ("_headers", "_reason", "_request", "_starts", "_status", "has_written")

    def __init__(self, request: Request, starts: _Starts) -> None:
        self._request = request
        self._starts = starts
        self._status = 0
        self._reason = ""
        self._headers: list[tuple[str, str]] = []
        self.has_written = False

    def start_response(
        self,
        status: str,
        headers: list[tuple[str, str]],
        exc_info: _ExcInfo | None = None,
    ) -> Callable[[bytes], None]:
        if exc_info is not None:
            try:
                if self.has_written or self._exchange.started:
                    raise exc_info[1].with_traceback(exc_info[2])
            finally:
                exc_info = None  # the frames in it would keep themselves alive
        elif self._status:
            raise AssertionError("start_response: called twice without exc_info")
        self._status, self._reason = self._starts.check(status, headers)
        self._headers = headers
        return self._write

    @property
    def _exchange(self) -> Exchange:
        writer = self._request.writer
        if not isinstance(writer, Exchange):
            raise TypeError("write: this request has no writer")
        return writer

    def head(self) -> tuple[int, str, list[tuple[str, str]]]:
        """Status, reason and header fields."""
        if not self._status:
            raise AssertionError("the application did not call start_response")
        return self._status, self._reason, self._headers

    def _write(self, data: bytes) -> None:
        # An empty block must not send the head yet (PEP 3333, "Handling the
        # Content-Length Header" and "Buffering and Streaming").
        if not data:
            return
        exchange = self._exchange
        if self.has_written:
            exchange.write(data)
        else:
            self.has_written = True
            exchange.start_with(*self.head(), data)

    def write_rest(self, pieces: Iterable[bytes]) -> None:
        """Send what the application returned behind what it has written."""
        for piece in pieces:
            self._write(piece)


def _stream(call: _Call, result: Iterable[bytes]) -> Response:
    try:
        if call.has_written:
            call.write_rest(result)
            raise AlreadyDone
        if isinstance(result, FileWrapper):
            file = _real_file(result, call)
            if file is not None:
                return _Response(*call.head(), file)
        pieces = iter(result)
        # The application may call start_response as late as when it is asked for its
        # first block, and that block may be empty.
        first = next((piece for piece in pieces if piece), None)
        if call.has_written:
            if first is not None:
                call.write_rest((first,))
            call.write_rest(pieces)
            raise AlreadyDone
        if first is None:
            head = call.head()
            _close(result)
            return _Response(*head, b"")
        return _Response(*call.head(), _Pieces(result, first, pieces))
    except BaseException:
        _close(result)
        raise


class _Pieces:
    """The blocks of an application, the first of which was taken already."""

    __slots__ = ("_first", "_pieces", "_result")

    def __init__(
        self, result: Iterable[bytes], first: bytes, pieces: Iterator[bytes]
    ) -> None:
        self._result = result
        self._first: bytes | None = first
        self._pieces = pieces

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        first = self._first
        if first is not None:
            self._first = None
            return first
        return next(self._pieces)

    def close(self) -> None:
        _close(self._result)


def _close(result: object) -> None:
    close = getattr(result, "close", None)
    if close is not None:
        close()


class _WrappedFile(FileBody):
    """A span of the application's file, which is closed with it."""

    __slots__ = ("_wrapper",)

    def __init__(self, wrapper: FileWrapper, fd: int, offset: int, length: int) -> None:
        super().__init__(fd, offset, length)
        self._wrapper = wrapper

    def close(self) -> None:
        super().close()
        self._wrapper.close()


def _real_file(wrapper: FileWrapper, call: _Call) -> FileBody | None:
    """The wrapped file as a span for the kernel, or None where it is no real file."""
    file = wrapper.file
    with contextlib.suppress(AttributeError, OSError, ValueError):
        descriptor = file.fileno()
        facts = os.fstat(descriptor)
        if not stat.S_ISREG(facts.st_mode):
            return None
        offset = file.tell()
        length = max(0, facts.st_size - offset)
        for name, value in call.head()[2]:
            if name.lower() == "content-length":
                length = min(length, int(value))
        return _WrappedFile(wrapper, os.dup(descriptor), offset, length)
    return None
