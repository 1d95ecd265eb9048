"""Files below a folder, reached by names that cannot lead out of it.

Each folder on the way is opened from the one above it without following links, so
that nobody can swap a folder for a link between a check and its use. Links below the
folder are treated as if they were not there. The folder itself is the operator's word
and may be one.

What is written appears under its name when it is complete. All functions block.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase

# Not os.close: gevent's waits for the loop, and here may be another thread.
from posix import close
from typing import BinaryIO

__all__ = ["FileTree"]

_COMMON = os.O_CLOEXEC | os.O_NOFOLLOW
_PASS = _COMMON | os.O_DIRECTORY | os.O_RDONLY
# Without O_NONBLOCK opening a pipe would wait for its other end.
_READ = _COMMON | os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY
_CREATE = _COMMON | os.O_WRONLY | os.O_CREAT | os.O_EXCL
#: How often a folder is made again that another caller has removed meanwhile.
_ATTEMPTS = 10


@dataclass(frozen=True)
class FileTree:
    """The files below a folder.

    Attributes:
        root: Path of the folder; it is made with the first file.
        is_private: Whether only the owner of the process may read what it makes.
    """

    root: str
    is_private: bool

    def open(self, parts: list[str]) -> BinaryIO:
        """Open a file for reading.

        Args:
            parts: The names of the folders and the file.

        Raises:
            FileNotFoundError: There is no such regular file.
            OSError: It cannot be opened.
        """
        with self._folder(parts[:-1]) as folder:
            try:
                opened = os.open(parts[-1], _READ, dir_fd=folder)
            except OSError as error:
                # ELOOP is a link; ENXIO a socket, or a device that is not there.
                if error.errno in (errno.ELOOP, errno.ENXIO):
                    raise _missing() from None
                raise
        try:
            if not stat.S_ISREG(os.fstat(opened).st_mode):
                raise _missing()
            return open(opened, "rb")
        except BaseException:
            close(opened)
            raise

    def stat(self, parts: list[str]) -> os.stat_result:
        """What is known of a file.

        Args:
            parts: The names of the folders and the file.

        Raises:
            FileNotFoundError: There is no such regular file.
        """
        with self._folder(parts[:-1]) as folder:
            status = os.stat(parts[-1], dir_fd=folder, follow_symlinks=False)
        if not stat.S_ISREG(status.st_mode):
            raise _missing()
        return status

    def read(self, parts: list[str]) -> bytes:
        """Read a whole file.

        Args:
            parts: The names of the folders and the file.

        Raises:
            FileNotFoundError: There is no such regular file.
            OSError: It cannot be read.
        """
        with self.open(parts) as file:
            return file.read()

    def write(
        self, parts: list[str], content: bytes, *, durable: bool, replaces: bool
    ) -> bool:
        """Write a whole file, so that readers see the old one or the new one.

        Args:
            parts: The names of the folders and the file.
            content: Its bytes.
            durable: Whether it has reached the disk on return.
            replaces: Whether there may be such a file already.

        Returns:
            Whether it was changed.

        Raises:
            FileExistsError: There is such a file and it may not be replaced.
            IsADirectoryError: The name is that of a folder.
            NotADirectoryError: The name of a folder is that of a file.
            OSError: It cannot be written; what was there before still is.
        """
        if replaces and self._holds(parts, content):
            return False
        for attempt in range(_ATTEMPTS):
            try:
                with self._made_folder(parts[:-1], durable=durable) as folder:
                    self._put(folder, parts[-1], content, durable, replaces)
                return True
            except FileNotFoundError:
                # Who deleted the last file of the folder has removed it, too.
                if attempt == _ATTEMPTS - 1:
                    raise
        raise AssertionError  # pragma: no cover - the last attempt returns or raises

    def delete(self, parts: list[str]) -> None:
        """Delete a file, and the folders that it leaves empty.

        Args:
            parts: The names of the folders and the file.

        Raises:
            FileNotFoundError: There is no such regular file.
            OSError: It cannot be deleted.
        """
        with self._folder(parts[:-1]) as folder:
            status = os.stat(parts[-1], dir_fd=folder, follow_symlinks=False)
            if not stat.S_ISREG(status.st_mode):
                raise _missing()
            os.unlink(parts[-1], dir_fd=folder)
        for end in range(len(parts) - 1, 0, -1):
            try:
                with self._folder(parts[: end - 1]) as folder:
                    os.rmdir(parts[end - 1], dir_fd=folder)
            except OSError:
                # It has other members, or somebody else was faster.
                return

    def walk(self, parts: list[str], pattern: str, *, recursive: bool) -> list[str]:
        """The names of the files of a folder.

        Args:
            parts: The names on the way to the folder.
            pattern: What the last part of their names matches, as in a shell.
            recursive: Whether those in folders below are listed, too.

        Returns:
            Their names from the root on, sorted; none if there is no such folder.

        Raises:
            OSError: A folder cannot be read.
        """
        found: list[str] = []
        waiting = [parts]
        while waiting:
            above = waiting.pop()
            try:
                with self._folder(above) as folder, os.scandir(folder) as members:
                    for member in members:
                        name = member.name
                        if name.startswith((".", "~")):
                            continue
                        if member.is_file(follow_symlinks=False):
                            if fnmatchcase(name, pattern):
                                found.append("/".join([*above, name]))
                        elif recursive and member.is_dir(follow_symlinks=False):
                            waiting.append([*above, name])
            except FileNotFoundError:
                continue
        return sorted(found)

    def _holds(self, parts: list[str], content: bytes) -> bool:
        try:
            with self.open(parts) as file:
                same_size = os.fstat(file.fileno()).st_size == len(content)
                return same_size and file.read() == content
        except (FileNotFoundError, PermissionError):
            return False

    def _put(
        self, folder: int, name: str, content: bytes, durable: bool, replaces: bool
    ) -> None:
        mode = 0o600 if self.is_private else 0o644
        # Static files and listings pass over names with a leading dot.
        unfinished = f".{secrets.token_hex(8)}.new"
        opened = os.open(unfinished, _CREATE, mode, dir_fd=folder)
        try:
            try:
                remaining = memoryview(content)
                while remaining:
                    remaining = remaining[os.write(opened, remaining) :]
                if durable:
                    os.fsync(opened)
            finally:
                close(opened)
            if replaces:
                os.replace(unfinished, name, src_dir_fd=folder, dst_dir_fd=folder)
            else:
                # Unlike a renamed file, a link takes no other's place.
                os.link(unfinished, name, src_dir_fd=folder, dst_dir_fd=folder)
                os.unlink(unfinished, dir_fd=folder)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(unfinished, dir_fd=folder)
            raise
        if durable:
            os.fsync(folder)

    @contextlib.contextmanager
    def _folder(self, parts: list[str]) -> Iterator[int]:
        """A descriptor of a folder.

        Raises:
            FileNotFoundError: There is no such folder.
        """
        try:
            folder = os.open(self.root, _PASS & ~os.O_NOFOLLOW)
            for part in parts:
                try:
                    inner = os.open(part, _PASS, dir_fd=folder)
                finally:
                    close(folder)
                folder = inner
        except OSError as error:
            # What O_NOFOLLOW and O_DIRECTORY say of links and of files.
            if error.errno in (errno.ENOTDIR, errno.ELOOP):
                raise _missing() from None
            raise
        try:
            yield folder
        finally:
            close(folder)

    @contextlib.contextmanager
    def _made_folder(self, parts: list[str], *, durable: bool) -> Iterator[int]:
        """A descriptor of a folder, which is made if it is not there."""
        mode = 0o700 if self.is_private else 0o755
        _make_root(self.root, mode, durable=durable)
        folder = os.open(self.root, _PASS & ~os.O_NOFOLLOW)
        try:
            for part in parts:
                try:
                    os.mkdir(part, mode, dir_fd=folder)
                    if durable:
                        os.fsync(folder)
                except FileExistsError:
                    pass
                inner = os.open(part, _PASS, dir_fd=folder)
                close(folder)
                folder = inner
            yield folder
        finally:
            close(folder)


def _make_root(path: str, mode: int, *, durable: bool) -> None:
    """Make a folder and those above it, all with one mode, unlike `os.makedirs`."""
    if os.path.isdir(path):
        return
    above = os.path.dirname(path)
    _make_root(above, mode, durable=durable)
    with contextlib.suppress(FileExistsError):
        os.mkdir(path, mode)
    if durable:
        folder = os.open(above, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(folder)
        finally:
            close(folder)


def _missing() -> FileNotFoundError:
    return FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
