"""From the result of a method to a response.

Text stays text, markup is HTML, bytes are octets, iterators are sent piece by piece,
files as they are; everything else is JSON, or XML for who prefers it.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from markupsafe import Markup

from toolserver import strictjson
from toolserver.contexts import Context, bind, current
from toolserver.errors import NotFound
from toolserver.message import FileBody, Request, Response
from toolserver.web.mediatypes import media_type_of
from toolserver.web.negotiation import add_vary, choose_media_type
from toolserver.web.xmlbody import to_xml

__all__ = ["render"]

_JSON = "application/json"
_XML = "application/xml"
_LINES = "application/x-ndjson"
_END: Any = object()


def render(request: Request, result: Any, *, content_type: str = "") -> Response:
    """Make a response out of a result.

    Args:
        request: The request that is answered; its ``Accept`` chooses between JSON,
            XML and text.
        result: What a method, generator or error handler returned.
        content_type: The media type that a generator says it makes.

    Returns:
        The response.

    Raises:
        ApplicationError: The result cannot be expressed.
        NotFound: It is the path of a file that is not there.
    """
    if isinstance(result, Response):
        return result
    if isinstance(result, str):
        if type(result) is str and not content_type:
            accept = request.headers.get("accept")
            if accept is not None and "json" in accept:
                offered = ("text/plain", _JSON)
                if choose_media_type(accept, offered) == _JSON:
                    return _varied(
                        Response(strictjson.encode(result), content_type=_JSON)
                    )
        return Response(result, content_type=_with_charset(content_type))
    if result is None:
        return Response(status=204)
    if isinstance(result, (bytes, bytearray, memoryview)):
        return Response(bytes(result), content_type=content_type)
    if isinstance(result, (Path, io.IOBase)):
        return _render_file(result, content_type)
    if isinstance(result, Iterator):
        return _render_stream(result, content_type)
    accept = request.headers.get("accept")
    wants_xml = accept is not None and "xml" in accept
    if wants_xml and choose_media_type(accept, (_JSON, _XML)) == _XML:
        return _varied(Response(to_xml(result), content_type=_XML))
    return Response(strictjson.encode(result), content_type=content_type or _JSON)


def _varied(response: Response) -> Response:
    return Response(
        response.body,
        status=response.status,
        headers=add_vary(response.headers, "Accept"),
    )


def _with_charset(content_type: str) -> str:
    if content_type.startswith("text/") and "charset" not in content_type:
        return f"{content_type}; charset=utf-8"
    return content_type


def _render_file(result: Path | io.IOBase, content_type: str) -> Response:
    """Send a file that a tool names or has opened; it is closed afterwards."""
    if isinstance(result, Path):
        name = result.name
        try:
            fd = os.open(result, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError as error:
            raise NotFound(f"no file {name!r}") from error
        offset = 0
    else:
        name = str(getattr(result, "name", ""))
        fd = os.dup(result.fileno())
        offset = result.tell()
        result.close()
    size = os.fstat(fd).st_size
    body = FileBody(fd, offset, max(0, size - offset))
    return Response(body, content_type=content_type or media_type_of(name))


def _render_stream(pieces: Iterator[Any], content_type: str) -> Response:
    stream = _Stream(pieces, current() or Context())
    return Response(
        stream, content_type=_with_charset(content_type) or stream.media_type
    )


class _Stream:
    """The pieces of a streamed answer, as bytes; what is no text becomes JSON lines.

    The context of the call is bound around each step and not across them: between
    two steps the greenlet is the server's own.
    """

    def __init__(self, pieces: Iterator[Any], context: Context) -> None:
        self._pieces = pieces
        self._context = context
        # Made at once: its kind decides the media type, and a failure to make it can
        # still be told by the status.
        self._first = self._step(b"")
        if isinstance(self._first, Markup):
            self.media_type = "text/html; charset=utf-8"
        elif isinstance(self._first, str):
            self.media_type = "text/plain; charset=utf-8"
        elif isinstance(self._first, bytes):
            self.media_type = "application/octet-stream"
        else:
            self.media_type = _LINES

    def _step(self, default: Any) -> Any:
        with bind(self._context):
            return next(self._pieces, default)

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        piece, self._first = self._first, None
        if piece is None:
            piece = self._step(_END)
            if piece is _END:
                raise StopIteration
        if isinstance(piece, bytes):
            return piece
        return piece.encode() if isinstance(piece, str) else _line(piece)

    def close(self) -> None:
        close = getattr(self._pieces, "close", None)
        if close is not None:
            with bind(self._context):
                close()


def _line(piece: Any) -> bytes:
    return strictjson.encode(piece) + b"\n"
