"""The one safe way from the path of a URL to a file below a folder.

A path is first looked at as text (`path_names`): whatever could mean another place
than it seems to, or a hidden one, names nothing. Then it is walked one folder after
the other by `openat` without following links, so that nobody can swap a folder for a
link between a check and its use. Where a link is in the way, the path is resolved,
the place that it leads to must be below the root by the same rules, and that place
is walked in turn without links. What is opened must be a regular file before and
after it is opened: opening a device or a pipe can have effects or wait.

All of it blocks for the time of a few system calls.
"""

from __future__ import annotations

import errno
import os
import re
import stat
from collections.abc import Callable, Sequence
from dataclasses import dataclass

# Not os.close: gevent's puts off closing what is not a regular file until the loop
# comes round, in case somebody still watches it. Nobody watches a folder here.
from posix import close

__all__ = ["ListedFile", "list_folder", "open_file", "path_names"]

# Backslashes are separators to some clients and proxies; NUL ends names in C.
_FORBIDDEN = re.compile(r"[\x00-\x1f\x7f\\]")

_COMMON = os.O_CLOEXEC | os.O_NOFOLLOW
# O_PATH passes through folders that may be entered but not read.
_PASS = _COMMON | os.O_DIRECTORY | getattr(os, "O_PATH", os.O_RDONLY)
_LIST = _COMMON | os.O_DIRECTORY | os.O_RDONLY
_READ = _COMMON | os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY


def path_names(path: str) -> list[str] | None:
    """Take the path of a URL apart.

    Args:
        path: The path, percent-decoded once.

    Returns:
        The names of the folders and the file below the root. The last is empty if
        the path ends with a slash, that is, means a folder. None for a path that
        names nothing: with empty names, ``.`` or ``..``, hidden names but
        ``/.well-known`` (RFC 8615), backslashes or control characters.
    """
    if not path.startswith("/") or _FORBIDDEN.search(path):
        return None
    names = path[1:].split("/")
    if "" in names[:-1] or _is_hidden(names):
        return None
    return names


def _is_hidden(names: Sequence[str]) -> bool:
    return any(
        name.startswith(".") and (place or name != ".well-known")
        for place, name in enumerate(names)
    )


def open_file(root: str, names: Sequence[str]) -> int:
    """Open a regular file below a folder for reading.

    Args:
        root: The folder.
        names: Names on the way to the file, from `path_names`.

    Returns:
        A descriptor, owned by the caller.

    Raises:
        FileNotFoundError: There is no such file, it is not a regular one, the path
            ends with a slash, or a link on the way leaves the root or leads to
            something hidden.
        IsADirectoryError: It is a folder.
        OSError: It cannot be opened for another reason.
    """
    if not names[-1]:
        raise FileNotFoundError(errno.ENOENT, "the path of a folder")
    return _reach(root, names, _open_regular)


@dataclass(frozen=True)
class ListedFile:
    """A member of a folder that can be asked for.

    Attributes:
        name: Its name.
        is_folder: Whether it is a folder.
        size: Bytes, 0 for folders.
        modified: When it changed last, seconds since 1970.
    """

    name: str
    is_folder: bool
    size: int
    modified: float


def list_folder(
    root: str, names: Sequence[str], limit: int
) -> tuple[list[ListedFile], bool]:
    """The members of a folder that can be asked for.

    Args:
        root: The folder that nothing may leave.
        names: Names on the way to the folder to list.
        limit: How many members to look at.

    Returns:
        The members in no order, without hidden ones, special files and links that
        lead out; and whether there are more.

    Raises:
        FileNotFoundError: There is no such folder.
        OSError: It cannot be read.
    """
    found: list[ListedFile] = []
    folder = _reach(root, [*names, "."], _open_folder)
    try:
        with os.scandir(folder) as members:
            for count, member in enumerate(members):
                if count >= limit:
                    return found, True
                listed = _describe(root, names, member)
                if listed is not None:
                    found.append(listed)
    finally:
        close(folder)
    return found, False


def _describe(
    root: str, names: Sequence[str], member: os.DirEntry[str]
) -> ListedFile | None:
    if member.name.startswith(".") or _FORBIDDEN.search(member.name):
        return None
    try:
        status = member.stat(follow_symlinks=False)
        if stat.S_ISLNK(status.st_mode):
            target = _resolve(root, [*names, member.name])
            status = os.stat(os.path.join(os.path.realpath(root), *target))
    except OSError:
        # It vanished meanwhile, or is a link that leads nowhere or out.
        return None
    if stat.S_ISDIR(status.st_mode):
        return ListedFile(member.name, True, 0, status.st_mtime)
    if stat.S_ISREG(status.st_mode):
        return ListedFile(member.name, False, status.st_size, status.st_mtime)
    return None


def _reach(root: str, names: Sequence[str], opened: Callable[[str, int], int]) -> int:
    """Walk to the folder of the last name and open that; through links if need be."""
    try:
        try:
            return _walk(root, names, opened)
        except OSError as error:
            # What O_NOFOLLOW and O_DIRECTORY say of a link, by system.
            if error.errno not in (errno.ENOTDIR, errno.ELOOP):
                raise
            return _walk(root, _resolve(root, names), opened)
    except ValueError as error:
        # Characters that no file name has.
        raise FileNotFoundError(errno.ENOENT, str(error)) from error
    except OSError as error:
        if error.errno in (errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG):
            raise FileNotFoundError(errno.ENOENT, error.strerror) from error
        raise


def _walk(root: str, names: Sequence[str], opened: Callable[[str, int], int]) -> int:
    # The root itself is the operator's word: it may be a link.
    folder = os.open(root, _PASS & ~os.O_NOFOLLOW)
    try:
        for name in names[:-1]:
            inner = os.open(name, _PASS, dir_fd=folder)
            close(folder)
            folder = inner
        return opened(names[-1], folder)
    finally:
        close(folder)


def _open_regular(name: str, folder: int) -> int:
    _require_regular(os.stat(name, dir_fd=folder, follow_symlinks=False))
    opened = os.open(name, _READ, dir_fd=folder)
    try:
        _require_regular(os.fstat(opened))
    except OSError:  # pragma: no cover - it has just become another file
        close(opened)
        raise
    return opened


def _require_regular(status: os.stat_result) -> None:
    mode = status.st_mode
    if stat.S_ISREG(mode):
        return
    if stat.S_ISLNK(mode):
        raise NotADirectoryError(errno.ENOTDIR, "a link is in the way")
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    raise FileNotFoundError(errno.ENOENT, "not a regular file")


def _open_folder(name: str, folder: int) -> int:
    return os.open(name, _LIST, dir_fd=folder)


def _resolve(root: str, names: Sequence[str]) -> list[str]:
    """Names of the same place below the root without links on the way."""
    base = os.path.realpath(root).rstrip("/") + "/"
    target = os.path.realpath(os.path.join(base, *names), strict=True)
    if target + "/" == base:
        return ["."]
    if not target.startswith(base):
        raise FileNotFoundError(errno.ENOENT, "a link leaves the root")
    resolved = target.removeprefix(base).split("/")
    if _is_hidden(resolved):
        raise FileNotFoundError(errno.ENOENT, "a link leads to something hidden")
    return resolved
