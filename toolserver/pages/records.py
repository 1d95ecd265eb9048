"""The records and choices that the methods of a tool take and give."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator
from urllib.parse import quote

from markupsafe import Markup

from toolserver.describe.docstrings import parse_docstring
from toolserver.describe.prose import docformat_of, to_html
from toolserver.markup.pages import html
from toolserver.methods import MethodSpec
from toolserver.types import Field, Kind, Type

__all__ = ["explained"]


def explained(specs: Iterable[MethodSpec]) -> Iterator[Markup]:
    """Explain the types that methods name and readers cannot know.

    Args:
        specs: The methods.

    Yields:
        A section for each record and enumeration, by name.
    """
    found: dict[str, Type] = {}
    for spec in specs:
        for parameter in (*spec.parameters, spec.rest, spec.extra):
            if parameter is not None:
                _collect(parameter.type, found)
        _collect(spec.returns, found)
    if not found:
        return
    yield html.h2("Types", class_="group")
    for name, type_ in sorted(found.items()):
        yield _explain(name, type_)


def _collect(type_: Type, found: dict[str, Type]) -> None:
    name = type_.name.removesuffix(" | None")
    if type_.kind in (Kind.RECORD, Kind.ENUM):
        if name in found:
            return
        found[name] = type_
    for inner in type_.items:
        _collect(inner, found)
    for field in type_.fields:
        _collect(field.type, found)


def _explain(name: str, type_: Type) -> Markup:
    cls = type_.hint if isinstance(type_.hint, type) else object
    doc = inspect.cleandoc(vars(cls).get("__doc__") or "")
    # What dataclasses write of themselves is their signature.
    told = parse_docstring("" if doc.startswith(f"{cls.__name__}(") else doc)
    docformat = docformat_of(cls)
    if type_.kind is Kind.ENUM:
        content = html.p(
            [(html.code(repr(value)), " ") for value in type_.values], class_="values"
        )
    else:
        content = html.table(
            html.thead(
                html.tr(
                    html.th(text, scope="col")
                    for text in ("member", "type", "default", "meaning")
                )
            ),
            html.tbody(
                html.tr(
                    html.th(html.code(field.name), scope="row"),
                    html.td(html.code(field.type.name)),
                    html.td(_default(field)),
                    html.td(to_html(told.parameters.get(field.name, ""), docformat)),
                )
                for field in type_.fields
            ),
            class_="parameters",
        )
    return html.section(
        html.h3(html.code(name)),
        to_html(told.summary, docformat),
        to_html(told.text, docformat),
        content,
        id=f"type-{quote(name)}",
        class_="method",
    )


def _default(field: Field) -> str | Markup:
    if field.required:
        return "required"
    if field.default is inspect.Parameter.empty:
        return "optional"
    return html.code(repr(field.default))
