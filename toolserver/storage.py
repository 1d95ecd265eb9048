"""The files of a tool: ``self.storage``, and below ``self.storage.public``.

Private files lie below ``var/tools/`` of the home, in a folder that is named like the
tool; no two tools' folders overlap. Public ones lie below ``www/``, where the tool's
path leads, and are served as static files. The tools that a factory makes have folders
inside the factory's, named by a hash of their keys, because keys come from outside.
"""

from __future__ import annotations

import builtins
import hashlib
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import BinaryIO
from urllib.parse import quote

from toolserver.errors import Conflict, InvalidParams, NotFound
from toolserver.filetree import FileTree
from toolserver.home import Home
from toolserver.nativethreads import offload

__all__ = [
    "FileExists",
    "FileMissing",
    "FileNameRefused",
    "FileStatus",
    "Files",
    "PublicFiles",
    "Storage",
]

#: Content up to this size is read in place: that takes less than another thread would.
_SMALL = 256 * 1024
#: What Linux takes as one part of a path, bytes.
_PART_SIZE = 255
_NAME_SIZE = 1024
_DEPTH = 32
_SHOWN = 64
# Separators to some clients, ends of names in C, and what no log shows.
_FORBIDDEN = re.compile(r"[\x00-\x1f\x7f\\\ud800-\udfff]")


class FileNameRefused(InvalidParams, ValueError):
    """The name of a file is none that a tool may use."""


class FileMissing(NotFound, FileNotFoundError):
    """There is no file of that name."""


class FileExists(Conflict, FileExistsError):
    """There is a file of that name, or a folder, or a file in the place of one."""


@dataclass(frozen=True)
class FileStatus:
    """What is known of a file without reading it.

    Attributes:
        size: Its size, bytes.
        modified: When it was last changed, seconds since 1970.
    """

    size: int
    modified: float


class Files:
    """Files in a folder.

    Names are relative, with slashes: ``"pages/start.html"``. Folders come and go with
    their files. Refused are names with empty parts, parts that begin with ``.`` or
    ``~``, backslashes and control characters, of more than 1024 bytes or 32 parts.
    Links in the folder are treated as if they were not there.

    Args:
        tree: The folder.
    """

    def __init__(self, tree: FileTree) -> None:
        self._tree = tree

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._tree.root}>"

    def read(self, name: str) -> bytes:
        """Read a file.

        Args:
            name: Its name.

        Raises:
            FileMissing: There is none of that name.
            FileNameRefused: The name cannot be used.
            OSError: It cannot be read.
        """
        parts = _parts(name)
        with _told(name):
            status = self._tree.stat(parts)
            if status.st_size <= _SMALL:
                return self._tree.read(parts)
            return offload(self._tree.read, parts)

    def read_text(self, name: str) -> str:
        """Read a file of text in UTF-8.

        Args:
            name: Its name.

        Raises:
            FileMissing: There is none of that name.
            FileNameRefused: The name cannot be used.
            UnicodeDecodeError: It is no such text.
            OSError: It cannot be read.
        """
        return self.read(name).decode()

    def open(self, name: str) -> BinaryIO:
        """Open a file for reading, to read it in pieces or to return it.

        Args:
            name: Its name.

        Returns:
            The file; the caller closes it, or returns it as the result of a method.

        Raises:
            FileMissing: There is none of that name.
            FileNameRefused: The name cannot be used.
            OSError: It cannot be read.
        """
        parts = _parts(name)
        with _told(name):
            return self._tree.open(parts)

    def write(self, name: str, content: bytes | str, *, durable: bool = True) -> bool:
        """Write a file, if it has other content than that.

        Whoever reads it meanwhile gets all of the old or all of the new content. If
        it fails, the old content stays.

        Args:
            name: Its name.
            content: All of its content; text is written in UTF-8.
            durable: Whether it has to be on the disk on return, so that even a power
                failure cannot undo it.

        Returns:
            Whether it was changed.

        Raises:
            FileExists: The name is that of a folder, or a file is in the place of one
                of its folders.
            FileNameRefused: The name cannot be used.
            OSError: It cannot be written.
        """
        return self._write(name, content, durable=durable, replaces=True)

    def create(self, name: str, content: bytes | str, *, durable: bool = True) -> None:
        """Write a file that does not exist; of many callers at once one succeeds.

        Args:
            name: Its name.
            content: All of its content; text is written in UTF-8.
            durable: Whether it has to be on the disk on return.

        Raises:
            FileExists: There is one of that name.
            FileNameRefused: The name cannot be used.
            OSError: It cannot be written.
        """
        self._write(name, content, durable=durable, replaces=False)

    def exists(self, name: str) -> bool:
        """Whether there is a file of that name.

        Args:
            name: The name.

        Raises:
            FileNameRefused: The name cannot be used.
            OSError: It cannot be looked for.
        """
        try:
            self.stat(name)
        except FileMissing:
            return False
        return True

    def stat(self, name: str) -> FileStatus:
        """Size and time of a file.

        Args:
            name: Its name.

        Raises:
            FileMissing: There is none of that name.
            FileNameRefused: The name cannot be used.
            OSError: It cannot be looked for.
        """
        parts = _parts(name)
        with _told(name):
            status = self._tree.stat(parts)
        return FileStatus(status.st_size, status.st_mtime)

    def list(
        self, folder: str = "", *, pattern: str = "*", recursive: bool = True
    ) -> builtins.list[str]:
        """The names of the files, or of those in a folder.

        Args:
            folder: The folder; by default all of them are listed.
            pattern: What the last part of their names has to match, such as
                ``"*.html"``.
            recursive: Whether those in folders below are listed, too.

        Returns:
            Their names as the other methods take them, sorted; none if there is no
            such folder.

        Raises:
            FileNameRefused: The name of the folder cannot be used.
            OSError: A folder cannot be read.
        """
        parts = _parts(folder) if folder else []
        with _told(folder):
            return offload(self._tree.walk, parts, pattern, recursive=recursive)

    def delete(self, name: str) -> None:
        """Delete a file.

        Args:
            name: Its name.

        Raises:
            FileMissing: There is none of that name.
            FileNameRefused: The name cannot be used.
            OSError: It cannot be deleted.
        """
        parts = _parts(name)
        with _told(name):
            self._tree.delete(parts)

    def _write(
        self, name: str, content: bytes | str, *, durable: bool, replaces: bool
    ) -> bool:
        parts = _parts(name)
        data = (
            content.encode()
            if isinstance(content, str)
            else memoryview(content).tobytes()
        )
        with _told(name):
            if len(data) <= _SMALL and not durable:
                return self._tree.write(parts, data, durable=False, replaces=replaces)
            return offload(
                self._tree.write, parts, data, durable=durable, replaces=replaces
            )


