"""Tools as JSON-RPC calls them, as an OpenRPC document.

Spec: OpenRPC 1.3.2, https://spec.open-rpc.org/
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from toolserver.describe.docstrings import DocString, parse_docstring
from toolserver.describe.jsonschema import Schemas
from toolserver.describe.openapi import Info
from toolserver.describe.raises import raised_by
from toolserver.entries import Target, ToolEntry
from toolserver.errors import (
    ApplicationError,
    CallTimeout,
    Forbidden,
    InvalidParams,
    RequireBroken,
    ToolserverError,
    Unauthenticated,
)
from toolserver.methods import MethodSpec, Parameter
from toolserver.tools import ObsoleteTool

__all__ = ["describe_rpc"]


def describe_rpc(entries: Iterable[ToolEntry], info: Info) -> dict[str, Any]:
    """Describe tools as they are called over JSON-RPC.

    Args:
        entries: The tools.
        info: What the document says of itself; its URL is that of the protocol.

    Returns:
        The document.
    """
    document = _Document()
    methods = [
        document.describe(target)
        for entry in entries
        for _, target in sorted(entry.methods.items())
        if target.exported
    ]
    head: dict[str, Any] = {"title": info.title, "version": info.version}
    if info.description:
        head["description"] = info.description
    return document.finish(
        {
            "openrpc": "1.3.2",
            "info": head,
            "servers": [{"name": "JSON-RPC 2.0", "url": info.url}],
            "methods": methods,
        }
    )


class _Document:
    """Collects what the methods of a document share."""

    def __init__(self) -> None:
        self._schemas = Schemas("#/components/schemas/")
        self._errors: dict[str, dict[str, Any]] = {}

    def describe(self, target: Target) -> dict[str, Any]:
        """Describe a method.

        Args:
            target: The method.

        Returns:
            A Method Object.
        """
        spec = target.spec
        doc = parse_docstring(spec.doc)
        found: dict[str, Any] = {"name": target.name}
        if target.tool.namespace:
            found["tags"] = [{"name": target.tool.namespace}]
        if doc.summary:
            found["summary"] = doc.summary
        description = _description(spec, doc)
        if description:
            found["description"] = description
        if isinstance(target.tool, ObsoleteTool):
            found["deprecated"] = True
        found["paramStructure"] = _structure(spec)
        found["params"] = [self._parameter(each, doc) for each in spec.parameters]
        result = {"name": "result", "schema": self._schemas.returned(spec.returns)}
        found["result"] = _with_text(result, doc.returns)
        found["errors"] = [self._error(error) for error in _errors_of(target)]
        return found

    def finish(self, head: dict[str, Any]) -> dict[str, Any]:
        """Put the document together.

        Args:
            head: Its other members.

        Returns:
            The document.
        """
        components = {
            "schemas": self._schemas.definitions(),
            "errors": dict(sorted(self._errors.items())),
        }
        found: dict[str, Any] = self._schemas.resolve(
            {**head, "components": components}
        )
        return found

    def _parameter(self, parameter: Parameter, doc: DocString) -> dict[str, Any]:
        found = {
            "name": parameter.name,
            "required": parameter.required,
            "schema": self._schemas.parameter(parameter, DocString()),
        }
        return _with_text(found, doc.parameters.get(parameter.name, ""))

    def _error(self, error: type[ToolserverError]) -> dict[str, str]:
        name = error.__name__
        text = (error.__doc__ or name).partition("\n")[0]
        self._errors.setdefault(name, {"code": error.code, "message": text})
        return {"$ref": f"#/components/errors/{name}"}


def _description(spec: MethodSpec, doc: DocString) -> str:
    further = [
        *(f"- Requires: {text}" for text in spec.requires),
        *(f"- Ensures: {text}" for text in spec.ensures),
    ]
    if spec.rest is not None:
        further.append(f"- Takes any number of further arguments: *{spec.rest}")
    if spec.extra is not None:
        further.append(f"- Takes further arguments by name: **{spec.extra}")
    return "\n\n".join(part for part in (doc.text, "\n".join(further)) if part)


def _structure(spec: MethodSpec) -> str:
    """How arguments may be given, so that all of them can be."""
    if spec.extra is not None or len(spec.parameters) > spec.positional:
        return "by-name"
    return "by-position" if spec.rest is not None else "either"


def _errors_of(target: Target) -> list[type[ToolserverError]]:
    found: list[type[ToolserverError]] = [InvalidParams, ApplicationError]
    if target.tool_validators or target.method_validators:
        found += [Unauthenticated, Forbidden]
    if target.spec.requires:
        found.append(RequireBroken)
    if target.timeout is not None:
        found.append(CallTimeout)
    function = getattr(type(target.tool), target.spec.attribute, None)
    if function is not None:
        found += [
            error
            for error, _ in raised_by([function])
            if issubclass(error, ToolserverError)
        ]
    return list(dict.fromkeys(found))


def _with_text(found: dict[str, Any], text: str) -> dict[str, Any]:
    return {**found, "description": text} if text else found
