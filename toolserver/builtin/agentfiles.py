"""Static files as resources of agents."""

from __future__ import annotations

import mimetypes
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote, unquote

from toolserver.calls import Call
from toolserver.contexts import Context, bind, current
from toolserver.dispatcher import run_validators
from toolserver.filetree import FileTree
from toolserver.media import Document
from toolserver.nativethreads import offload
from toolserver.services import Services

__all__ = ["AgentFiles"]

#: Files that are listed at most, and how large one may be that is read, bytes.
_LISTED, _LARGEST = 2000, 1_000_000


class AgentFiles:
    """The files below ``www/``, under the URLs by which browsers get them.

    Args:
        services: The parts of the server.
        is_on: Whether they are offered.
    """

    def __init__(self, services: Services, *, is_on: bool) -> None:
        self._services = services
        home = services.home
        is_served = is_on and home is not None and services.settings.static.enabled
        self._tree = FileTree(str(home.www), False) if home and is_served else None

    def listed(self) -> list[dict[str, Any]]:
        """The files that the caller may read, as Resource objects."""
        return list(self._listed())

    def _listed(self) -> Iterator[dict[str, Any]]:
        if self._tree is None:
            return
        names = offload(self._tree.walk, [], "*", recursive=True)
        url = self._services.url
        for name in names[:_LISTED]:
            if self._may_read(name):
                found = {"uri": url + quote(name), "name": name}
                yield {**found, "mimeType": _media_type(name)}

    def read(self, uri: str) -> Document | None:
        """Read a file.

        Args:
            uri: Its URL.

        Returns:
            The file; None if there is none, or the caller may not read it.
        """
        url = self._services.url
        if self._tree is None or not uri.startswith(url):
            return None
        name = unquote(uri.removeprefix(url))
        parts = name.split("/")
        if any(part in ("", "..") or part.startswith((".", "~")) for part in parts):
            return None
        if "\0" in name or not self._may_read(name):
            return None
        content = offload(_read, self._tree, parts)
        if content is None:
            return None
        media_type = _media_type(name)
        if media_type.startswith("text/") or media_type.endswith(("json", "xml")):
            try:
                return Document(uri, content.decode(), media_type)
            except UnicodeDecodeError:
                pass
        return Document(uri, content, media_type)

    def _may_read(self, name: str) -> bool:
        """Whether the nearest tool lets the caller have a file below it."""
        found = self._services.registry.nearest(tuple(name.split("/")))
        if found is None or not found[0].file_validators:
            return True
        asking = (current() or Context()).nested(found[0].tool, "")
        asking.protocol = "FILES"
        with bind(asking):
            try:
                run_validators(found[0].file_validators, Call(f"/{name}"), asking)
            except Exception:  # why is the business of who asks for the file
                return False
        return True


def _read(tree: FileTree, parts: list[str]) -> bytes | None:
    try:
        if tree.stat(parts).st_size > _LARGEST:
            return None
        return tree.read(parts)
    except OSError:
        return None


def _media_type(name: str) -> str:
    return mimetypes.guess_type(name)[0] or "application/octet-stream"