class PublicFiles(Files):
    """Files that everybody may get, below the path of their tool.

    Args:
        tree: The folder.
        path: The path of its URL, with a slash at its end.
    """

    def __init__(self, tree: FileTree, path: str) -> None:
        super().__init__(tree)
        self._path = path

    def url(self, name: str) -> str:
        """The path of a file's URL, such as ``"/shop/pages/start.html"``.

        Args:
            name: The name of the file, which need not exist.

        Raises:
            FileNameRefused: The name cannot be used.
        """
        return self._path + quote("/".join(_parts(name)))


class Storage(Files):
    """The private files of a tool, and as `public` those that everybody may get.

    Args:
        home: The folders of the server.
        names: The tool's namespace, and for what a factory made the names of its
            folders in that of the factory.
    """

    def __init__(self, home: Home, *names: str) -> None:
        namespace, *below = names
        # No namespace has a tilde in it.
        folder = home.var / "tools" / (namespace or "~root")
        super().__init__(FileTree(os.path.join(folder, *below), is_private=True))
        self._home = home
        self._names = names

    @cached_property
    def public(self) -> PublicFiles:
        """The files that everybody may get, below the path of the tool."""
        namespace, *below = self._names
        parts = [*(part for part in namespace.split(".") if part), *below]
        tree = FileTree(os.path.join(self._home.www, *parts), is_private=False)
        return PublicFiles(tree, "/" + "".join(f"{part}/" for part in parts))

    def of_key(self, key: str) -> Storage:
        """The files of a tool that a factory with these files makes.

        Args:
            key: The key of the tool.
        """
        # Names of files never begin with a tilde, so that this one is the tool's alone.
        return Storage(self._home, *self._names, f"~{_hash_of(key)}")


def _hash_of(key: str) -> str:
    return hashlib.sha256(key.encode(errors="surrogatepass")).hexdigest()


def _parts(name: str) -> list[str]:
    """Take the name of a file apart, or refuse it."""
    if not isinstance(name, str):
        raise TypeError(f"name of a file: got {name!r}, expected a str")
    parts = name.split("/", _DEPTH)
    if (
        len(name) > _NAME_SIZE
        or _FORBIDDEN.search(name)
        or len(name.encode()) > _NAME_SIZE
        or len(parts) > _DEPTH
        or any(
            not part or part[0] in ".~" or len(part.encode()) > _PART_SIZE
            for part in parts
        )
    ):
        shown = name if len(name) <= _SHOWN else f"{name[:_SHOWN]}…"
        raise FileNameRefused(
            f"name of a file: got {shown!r}, expected parts joined by '/', none of "
            "them empty, too long or beginning with '.' or '~'"
        )
    return parts


@contextmanager
def _told(name: str) -> Iterator[None]:
    """Tell failures by the name that the tool has used, not by the server's path."""
    try:
        yield
    except FileNotFoundError:
        raise FileMissing(f"no file {name!r}") from None
    except (FileExistsError, IsADirectoryError):
        raise FileExists(f"there is a file or folder {name!r} already") from None
    except NotADirectoryError:
        raise FileExists(f"{name!r}: one of its folders is a file") from None
    except OSError as error:
        raise OSError(error.errno, error.strerror, name) from error
