"""Results that are files: a path, or what a tool has opened."""

from __future__ import annotations

import io
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gevent

from toolserver.errors import NotFound
from toolserver.message import FileBody, Response
from toolserver.web.conditional import format_date
from toolserver.web.mediatypes import media_type_of, with_charset

__all__ = ["answer_file", "answer_path", "is_file"]

#: Bytes or characters that are read at a time from what is no plain file.
_BLOCK = 64 * 1024
_OCTETS = "application/octet-stream"
# A pipe would make the whole process wait for its other end.
_READ = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY
#: Classes whose descriptor gives the same bytes as they do; that of a `GzipFile`,
#: say, gives others.
_BUFFERED = (io.BufferedReader, io.BufferedRandom)


def answer_path(path: Path, content_type: str = "") -> Response:
    """Send the file that a path names.

    Args:
        path: The path, which the tool answers for.
        content_type: Its media type; by default by the end of its name.

    Returns:
        The response, with the time of the last change and an entity tag.

    Raises:
        NotFound: There is no such file, or it is a folder or the like.
        OSError: It cannot be read.
    """
    try:
        fd = os.open(path, _READ)
    except (FileNotFoundError, NotADirectoryError, ValueError) as error:
        # ValueError: no file has such a name, with a NUL in it or no text at all.
        raise NotFound(f"no file {path.name!r}") from error
    status = os.fstat(fd)
    if not stat.S_ISREG(status.st_mode):
        os.close(fd)
        raise NotFound(f"no file {path.name!r}")
    headers = [
        ("Last-Modified", format_date(status.st_mtime)),
        ("ETag", f'"{status.st_mtime_ns:x}-{status.st_size:x}"'),
        ("Accept-Ranges", "bytes"),
    ]
    body = FileBody(fd, 0, status.st_size)
    kind = content_type or media_type_of(path.name)
    return Response(body, content_type=with_charset(kind), headers=headers)


def is_file(result: Any) -> bool:
    """Whether a result is something to read from, such as an open file."""
    return isinstance(result, io.IOBase) or (
        hasattr(result, "read") and hasattr(result, "fileno")
    )


def answer_file(file: Any, content_type: str = "") -> Response:
    """Send what remains to be read of an open file, and close it.

    Args:
        file: A file for reading, of text or bytes; or what reads like one.
        content_type: Its media type; by default by the end of its name if it has one
            on disk, plain text for text, else octets.

    Returns:
        The response.
    """
    if isinstance(file, io.BytesIO):
        return Response(file.read(), content_type=content_type)
    raw = file.raw if isinstance(file, _BUFFERED) else file
    if not isinstance(raw, io.FileIO):
        # Not by its name: what is read from "a.gz" may be unpacked already.
        text = "text/plain" if isinstance(file, io.TextIOBase) else _OCTETS
        kind = with_charset(content_type or text)
        return Response(_Blocks(file, file.read), content_type=kind)
    # A file that was opened by its descriptor has a number for its name.
    name = file.name if isinstance(file.name, str) else ""
    kind = with_charset(content_type or media_type_of(name))
    body = _span(file, raw.fileno())
    if body is not None:
        return Response(body, content_type=kind)
    # A pipe or a device: reading it would hold up all others.
    read = file.read1 if isinstance(file, io.BufferedReader) else file.read

    def read_in_thread(size: int) -> bytes:
        block: bytes = gevent.get_hub().threadpool.apply(read, (size,))
        return block

    return Response(_Blocks(file, read_in_thread), content_type=kind)


def _span(file: Any, fd: int) -> FileBody | None:
    """What remains of a regular file; None for anything else."""
    file.flush()
    status = os.fstat(fd)
    if not stat.S_ISREG(status.st_mode):
        return None
    offset = file.tell()
    body = FileBody(os.dup(fd), offset, max(0, status.st_size - offset))
    file.close()
    return body


class _Blocks:
    """The rest of a file, block by block."""

    def __init__(self, file: Any, read: Callable[[int], Any]) -> None:
        self._file = file
        self._read = read

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        block = self._read(_BLOCK)
        if not block:
            raise StopIteration
        return block.encode() if isinstance(block, str) else bytes(block)

    def close(self) -> None:
        self._file.close()
