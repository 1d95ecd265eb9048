"""The REST side of tools as an OpenAPI document.

It tells what the server does, not what it would be nice to have: the verbs that answer,
what is converted, what is answered, and how it fails.

Spec: OpenAPI 3.1.1, https://spec.openapis.org/oas/v3.1.1.html
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from toolserver.describe.background import BACKGROUND
from toolserver.describe.constraints import is_portable
from toolserver.describe.docstrings import parse_docstring
from toolserver.describe.jsonschema import Schemas
from toolserver.describe.keyedrequests import PARAMETERS
from toolserver.describe.operations import describe_operation, path_parameters
from toolserver.describe.problems import COMPONENTS
from toolserver.describe.standins import Placed, place
from toolserver.endpoints import ANY, INDEX, Endpoint, endpoints_of
from toolserver.entries import ToolEntry
from toolserver.methods import Parameter

__all__ = ["Info", "describe_rest"]

#: What holds for all methods, and what no field of OpenAPI can say.
_CONVENTIONS = (
    "HEAD is answered wherever GET is, and OPTIONS everywhere, with `Allow`; other "
    "verbs get 405. Arguments may also be given in the query of any request, and "
    "positional ones as further elements of the path. A body may be "
    "`multipart/form-data` wherever it may be urlencoded, and a JSON array gives "
    "arguments by position. Failures are told as `application/problem+json`, or as "
    "text or a page to who prefers that; what the HTTP server refuses by itself, as "
    "plain text. `Prefer: respond-async` (RFC 7240) has a call made without its "
    "caller: the answer is 202, and `Location` tells where to ask for the result."
)
_VERBS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")


@dataclass(frozen=True)
class Info:
    """What a document says of itself.

    Attributes:
        title: What the service is called.
        version: The version of what it offers.
        description: What it is for, in Markdown.
        url: Its address.
        security_schemes: How callers may say who they are, by name: Security Scheme
            Objects of OpenAPI.
    """

    title: str
    version: str
    description: str
    url: str
    security_schemes: Mapping[str, Any] = field(default_factory=dict)


def describe_rest(entries: Iterable[ToolEntry], info: Info) -> dict[str, Any]:
    """Describe tools as they are called over REST.

    Args:
        entries: The tools; factories stand for all that they may make.
        info: What the document says of itself.

    Returns:
        The document.
    """
    document = _Document(has_accounts=bool(info.security_schemes))
    for entry in entries:
        # REST has no place for tokens: it refuses all calls of such a tool.
        if not entry.tool._takes_token:
            for placed in place(entry):
                document.add(placed)
    texts = [text for text in (info.description, _CONVENTIONS) if text]
    return document.finish(
        {
            "openapi": "3.1.1",
            "info": {
                "title": info.title,
                "version": info.version,
                "description": "\n\n".join(texts),
            },
            "servers": [{"url": info.url.rstrip("/") or "/"}],
        },
        info.security_schemes,
    )


class _Document:
    """Collects the paths of a document."""

    def __init__(self, *, has_accounts: bool) -> None:
        self._has_accounts = has_accounts
        self._schemas = Schemas("#/components/schemas/", taken=COMPONENTS["schemas"])
        self._paths: dict[str, dict[str, Any]] = {}
        self._tags: list[dict[str, Any]] = []
        self._ids: set[str] = set()

    def add(self, placed: Placed) -> None:
        """Add a tool.

        Args:
            placed: The tool and its path.
        """
        operations = list(self._operations(placed))
        if not operations:
            return
        tag = placed.name or "/"
        if all(each["name"] != tag for each in self._tags):
            text = _text_of(placed.entry)
            self._tags.append({"name": tag, **({"description": text} if text else {})})
        for path, verb, operation in operations:
            item = self._paths.setdefault(path, {})
            # Of several kinds of tools under one key the first one is described.
            if verb not in item:
                keys = [_key_parameter(*pattern) for pattern in placed.patterns]
                if keys:
                    item["parameters"] = keys
                item[verb] = {"tags": [tag], **operation}

    def finish(
        self, head: dict[str, Any], security_schemes: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Put the document together.

        Args:
            head: Its first members.
            security_schemes: How callers may say who they are.

        Returns:
            The document.
        """
        components = {
            "schemas": {**COMPONENTS["schemas"], **self._schemas.definitions()},
            "responses": {**COMPONENTS["responses"], **BACKGROUND["responses"]},
            "headers": COMPONENTS["headers"],
            "parameters": {**BACKGROUND["parameters"], **PARAMETERS},
            "securitySchemes": dict(security_schemes),
        }
        # Nobody has to: tools decide, and a name may come from the address, too.
        security: list[dict[str, list[str]]] = [{}]
        security += [{name: []} for name in security_schemes]
        document = {
            **head,
            **({"security": security} if security_schemes else {}),
            "tags": self._tags,
            "paths": self._paths,
            "components": components,
        }
        found: dict[str, Any] = self._schemas.resolve(document)
        return found

    def _operations(self, placed: Placed) -> Iterator[tuple[str, str, dict[str, Any]]]:
        entry = placed.entry
        for name in sorted({*entry.methods, *entry.rest_methods}):
            endpoints = endpoints_of(entry, name)
            for verb in _VERBS:
                endpoint = endpoints.get(verb)
                if endpoint is None or (verb == "HEAD" and "GET" in endpoints):
                    continue
                path, parameters = _path_of(placed, name)
                yield (
                    path,
                    verb.lower(),
                    self._describe(placed, endpoint, name, verb, parameters),
                )
                in_path = () if name == INDEX else path_parameters(endpoint)
                keys = {key for key, _ in placed.patterns}
                if in_path and keys.isdisjoint(each.name for each in in_path):
                    elements = "".join(f"/{{{each.name}}}" for each in in_path)
                    yield (
                        path + elements,
                        verb.lower(),
                        self._describe(placed, endpoint, name, verb, [], in_path),
                    )

    def _describe(
        self,
        placed: Placed,
        endpoint: Endpoint,
        name: str,
        verb: str,
        parameters: list[dict[str, Any]],
        in_path: tuple[Parameter, ...] = (),
    ) -> dict[str, Any]:
        operation = describe_operation(
            self._schemas,
            endpoint,
            verb,
            in_path=in_path,
            has_key=bool(placed.patterns) or placed.entry.is_transient,
            has_accounts=self._has_accounts,
        )
        if parameters:
            operation["parameters"] = [*parameters, *operation.get("parameters", [])]
        words = [placed.name, "any" if name == ANY else name.strip("/"), verb.lower()]
        if in_path:
            words.append("path")
        identity = base = ".".join(word for word in words if word).replace("/", ".")
        number = 1
        while identity in self._ids:
            number += 1
            identity = f"{base}.{number}"
        self._ids.add(identity)
        return {"operationId": identity, **operation}


