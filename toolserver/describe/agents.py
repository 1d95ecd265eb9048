"""Methods as agents are told of them: MCP tools.

Spec: Model Context Protocol, revision 2026-07-28, server features, tools.
"""

from __future__ import annotations

from typing import Any

from toolserver.describe.agentmembers import RESULT
from toolserver.describe.docstrings import DocString, parse_docstring
from toolserver.describe.jsonschema import Schemas
from toolserver.entries import Target
from toolserver.media import Media
from toolserver.methods import MethodSpec
from toolserver.types import Kind, Type

__all__ = ["describe_agent_tool", "is_wrapped", "tells_result"]

_OBJECTS = (Kind.RECORD, Kind.MAP)


def is_wrapped(type_: Type) -> bool:
    """Whether the results of a type are told within an object.

    Structured content is an object for clients of all revisions.

    Args:
        type_: The type of a method's result.
    """
    return type_.nullable or type_.kind not in _OBJECTS


def describe_agent_tool(target: Target, name: str) -> dict[str, Any]:
    """Describe a method as a tool of MCP.

    Args:
        target: The method.
        name: What agents call it.

    Returns:
        A Tool object.
    """
    spec = target.spec
    doc = parse_docstring(spec.doc)
    text = _description(spec, doc) or f"{_title(spec)}."
    found: dict[str, Any] = {"name": name, "description": text}
    schemas = Schemas()
    found["inputSchema"] = schemas.complete(schemas.arguments(spec))
    if tells_result(spec):
        found["outputSchema"] = _output(spec.returns, doc)
    found["annotations"] = _annotations(spec)
    return found


def _description(spec: MethodSpec, doc: DocString) -> str:
    """All that helps to decide about a call, in plain text."""
    parts = [doc.summary, doc.text]
    if doc.returns:
        parts.append(f"Returns: {doc.returns}")
    parts += [f"Requires: {text}" for text in spec.requires]
    parts += [f"Raises {name}: {text}" for name, text in doc.raises]
    return "\n\n".join(part for part in parts if part)


def tells_result(spec: MethodSpec) -> bool:
    """Whether the hints of a method say what structure it returns."""
    kind = spec.returns.kind
    return kind not in (Kind.NONE, Kind.ANY, Kind.OBJECT) and not _holds_media(
        spec.returns
    )


def _holds_media(type_: Type) -> bool:
    return type_.hint in Media or any(map(_holds_media, type_.items))


def _output(type_: Type, doc: DocString) -> dict[str, Any]:
    schemas = Schemas()
    schema = schemas.returned(type_)
    if not is_wrapped(type_):
        found = schemas.complete(schema)
        # Clients look for it at the top, where a reference does not show it.
        return {"type": "object", **found}
    if doc.returns:
        schema = {**schema, "description": doc.returns}
    return schemas.complete(
        {"type": "object", "properties": {RESULT: schema}, "required": [RESULT]}
    )


def _title(spec: MethodSpec) -> str:
    return spec.name.replace("_", " ").strip().capitalize() or spec.name


def _annotations(spec: MethodSpec) -> dict[str, Any]:
    found: dict[str, Any] = {
        "title": _title(spec),
        "readOnlyHint": spec.is_read_only,
    }
    if not spec.is_read_only:
        found["destructiveHint"] = spec.is_destructive
        found["idempotentHint"] = spec.is_idempotent
    return found
