"""Results as agents get them: blocks of content, and a structure.

Spec: Model Context Protocol, revision 2026-07-28, tools, tool result.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

from toolserver import strictjson
from toolserver.describe.agentmembers import ERROR, LIST, RESULT
from toolserver.describe.agents import is_wrapped, tells_result
from toolserver.entries import Target
from toolserver.errors import ToolserverError
from toolserver.media import Audio, Document, Image, Media
from toolserver.plain import to_plain

__all__ = ["block_of", "contents_of", "failure", "result_of"]


def result_of(target: Target | None, value: Any) -> dict[str, Any]:
    """What a method returned, as the result of a tool.

    Args:
        target: The method; None if it has gone meanwhile.
        value: What it returned.

    Returns:
        A CallToolResult object.

    Raises:
        ApplicationError: JSON cannot carry the value.
    """
    if value is None:
        return {"content": []}
    if isinstance(value, Media):
        return {"content": [block_of(value)]}
    if isinstance(value, (list, tuple)) and any(
        isinstance(part, Media) for part in value
    ):
        content = [block_of(part) for part in value]
        return {"content": content, "_meta": {LIST: True}}
    plain = to_plain(value)
    text = plain if isinstance(plain, str) else strictjson.encode(plain).decode()
    is_object = isinstance(plain, dict) and not (
        target is not None
        and tells_result(target.spec)
        and is_wrapped(target.spec.returns)
    )
    return {
        "content": [{"type": "text", "text": text}],
        "structuredContent": plain if is_object else {RESULT: plain},
    }


def failure(error: ToolserverError, *, tells_data: bool = True) -> dict[str, Any]:
    """What became of a call that failed, for an agent to mend its arguments.

    Args:
        error: What the caller learns of it.
        tells_data: Whether the facts that go with its message are told.

    Returns:
        A CallToolResult object.

    Raises:
        ApplicationError: JSON cannot carry the facts that go with it.
    """
    kind = type(error).__name__
    # A tool's own exception is told with its class already.
    data: dict[str, Any] = {"type": kind}
    message = error.message
    if not tells_data:
        message = message.encode("utf-8", "backslashreplace").decode()
    elif isinstance(error.data, Mapping):
        data.update(to_plain(error.data))
    elif error.data is not None:
        data["detail"] = to_plain(error.data)
    text = message if kind == "ToolFault" else f"{kind}: {message}"
    return {
        "content": [{"type": "text", "text": text}],
        "isError": True,
        "_meta": {ERROR: {"code": error.code, "message": message, "data": data}},
    }


def block_of(value: Any) -> dict[str, Any]:
    """A value as a block of content.

    Args:
        value: A picture, a sound, a document, or anything that JSON can carry.

    Returns:
        A ContentBlock object.
    """
    if isinstance(value, (Image, Audio)):
        kind = "image" if isinstance(value, Image) else "audio"
        data = base64.b64encode(value.data).decode()
        return {"type": kind, "data": data, "mimeType": value.media_type}
    if isinstance(value, Document):
        return {"type": "resource", "resource": contents_of(value)}
    text = value if isinstance(value, str) else strictjson.encode(value).decode()
    return {"type": "text", "text": text}


def contents_of(value: Image | Audio | Document, uri: str = "") -> dict[str, Any]:
    """A value as the contents of a resource.

    Args:
        value: A document, a picture or a sound.
        uri: What it is called, if not as a document says itself.

    Returns:
        A ResourceContents object.
    """
    if isinstance(value, Document):
        uri, content = uri or value.uri, value.content
    else:
        content = value.data
    found: dict[str, Any] = {"uri": uri, "mimeType": value.media_type}
    if isinstance(content, str):
        return {**found, "text": content}
    return {**found, "blob": base64.b64encode(content).decode()}