def _path_of(placed: Placed, name: str) -> tuple[str, list[dict[str, Any]]]:
    """The path of a method, and the parameters that are in it besides keys."""
    if name.startswith("/"):
        return name, []
    if name == INDEX:
        return placed.path, []
    if name == ANY:
        rest = {
            "name": "path",
            "in": "path",
            "required": True,
            "description": "Whatever follows; it may have several elements.",
            "schema": {"type": "string", "minLength": 1},
        }
        return f"{placed.path}{{path}}", [rest]
    return placed.path + quote(name, safe=""), []


def _key_parameter(name: str, pattern: str) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "string", "minLength": 1}
    if is_portable(pattern):
        schema["pattern"] = f"^(?:{pattern})$"
    return {
        "name": name,
        "in": "path",
        "required": True,
        "description": "The key of a tool.",
        "schema": schema,
    }


def _text_of(entry: ToolEntry) -> str:
    doc = parse_docstring(_doc_of(type(entry.tool)))
    invariants = "\n".join(f"- Invariant: {text}" for text in entry.invariants)
    return "\n\n".join(part for part in (doc.summary, doc.text, invariants) if part)


def _doc_of(cls: type) -> str:
    """The doc string of a tool class, unless it is that of a base of the framework."""
    return inspect.cleandoc(vars(cls).get("__doc__") or "")
