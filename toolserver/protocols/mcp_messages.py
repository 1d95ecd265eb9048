"""Messages of MCP as they are written: responses, errors, notifications.

Spec: JSON-RPC 2.0; Model Context Protocol, revision 2026-07-28, basic, for what
stateless revisions add to each result.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from toolserver import __version__, strictjson
from toolserver.errors import InternalError, ToolserverError
from toolserver.protocols.mcp_methods import CACHEABLE

__all__ = ["dressed", "write_error", "write_log", "write_progress", "write_result"]

#: For how long lists may be kept, milliseconds. Each caller sees what it may use.
_TTL_MS = 60_000


def dressed(method: str, result: dict[str, Any]) -> dict[str, Any]:
    """A result with what stateless revisions add to each.

    Args:
        method: The method that was asked for.
        result: The result.
    """
    found = {"resultType": "complete", **result}
    if method in CACHEABLE:
        found |= {"ttlMs": _TTL_MS, "cacheScope": "private"}
    server = {"name": "toolserver", "version": __version__}
    own = {"io.modelcontextprotocol/serverInfo": server}
    found["_meta"] = {**found.get("_meta", {}), **own}
    return found


def write_result(id_: Any, result: dict[str, Any]) -> bytes:
    """Write a response.

    Args:
        id_: The number of the request.
        result: The result.

    Raises:
        ApplicationError: JSON cannot carry it.
    """
    return strictjson.encode({"jsonrpc": "2.0", "id": id_, "result": result})


def write_error(id_: Any, error: ToolserverError) -> bytes:
    """Write a response that tells an error.

    Args:
        id_: The number of the request; None where it has none.
        error: The error.

    Raises:
        ApplicationError: JSON cannot carry the facts that go with it.
    """
    told: dict[str, Any] = {"code": error.code, "message": error.message}
    data = error.data
    if isinstance(error, InternalError):
        data = {"reference": error.reference}
    if isinstance(data, Mapping) and data:
        told["data"] = data
    return strictjson.encode({"jsonrpc": "2.0", "id": id_, "error": told})


def write_progress(token: str | int, fraction: float, text: str) -> str:
    """Write a notification of progress.

    Args:
        token: What the caller knows the call by.
        fraction: How much is done, from 0 to 1.
        text: What is being done.
    """
    params = {"progressToken": token, "progress": fraction, "total": 1.0}
    if text:
        params["message"] = text
    return _notification("notifications/progress", params)


def write_log(level: str, logger: str, text: str) -> str:
    """Write a notification of what was logged.

    Args:
        level: The name of its level.
        logger: The name of the logger.
        text: The message; what no JSON text can carry is escaped.
    """
    data = text.encode("utf-8", "backslashreplace").decode()
    params = {"level": level, "logger": logger, "data": data}
    return _notification("notifications/message", params)


def _notification(method: str, params: dict[str, Any]) -> str:
    message = {"jsonrpc": "2.0", "method": method, "params": params}
    return strictjson.encode(message).decode()
