"""What is known of files that were asked for lately, within a bound of memory."""

from __future__ import annotations

import os
import time
from collections import OrderedDict
from dataclasses import dataclass, field

from toolserver.message import Response

__all__ = ["FileCache", "KnownFile", "identity_of"]

#: Time for which neighbours and index files are not looked for again.
_TRUSTED_S = 1.0
#: What an entry costs besides the bytes of its file: about what Python needs.
_ENTRY_SIZE = 2048

Identity = tuple[int, int, int, int]
#: The path of a URL; with a content coding for a precompressed neighbour.
Key = tuple[str, str] | str


def identity_of(status: os.stat_result) -> Identity:
    """What changes when a file is edited, replaced or loses a permission."""
    return status.st_mtime_ns, status.st_size, status.st_ino, status.st_ctime_ns


@dataclass(slots=True, eq=False)
class KnownFile:
    """A file as it is sent.

    Attributes:
        key: What it is remembered under.
        names: Names on the way to it below the root.
        location: Where it lies, for ``stat``.
        identity: Shows whether it is still the same.
        size: Bytes.
        content_type: The Content-Type field.
        etag: Its entity tag.
        modified: When it changed last, seconds since 1970.
        headers: The fields to send it with.
        codings: Content codings of its precompressed neighbours.
        content: Its bytes, or None if it is too large to keep.
        response: The answer with them, made once.
        until: When to look for it again, by the monotonic clock.
    """

    key: Key
    names: list[str]
    location: str
    identity: Identity
    size: int
    content_type: str
    etag: str
    modified: int
    headers: list[tuple[str, str]]
    codings: tuple[str, ...]
    content: bytes | None = None
    response: Response | None = None
    until: float = field(default_factory=lambda: time.monotonic() + _TRUSTED_S)


class FileCache:
    """Known files, of which those that were not asked for the longest are dropped.

    Args:
        limit: Size of all of them in bytes.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._size = 0
        self._files: OrderedDict[Key, KnownFile] = OrderedDict()

    @property
    def size(self) -> int:
        """Bytes of all that is kept."""
        return self._size

    def __len__(self) -> int:
        return len(self._files)

    def get(self, key: Key) -> KnownFile | None:
        """What is known of a file, if that is still true."""
        file = self._files.get(key)
        if file is None:
            return None
        if time.monotonic() < file.until:
            try:
                status = os.stat(file.location)
            except OSError:
                pass
            else:
                if identity_of(status) == file.identity:
                    self._files.move_to_end(key)
                    return file
        self._size -= _cost(self._files.pop(key))
        return None

    def put(self, file: KnownFile) -> None:
        """Remember a file, and forget others where there is no room."""
        before = self._files.pop(file.key, None)
        if before is not None:
            self._size -= _cost(before)
        self._files[file.key] = file
        self._size += _cost(file)
        while self._size > self._limit:
            self._size -= _cost(self._files.popitem(last=False)[1])


def _cost(file: KnownFile) -> int:
    return _ENTRY_SIZE + (0 if file.content is None else file.size)
