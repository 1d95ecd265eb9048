"""Resources as agents are told of them: methods, tools' descriptions, static files.

Spec: Model Context Protocol, revision 2026-07-28, resources; RFC 6570, level 1, for
templates.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any
from urllib.parse import unquote

from toolserver.describe.docstrings import parse_docstring
from toolserver.describe.prose import doc_of
from toolserver.entries import Target, ToolEntry
from toolserver.methods import MethodSpec, ResourceMark

__all__ = [
    "DESCRIPTIONS",
    "describe_resource",
    "description_of",
    "is_template",
    "match_resource",
    "places_of",
]

#: What the URIs of the descriptions of tools begin with; then comes the namespace.
DESCRIPTIONS = "toolserver:tools/"

_PLACE = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)\}")


def places_of(uri: str) -> list[str]:
    """The names of the places in a URI that are to be filled in.

    Args:
        uri: The URI, or a template of some.
    """
    return _PLACE.findall(uri)


def is_template(uri: str) -> bool:
    """Whether a URI has places that are to be filled in."""
    return _PLACE.search(uri) is not None


def describe_resource(target: Target, mark: ResourceMark) -> dict[str, Any]:
    """Describe a method as a resource, or as a template of resources.

    Args:
        target: The method.
        mark: Its mark as a resource.

    Returns:
        A Resource or a ResourceTemplate object.
    """
    doc = parse_docstring(target.spec.doc)
    key = "uriTemplate" if is_template(mark.uri) else "uri"
    found = {key: mark.uri, "name": target.name}
    if doc.summary:
        found["description"] = "\n\n".join(filter(None, (doc.summary, doc.text)))
    return {**found, "mimeType": mark.media_type}


def match_resource(
    resources: Iterable[tuple[Target, ResourceMark]], uri: str
) -> tuple[Target, ResourceMark, dict[str, str]] | None:
    """Find the method behind a URI.

    Args:
        resources: The methods that are offered, each with its mark.
        uri: The URI.

    Returns:
        The method with its mark and its arguments, or None.
    """
    for target, mark in resources:
        found = _pattern(mark.uri).fullmatch(uri)
        if found is not None:
            given = {name: unquote(text) for name, text in found.groupdict().items()}
            return target, mark, given
    return None


def _pattern(uri: str) -> re.Pattern[str]:
    """What the URIs of a template look like: a value has no separators."""
    parts = _PLACE.split(uri)
    return re.compile(
        "".join(
            f"(?P<{part}>[^/?#&]+)" if place % 2 else re.escape(part)
            for place, part in enumerate(parts)
        )
    )


def description_of(entry: ToolEntry) -> str:
    """What a tool says of itself, in Markdown.

    Args:
        entry: The tool.

    Returns:
        Its doc string and those of its exported methods.
    """
    return "\n\n".join(_sections(entry)) + "\n"


def _sections(entry: ToolEntry) -> Iterator[str]:
    yield f"# {entry.namespace or 'the root tool'}"
    doc = parse_docstring(doc_of(type(entry.tool)))
    yield from filter(None, (doc.summary, doc.text))
    for _, target in sorted(entry.methods.items()):
        if target.exported:
            yield from _method(target.spec)


def _method(spec: MethodSpec) -> Iterator[str]:
    yield f"## {spec.name}"
    yield f"`{spec.name}{spec.signature}`"
    doc = parse_docstring(spec.doc)
    yield from filter(None, (doc.summary, doc.text))
    if doc.parameters:
        yield "\n".join(f"- `{name}`: {text}" for name, text in doc.parameters.items())
    if doc.returns:
        yield f"Returns: {doc.returns}"
    if doc.raises:
        yield "\n".join(f"- raises `{name}`: {text}" for name, text in doc.raises)
