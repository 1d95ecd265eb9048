"""Configuration files, written so that nobody ever sees a half of one."""

from __future__ import annotations

import fcntl
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from toolserver.errors import StartError

__all__ = ["locked", "read_text", "replace"]


def read_text(file: Path) -> str:
    """Read a file.

    Args:
        file: The file.

    Returns:
        Its text; nothing if it is missing.

    Raises:
        StartError: It is not UTF-8.
    """
    try:
        return file.read_bytes().decode("utf-8")
    except FileNotFoundError:
        return ""
    except UnicodeDecodeError as error:
        raise StartError(f"{file}: not valid UTF-8") from error


def replace(file: Path, text: str, mode: int = 0o644) -> None:
    """Write a file so that it is never seen half-written, nor lost on a full disk.

    Args:
        file: The file.
        text: What is to stand there.
        mode: The mode of a file that is new; others keep theirs.

    Raises:
        StartError: It cannot be written.
    """
    file = file.resolve()
    try:
        _replace(file, text, mode)
    except OSError as error:
        raise StartError(f"{file}: cannot be written: {error.strerror}") from error


def _replace(file: Path, text: str, mode: int) -> None:
    descriptor, name = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}.")
    try:
        with open(descriptor, "wb") as stream:
            stream.write(text.encode("utf-8"))
            if file.exists():
                mode = file.stat().st_mode & 0o7777
            os.fchmod(stream.fileno(), mode)
        os.replace(name, file)
    except BaseException:
        os.unlink(name)
        raise


@contextmanager
def locked(file: Path) -> Iterator[None]:
    """Keep other commands from changing the same files meanwhile.

    Args:
        file: A file to lock by; it is made.
    """
    with file.open("a") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield
