"""Results of MCP tools, as the calls of other protocols return them.

Spec: Model Context Protocol, revision 2026-07-28, server features, tools, tool result.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import Any

from toolserver import strictjson
from toolserver.client.codecs import JSON_DEPTH
from toolserver.client.faults import make_error
from toolserver.client.jsonrpc import read_error
from toolserver.describe.agentmembers import ERROR, LIST, RESULT
from toolserver.errors import ApplicationError, ParseError
from toolserver.media import Audio, Document, Image

__all__ = ["read_result"]


def read_result(result: Mapping[str, Any]) -> Any:
    """Read the result of a tool.

    Args:
        result: A CallToolResult object.

    Returns:
        What the method has returned, as JSON has it; pictures, sounds and documents as
        objects of `toolserver.media`.

    Raises:
        ToolserverError: The tool has failed.
        ValueError: It is no such object.
    """
    blocks = result.get("content")
    if not isinstance(blocks, list) or not all(isinstance(x, dict) for x in blocks):
        raise ValueError("content: expected an array of objects")
    meta = result.get("_meta")
    meta = meta if isinstance(meta, dict) else {}
    if result.get("isError"):
        told = read_error(meta.get(ERROR))
        raise told or make_error(_text(blocks), code=ApplicationError.code)
    if "structuredContent" in result:
        return _unwrapped(result["structuredContent"], blocks)
    values = [_value(block) for block in blocks]
    if len(values) == 1 and not meta.get(LIST):
        return values[0]
    return values or None


def _unwrapped(structure: Any, blocks: list[dict[str, Any]]) -> Any:
    """A result, without the object around what is none by itself."""
    if not isinstance(structure, dict) or structure.keys() != {RESULT}:
        return structure
    # Where the tool has returned such an object itself, the text shows all of it.
    text = _text(blocks)
    if text.startswith("{"):
        try:
            if strictjson.decode(text.encode(), max_depth=JSON_DEPTH) == structure:
                return structure
        except ParseError:
            pass
    return structure[RESULT]


def _text(blocks: list[dict[str, Any]]) -> str:
    return "\n".join(str(each["text"]) for each in blocks if "text" in each)


def _value(block: dict[str, Any]) -> Any:
    """A block of content, as the method has returned it."""
    kind = block.get("type")
    if kind == "text":
        return str(block.get("text", ""))
    if kind == "image" or kind == "audio":
        made = Image if kind == "image" else Audio
        return made(_bytes(block.get("data")), str(block.get("mimeType", "")))
    if kind != "resource":
        # What else there is, links for instance, tells what it is itself.
        return block
    resource = block.get("resource")
    if not isinstance(resource, dict):
        raise ValueError("resource: expected an object")
    content = resource["text"] if "text" in resource else _bytes(resource.get("blob"))
    media_type = str(resource.get("mimeType", "text/plain"))
    return Document(str(resource.get("uri", "")), content, media_type)


def _bytes(text: Any) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, TypeError, ValueError) as error:
        raise ValueError("data: expected base64") from error
