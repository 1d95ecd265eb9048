"""Answers with parts of a representation (RFC 9110, sections 14 and 15.3.7)."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator

from toolserver.message import FileBody, Response

__all__ = ["partial_response"]

_PIECE = 64 * 1024


def partial_response(
    body: bytes | FileBody,
    size: int,
    spans: list[range],
    headers: list[tuple[str, str]],
    content_type: str,
) -> Response:
    """Answer with the spans that were asked for: 206, or 416 if there are none.

    Args:
        body: The whole representation; a file is closed with the answer.
        size: Its length in bytes.
        spans: Spans of bytes within it, as `requested_ranges` gives them.
        headers: The fields that the whole would be sent with.
        content_type: Its Content-Type field.
    """
    if not spans:
        if isinstance(body, FileBody):
            body.close()
        return Response(
            "none of the ranges lies within the file\n",
            status=416,
            headers=[("Content-Range", f"bytes */{size}")],
        )
    if len(spans) == 1:
        part = _cut(body, spans[0])
        fields = [*headers, ("Content-Range", _content_range(spans[0], size))]
        return Response(part, status=206, headers=fields)
    parts = _Parts(body, size, spans, content_type)
    fields = [pair for pair in headers if pair[0].lower() != "content-type"]
    fields.append(("Content-Type", f"multipart/byteranges; boundary={parts.boundary}"))
    fields.append(("Content-Length", str(parts.length)))
    return Response(parts, status=206, headers=fields)


def _content_range(span: range, size: int) -> str:
    return f"bytes {span.start}-{span.stop - 1}/{size}"


def _cut(body: bytes | FileBody, span: range) -> bytes | FileBody:
    if isinstance(body, bytes):
        return body[span.start : span.stop]
    body.offset, body.length = span.start, len(span)
    return body


class _Parts:
    """A multipart body, read piece by piece (RFC 9110, section 14.6).

    Attributes:
        boundary: What separates the parts; random, so that no file contains it.
        length: Bytes in all.
    """

    def __init__(
        self, body: bytes | FileBody, size: int, spans: list[range], content_type: str
    ) -> None:
        self._body = body
        self._spans = spans
        self.boundary = secrets.token_hex(16)
        self._heads = [
            (
                f"\r\n--{self.boundary}\r\n"
                f"Content-Type: {content_type}\r\n"
                f"Content-Range: {_content_range(span, size)}\r\n\r\n"
            ).encode("latin-1")
            for span in spans
        ]
        self._end = f"\r\n--{self.boundary}--\r\n".encode()
        self.length = sum(map(len, self._heads)) + sum(map(len, spans)) + len(self._end)

    def __iter__(self) -> Iterator[bytes]:
        for head, span in zip(self._heads, self._spans, strict=True):
            yield head
            yield from self._pieces(span)
        yield self._end

    def _pieces(self, span: range) -> Iterator[bytes]:
        body = self._body
        if isinstance(body, bytes):
            yield body[span.start : span.stop]
            return
        position = span.start
        while position < span.stop:
            wanted = min(_PIECE, span.stop - position)
            piece = os.pread(body.fileno(), wanted, position)
            if not piece:
                raise EOFError(f"file: ended at byte {position}, expected {span.stop}")
            yield piece
            position += len(piece)

    def close(self) -> None:
        """Close the file."""
        if isinstance(self._body, FileBody):
            self._body.close()
