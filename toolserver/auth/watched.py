"""Files that the server reads again when they have changed."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

from toolserver.errors import StartError

__all__ = ["WatchedFile"]

T = TypeVar("T")

log = logging.getLogger("toolserver.auth")

#: More than this is no list that people keep.
_LARGEST = 16 * 1024 * 1024


class WatchedFile(Generic[T]):
    """What a file says; the last version that could be read holds.

    Args:
        path: The file; a missing one is an empty one.
        parse: Reads its text; raises `ValueError` for what it cannot read.

    Attributes:
        path: The same.
        value: What the file says.
    """

    def __init__(self, path: Path, parse: Callable[[str], T]) -> None:
        self.path = path
        self._parse = parse
        self._seen: object = None
        self._failure = ""
        self.value: T = parse("")

    def load(self) -> None:
        """Read the file.

        Raises:
            StartError: It cannot be read; says where and why.
        """
        self._seen = self._identity()
        self.value = self._read()

    def refresh(self) -> bool:
        """Read the file again if it has changed; what cannot be read changes nothing.

        Returns:
            Whether there is a new value.
        """
        seen = self._identity()
        if seen == self._seen:
            return False
        try:
            self.value = self._read()
        except StartError as error:
            if str(error) != self._failure:
                log.error("%s; what was there before still holds", error)
            self._failure = str(error)
            if not isinstance(error.__cause__, OSError):
                self._seen = seen
            # Else the next look may find a descriptor for it, or the permission.
            return False
        self._seen = seen
        self._failure = ""
        log.info("%s: read again", self.path)
        return True

    def _identity(self) -> object:
        try:
            stat = self.path.stat()
        except FileNotFoundError:
            return None
        except OSError as error:
            return error.errno
        return stat.st_mtime_ns, stat.st_size, stat.st_ino

    def _read(self) -> T:
        try:
            with self.path.open("rb") as file:
                data = file.read(_LARGEST + 1)
        except FileNotFoundError:
            return self._parse("")
        except OSError as error:
            raise StartError(f"{self.path}: {error.strerror}") from error
        if len(data) > _LARGEST:
            raise StartError(f"{self.path}: larger than {_LARGEST} bytes")
        try:
            return self._parse(data.decode())
        except UnicodeDecodeError as error:
            line = data.count(b"\n", 0, error.start) + 1
            raise StartError(f"{self.path}:{line}: not UTF-8") from error
        except ValueError as error:
            raise StartError(f"{self.path}:{error}") from error
