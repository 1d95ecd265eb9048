"""How MCP requests say which revision they speak, and what is wrong with some.

Revisions to 2025-11-25 begin with a handshake (``initialize``) and name the revision in
a header afterwards. From 2026-07-28 on each request stands by itself: it names the
revision and what its client can in ``params._meta``, and repeats in headers what
proxies look at.

Spec: Model Context Protocol, revision 2026-07-28, basic, versioning and Streamable
HTTP.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from typing import Any, ClassVar

from toolserver.errors import InvalidParams, ToolserverError
from toolserver.message import Request

__all__ = [
    "HANDSHAKE",
    "LOG_LEVEL",
    "STATELESS",
    "HeaderMismatch",
    "MissingCapability",
    "UnsupportedVersion",
    "check_stateless",
    "has_extension",
    "is_stateless",
    "routing_headers",
    "version_of",
]

#: Revisions that begin with a handshake, the oldest first.
HANDSHAKE = ("2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25")
#: Revisions in which each request stands by itself.
STATELESS = ("2026-07-28",)
#: What a request without a header speaks (revision 2025-06-18, transports).
_ASSUMED = "2025-03-26"

_VERSION = "io.modelcontextprotocol/protocolVersion"
_CAPABILITIES = "io.modelcontextprotocol/clientCapabilities"
#: The member of ``_meta`` that says from which level on logs are followed.
LOG_LEVEL = "io.modelcontextprotocol/logLevel"
#: Which parameter of a method a proxy finds in the header ``Mcp-Name``.
_NAMED = {
    "tools/call": "name",
    "prompts/get": "name",
    "resources/read": "uri",
    **dict.fromkeys(("tasks/get", "tasks/update", "tasks/cancel"), "taskId"),
}


#: What a header can carry as it is (revision 2026-07-28, Streamable HTTP, headers).
_PLAIN = re.compile(r"[!-~](?:[ -~]*[!-~])?")


class HeaderMismatch(ToolserverError):
    """A header of a request does not say what its body says."""

    code: ClassVar[int] = -32020
    status: ClassVar[int] = 400


class UnsupportedVersion(ToolserverError):
    """The server does not speak the revision of the request.

    Args:
        requested: What the client has asked for.
    """

    code: ClassVar[int] = -32022
    status: ClassVar[int] = 400

    def __init__(self, requested: str) -> None:
        data = {"supported": list(STATELESS), "requested": requested}
        super().__init__("unsupported protocol version", data=data)


class MissingCapability(ToolserverError):
    """A request needs something of its client that the client has not declared.

    Args:
        required: The capabilities that it needs.
    """

    code: ClassVar[int] = -32021
    status: ClassVar[int] = 400

    def __init__(self, required: Mapping[str, Any]) -> None:
        data = {"requiredCapabilities": dict(required)}
        super().__init__("missing required client capability", data=data)


def version_of(request: Request) -> str:
    """The revision that a request speaks, by its header.

    Args:
        request: The request.

    Raises:
        UnsupportedVersion: It is none that the server speaks.
    """
    version: str | None = request.headers.get("mcp-protocol-version")
    if version is None:
        return _ASSUMED
    if version not in HANDSHAKE and version not in STATELESS:
        raise UnsupportedVersion(version[:64])
    return version


def is_stateless(version: str) -> bool:
    """Whether requests of a revision stand by themselves."""
    return version in STATELESS


def check_stateless(request: Request, message: Mapping[str, Any]) -> None:
    """Make sure that a request that stands by itself is whole and agrees with itself.

    Args:
        request: The request.
        message: Its body, a JSON-RPC request whose parameters, if any, are an object.

    Raises:
        InvalidParams: A part of its envelope is missing.
        HeaderMismatch: A header and the body differ.
        UnsupportedVersion: It speaks a revision that the server does not.
    """
    params = message.get("params") or {}
    meta = params.get("_meta")
    if not isinstance(meta, dict):
        raise InvalidParams(
            f"params._meta: expected an object with {_VERSION!r} and {_CAPABILITIES!r}"
        )
    for key in (_VERSION, _CAPABILITIES):
        if key not in meta:
            raise InvalidParams(f"params._meta: {key!r} is missing")
    if not isinstance(meta[_CAPABILITIES], dict):
        raise InvalidParams(f"params._meta: {_CAPABILITIES!r}: expected an object")
    version, method = meta[_VERSION], message["method"]
    headers = request.headers
    if headers.get("mcp-protocol-version") != version:
        raise HeaderMismatch(
            f"MCP-Protocol-Version: expected what params._meta says, {version!r:.70}"
        )
    if headers.get("mcp-method") != method:
        raise HeaderMismatch(f"Mcp-Method: expected {method!r:.70}, as the body says")
    name = params.get(_NAMED.get(method, ""))
    if name is not None and _decoded(headers.get("mcp-name")) != name:
        raise HeaderMismatch(f"Mcp-Name: expected {name!r:.130}, as the body says")
    if version not in STATELESS:
        raise UnsupportedVersion(version[:64])


def routing_headers(method: str, params: Mapping[str, Any]) -> dict[str, str]:
    """The headers that repeat what a request that stands by itself says.

    Args:
        method: The method.
        params: The parameters, with their ``_meta``.

    Returns:
        The headers; none for a request of a revision with a handshake.
    """
    meta = params.get("_meta")
    version = meta.get(_VERSION) if isinstance(meta, dict) else None
    if not isinstance(version, str):
        return {}
    found = {"MCP-Protocol-Version": version, "Mcp-Method": method}
    name = params.get(_NAMED.get(method, ""))
    if isinstance(name, str):
        found["Mcp-Name"] = _encoded(name)
    return found


def has_extension(params: Mapping[str, Any], extension: str) -> bool:
    """Whether the client of a stateless request declares that it knows an extension.

    Args:
        params: The parameters of the request.
        extension: The name of the extension.
    """
    meta = params.get("_meta")
    found: Any = meta.get(_CAPABILITIES) if isinstance(meta, dict) else None
    known = found.get("extensions") if isinstance(found, dict) else None
    return isinstance(known, dict) and isinstance(known.get(extension), dict)


def _encoded(value: str) -> str:
    """A text as a header carries it: as it is, or in base64."""
    if _PLAIN.fullmatch(value) is not None and not value.startswith("=?"):
        return value
    return f"=?base64?{base64.b64encode(value.encode()).decode()}?="


def _decoded(value: str | None) -> str | None:
    """A header's value, which may be in base64 where it is not plain ASCII."""
    if value is None or not (value.startswith("=?base64?") and value.endswith("?=")):
        return value
    try:
        return base64.b64decode(value[9:-2], validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return None
