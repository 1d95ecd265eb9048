"""WSGI applications inside the server, each below a path of its own.

They come from files in the home's ``wsgi/`` folder that call `register_wsgi`, and from
the setting ``wsgi.applications``.
"""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from toolserver.contexts import current
from toolserver.errors import StartError
from toolserver.http.wsgi_server import WSGIHandler
from toolserver.message import Request, Response

__all__ = ["Application", "Gateway", "configured", "register_wsgi", "registered"]

#: Below it stand the applications that have no mount point of their own.
PREFIX = "/WSGI/"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
#: Escapes of what may stand for itself, wherever it stands.
_UNRESERVED = re.compile(
    r"%(?:4[1-9A-Fa-f]|5[0-9Aa]|6[1-9A-Fa-f]|7[0-9Aa]|3[0-9]|2[DdEe]|5[Ff]|7[Ee])"
)
_MOUNT = re.compile(r"(?:/[A-Za-z0-9_.~-]+)+")


@dataclass(frozen=True)
class Application:
    """An application and where it stands.

    Attributes:
        name: What it is called.
        application: The WSGI application.
        mount: The path below which it stands, without a slash at its end.
        module: Name of the module that offers it.
    """

    name: str
    application: Any
    mount: str
    module: str = ""


#: The applications that were registered in this process, in order.
registered: list[Application] = []


def register_wsgi(name: str, app: Any, *, mount: str = "") -> None:
    """Serve a WSGI application.

    Args:
        name: What it is called; it stands below ``/WSGI/<name>/``.
        app: The application.
        mount: Another path below which it stands, such as ``/shop``.

    Raises:
        TypeError: The application cannot be called, or a name or path is malformed.
    """
    if not callable(app):
        raise TypeError(f"register_wsgi: got {app!r}, expected a WSGI application")
    if _NAME.fullmatch(name) is None:
        raise TypeError(f"register_wsgi: got the name {name!r}, expected a word")
    if mount and _MOUNT.fullmatch(mount) is None:
        raise TypeError(
            f"register_wsgi: got mount {mount!r}, expected a path like /shop"
        )
    module = sys._getframe(1).f_globals.get("__name__", "")
    registered.append(Application(name, app, mount or PREFIX + name, module))


def configured(lines: Iterable[str]) -> list[Application]:
    """Import the applications that the settings name.

    Args:
        lines: ``name=package.module:app`` or ``/mount=package.module:app`` each.

    Returns:
        The applications.

    Raises:
        StartError: A line is malformed, or what it names is not there.
    """
    found = []
    for line in lines:
        where, equals, target = line.partition("=")
        module, colon, attribute = target.partition(":")
        is_mount = _MOUNT.fullmatch(where) is not None
        if not (equals and colon and (is_mount or _NAME.fullmatch(where))):
            raise StartError(
                f"wsgi.applications: got {line!r}, expected name=package.module:app"
            )
        try:
            app = getattr(importlib.import_module(module), attribute)
        except Exception as error:
            raise StartError(
                f"wsgi.applications: {target}: {type(error).__name__}: {error}"
            ) from error
        if not callable(app):
            raise StartError(f"wsgi.applications: {target}: cannot be called")
        mount = where if is_mount else PREFIX + where
        found.append(Application(where, app, mount, module))
    return found


class _Mounted(WSGIHandler):
    """Runs an application below its mount point, as the client who was recognized."""

    def _make_environ(self, request: Request) -> dict[str, Any]:
        environ = super()._make_environ(request)
        context = current()
        if context is not None and context.client is not None:
            environ["REMOTE_USER"] = context.client
            environ["AUTH_TYPE"] = context.auth_type or ""
        return environ


class Gateway:
    """Finds and runs the applications.

    Args:
        applications: The applications; the longest mount point that fits is used.

    Attributes:
        modules: Names of the modules that offer them.

    Raises:
        StartError: Two have one mount point.
    """

    def __init__(self, applications: Iterable[Application]) -> None:
        self._handlers: dict[str, _Mounted] = {}
        self.modules: set[str] = set()
        for application in applications:
            mount = application.mount
            if mount in self._handlers:
                raise StartError(f"wsgi: two applications are mounted at {mount}")
            self.modules.add(application.module)
            environ = {"SCRIPT_NAME": mount}
            self._handlers[mount] = _Mounted(application.application, environ)
        self._longest_first = sorted(self._handlers, key=len, reverse=True)

    def __bool__(self) -> bool:
        return bool(self._handlers)

    @property
    def mounts(self) -> list[str]:
        """The mount points, sorted."""
        return sorted(self._handlers)

    def find(self, request: Request) -> str | None:
        """The mount point below which a path lies.

        Args:
            request: The request.

        Returns:
            The mount point, or None.
        """
        path = _normalized(request.raw_path)
        for mount in self._longest_first:
            if path.startswith(mount) and path[len(mount) :][:1] in ("", "/"):
                return mount
        return None

    def answer(self, request: Request, mount: str) -> Response:
        """Run the application of a mount point.

        Args:
            request: The request.
            mount: What `find` returned for it.

        Returns:
            The answer.

        Raises:
            AlreadyDone: The application has sent its answer by ``write``.
        """
        path = _normalized(request.raw_path)
        inside = request.replace(raw_path=path[len(mount) :])
        return self._handlers[mount](inside)


def _normalized(path: str) -> str:
    """A path without needless escapes: ``/%6dnt`` is ``/mnt`` (RFC 3986, 6.2.2.2)."""
    if "%" not in path:
        return path
    return _UNRESERVED.sub(lambda found: unquote(found[0]), path)
