"""What the shell completes: words that only a running server knows.

Whoever has pressed a key waits for it. So the server is asked with the least that does,
for a short time, and where that fails there is nothing to complete.
"""

from __future__ import annotations

import json
import os
import socket
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from urllib.parse import urlsplit

import click
from click.shell_completion import CompletionItem

from toolserver.errors import StartError
from toolserver.home import Home
from toolserver.pidfile import find_server

__all__ = ["complete_methods", "complete_namespaces"]

#: Seconds for which a shell waits at most, and bytes that it gets.
_TIMEOUT = 2.0
_MOST = 4_000_000
_TOKEN = "TOOLSERVER_TOKEN"  # noqa: S105 - the name of a variable


def complete_methods(
    ctx: click.Context, param: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Complete the full name of a method.

    Args:
        ctx: The command that is being typed.
        param: Its argument.
        incomplete: What is there of it.
    """
    names = _ask(ctx, "system.listMethods")
    return [CompletionItem(name) for name in names if name.startswith(incomplete)]


def complete_namespaces(
    ctx: click.Context, param: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Complete the namespace of a tool.

    Args:
        ctx: The command that is being typed.
        param: Its argument.
        incomplete: What is there of it.
    """
    names = _ask(ctx, "system.listTools")
    found = [name for name in names if name and name.startswith(incomplete)]
    return [CompletionItem(name) for name in found]


def _ask(ctx: click.Context, method: str) -> list[str]:
    """The names that a method of the server lists; none where it cannot be asked."""
    try:
        url = ctx.params.get("url") or _own_url(ctx)
        answer = _post(url, method, ctx.params.get("ca") or "") if url else b"{}"
        names = json.loads(answer).get("result", ())
    except (OSError, HTTPException, StartError, ValueError, AttributeError):
        return []
    # What is printed here becomes words of the shell.
    return sorted(str(name) for name in names if str(name).isprintable())


def _own_url(ctx: click.Context) -> str | None:
    """The address of the running server of the home."""
    given = ctx.find_root().params.get("home")
    found = find_server(Home.find(given))
    return None if found is None else found.url


def _post(url: str, method: str, ca: str) -> bytes:
    parts = urlsplit(url)
    connection = HTTPConnection(
        parts.hostname or "localhost", parts.port, timeout=_TIMEOUT
    )
    base = parts.path.rstrip("/")
    if parts.scheme == "https":
        # Takes time, which the others do not need.
        import ssl

        connection = HTTPSConnection(
            parts.hostname or "localhost",
            parts.port,
            timeout=_TIMEOUT,
            context=ssl.create_default_context(cafile=ca or None),
        )
    elif parts.scheme == "http+unix":
        connection.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.sock.settimeout(_TIMEOUT)
        connection.sock.connect(parts.path)
        base = ""
    headers = {"Content-Type": "application/json"}
    if token := os.environ.get(_TOKEN):
        headers["Authorization"] = f"Bearer {token}"
    call = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method})
    try:
        connection.request("POST", f"{base}/JSONRPC", call, headers)
        return connection.getresponse().read(_MOST)
    finally:
        connection.close()
