"""Where a request body ends: by its length, or by its chunks.

Both decoders take bytes as they arrive and give the body's bytes back; after the end
`rest` holds what belongs to the next request.

Spec: RFC 9112, sections 6.2 and 7.1.
"""

from __future__ import annotations

import re

from toolserver.http.refused import Refused
from toolserver.settings import Limits

__all__ = ["ChunkedDecoder", "Decoder", "LengthDecoder"]


class LengthDecoder:
    """A body whose size was told beforehand.

    Args:
        length: Its size in bytes.

    Attributes:
        done: Whether all of it has been fed.
        remaining: Bytes that are still to come.
        rest: What followed the body.
    """

    __slots__ = ("done", "remaining", "rest")

    def __init__(self, length: int) -> None:
        self.remaining: int | None = length
        self.done = length == 0
        self.rest = b""

    def feed(self, data: bytes) -> bytes:
        """Take bytes as they arrived; give the body's share of them."""
        remaining = self.remaining or 0
        if len(data) >= remaining:
            self.done = True
            self.rest = data[remaining:]
            self.remaining = 0
            return data[:remaining]
        self.remaining = remaining - len(data)
        return data


_TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]++"
_QUOTED = rb'"(?:[\t !\x23-\x5b\x5d-\x7e\x80-\xff]|\\[\t\x20-\x7e\x80-\xff])*+"'
_EXTENSION = rb"[\t ]*+;[\t ]*+%b(?:[\t ]*+=[\t ]*+(?:%b|%b))?+" % (
    _TOKEN,
    _TOKEN,
    _QUOTED,
)
# Nothing between the size and its extensions: the white space that RFC 9112 allows
# there is what parsers have disagreed about.
_SIZE_LINE = re.compile(rb"([0-9A-Fa-f]{1,15})((?=;)(?:%b)++)?" % _EXTENSION)
#: What such a line may begin with.
_SIZE_BEGIN = re.compile(rb"[0-9A-Fa-f]{1,15}(;[\t\x20-\x7e\x80-\xff]*)?")
_TRAILER = re.compile(
    rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+:[\t\x20-\x7e\x80-\xff]*",
)
_SIZE, _DATA, _DATA_END, _TRAILERS = range(4)
#: Chunks below this size are counted: each costs work, whatever it brings.
_SMALL_CHUNK = 64


class ChunkedDecoder:
    """A body in chunks. Extensions and trailers are bounded, checked and dropped.

    Args:
        limits: How many small chunks there may be, how large extensions and
            trailers.

    Attributes:
        done: Whether the last chunk and the trailers have been fed.
        remaining: None: the size is not known beforehand.
        rest: What followed the body.
    """

    __slots__ = (
        "_extensions",
        "_left",
        "_limits",
        "_part",
        "_small_chunks",
        "_state",
        "_trailers",
        "done",
        "remaining",
        "rest",
    )

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._state = _SIZE
        self._left = 0
        self._small_chunks = 0
        self._part = b""
        self._extensions = 0
        self._trailers = 0
        self.done = False
        self.remaining: int | None = None
        self.rest = b""

    def feed(self, data: bytes) -> bytes:
        """Take bytes as they arrived; give the body's share of them.

        Raises:
            Refused: The chunks are malformed or pass a limit.
        """
        if self._part:
            data = self._part + data
            self._part = b""
        pieces = []
        position = 0
        size = len(data)
        while position < size and not self.done:
            if self._state == _DATA:
                piece = data[position : position + self._left]
                position += len(piece)
                self._left -= len(piece)
                pieces.append(piece)
                if not self._left:
                    self._state = _DATA_END
                continue
            end = data.find(b"\r\n", position)
            if end < 0:
                self._part = data[position:]
                self._check_part()
                break
            self._take_line(data[position:end])
            position = end + 2
        if self.done:
            self.rest = data[position:]
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def _take_line(self, line: bytes) -> None:
        if self._state == _SIZE:
            self._take_size(line)
        elif self._state == _DATA_END:
            if line:
                raise Refused(400, "chunk: longer than its size")
            self._state = _SIZE
        elif not line:
            self.done = True
        else:
            self._trailers += len(line) + 2
            if self._trailers > self._limits.trailers:
                raise _trailers_too_large(self._limits)
            if not _TRAILER.fullmatch(line):
                raise Refused(400, "trailer field: malformed")

    def _take_size(self, line: bytes) -> None:
        match = _SIZE_LINE.fullmatch(line)
        if match is None:
            raise Refused(400, "chunk size or extension: malformed")
        extensions = len(match[2] or b"")
        self._extensions += extensions
        if extensions > self._limits.chunk_extension:
            bound = self._limits.chunk_extension
            raise Refused(400, f"chunk extension: more than {bound} bytes")
        if self._extensions > self._limits.chunk_extensions:
            bound = self._limits.chunk_extensions
            raise Refused(400, f"chunk extensions: more than {bound} bytes")
        size = int(match[1], 16)
        if size < _SMALL_CHUNK:
            self._small_chunks += 1
            if self._small_chunks > self._limits.small_chunks:
                bound = self._limits.small_chunks
                raise Refused(
                    400, f"chunks: more than {bound} of less than {_SMALL_CHUNK} bytes"
                )
        self._left = size
        self._state = _DATA if size else _TRAILERS

    def _check_part(self) -> None:
        """Refuse a line that is wrong or too long already before its end."""
        part = self._part
        if self._state == _DATA_END:
            if part != b"\r":
                raise Refused(400, "chunk: longer than its size")
        elif self._state == _SIZE:
            if len(part) > 15 + self._limits.chunk_extension + 1:
                raise Refused(400, "chunk size: line too long")
            if not _SIZE_BEGIN.fullmatch(part.removesuffix(b"\r")):
                raise Refused(400, "chunk size: malformed")
        elif self._trailers + len(part) > self._limits.trailers + 1:
            raise _trailers_too_large(self._limits)


def _trailers_too_large(limits: Limits) -> Refused:
    return Refused(431, f"trailer fields: more than {limits.trailers} bytes")


Decoder = LengthDecoder | ChunkedDecoder
