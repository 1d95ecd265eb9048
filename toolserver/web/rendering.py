"""From the result of a method to a response.

Text stays text, markup is HTML, bytes are octets, iterators are sent piece by piece,
files as they are; everything else is JSON, or XML for who prefers it.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from typing import Any

from markupsafe import Markup

from toolserver import strictjson
from toolserver.contexts import Context, bind, current
from toolserver.media import Document, Media
from toolserver.message import Request, Response
from toolserver.web.fileresults import answer_file, answer_path, is_file
from toolserver.web.mediatypes import with_charset
from toolserver.web.negotiation import choose_media_type
from toolserver.web.xmlbody import to_xml

__all__ = ["render"]

_JSON = "application/json"
_XML = "application/xml"
_LINES = "application/x-ndjson"
# Told here, because a `Response` without a body has no media type by default.
_TEXT = "text/plain; charset=utf-8"
_OCTET_STREAM = "application/octet-stream"
_VARY = ("Vary", "Accept")
_OCTETS = (bytes, bytearray, memoryview)
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
        if isinstance(result, Enum):
            # Other subclasses of text are markup, which nothing else may become.
            result = str(result.value)
        if type(result) is not str or content_type:
            return Response(result, content_type=with_charset(content_type))
        accept = request.headers.get("accept")
        if accept is not None and "json" in accept:
            chosen = choose_media_type(accept, ("text/plain", _JSON))
            if chosen == _JSON:
                return _chosen(strictjson.encode(result), _JSON)
        return _chosen(result, _TEXT)
    if result is None:
        return Response(status=204)
    if isinstance(result, _OCTETS):
        return Response(bytes(result), content_type=content_type or _OCTET_STREAM)
    if isinstance(result, Path):
        return answer_path(result, content_type)
    if is_file(result):
        return answer_file(result, content_type)
    if isinstance(result, Iterator):
        return _render_stream(result, content_type)
    if isinstance(result, Media):
        content = result.content if isinstance(result, Document) else result.data
        media_type = content_type or result.media_type
        return Response(content, content_type=with_charset(media_type))
    if content_type:
        # A generator says what it makes: what the caller prefers was asked before.
        is_xml = content_type.partition(";")[0].endswith("/xml")
        body = to_xml(result) if is_xml else strictjson.encode(result)
        return Response(body, content_type=content_type)
    accept = request.headers.get("accept")
    if accept is not None and "xml" in accept:
        chosen = choose_media_type(accept, (_JSON, _XML))
        if chosen == _XML:
            return _chosen(to_xml(result), _XML)
    return _chosen(strictjson.encode(result), _JSON)


def _chosen(body: str | bytes, content_type: str = "") -> Response:
    """An answer that another ``Accept`` might have made another one."""
    response = Response(body, content_type=content_type)
    response.headers.append(_VARY)
    return response


def _render_stream(pieces: Iterator[Any], content_type: str) -> Response:
    stream = _Stream(pieces, current() or Context())
    return Response(
        stream, content_type=with_charset(content_type) or stream.media_type
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
        first = self._step(b"")
        if isinstance(first, Markup):
            kind = getattr(first, "content_type", "text/html; charset=utf-8")
            self.media_type = kind
        elif isinstance(first, str):
            self.media_type = _TEXT
        elif isinstance(first, _OCTETS):
            self.media_type = _OCTET_STREAM
        else:
            self.media_type = _LINES
        self._first: bytes | None = _encode(first)

    def _step(self, default: Any) -> Any:
        with bind(self._context):
            return next(self._pieces, default)

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        if self._first is not None:
            piece, self._first = self._first, None
            return piece
        try:
            further = self._step(_END)
            if further is not _END:
                return _encode(further)
        except BaseException as error:
            # Whose it is the log could not tell: the context is gone by then.
            context = self._context
            namespace = getattr(context.tool, "namespace", "")
            method = f"{namespace}.{context.method}" if namespace else context.method
            error.add_note(f"in the stream of {method}, reference {context.request_id}")
            if isinstance(error, KeyboardInterrupt):
                # No signal raises it here: the operator wants no end of the process.
                raise RuntimeError(f"{method}: its stream broke off") from error
            raise
        raise StopIteration

    def close(self) -> None:
        close = getattr(self._pieces, "close", None)
        if close is not None:
            with bind(self._context):
                close()


def _encode(piece: Any) -> bytes:
    if isinstance(piece, str):
        return piece.encode("utf-8", "surrogateescape")
    if isinstance(piece, _OCTETS):
        return bytes(piece)
    return strictjson.encode(piece) + b"\n"
