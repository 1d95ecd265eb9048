"""One method: what it takes and gives, and how it is called."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import quote

from markupsafe import Markup

from toolserver.describe.docstrings import DocString, parse_docstring
from toolserver.describe.prose import to_html
from toolserver.describe.snippets import Address, snippets
from toolserver.endpoints import Endpoint, endpoints_of
from toolserver.entries import ToolEntry
from toolserver.markup.content import Child
from toolserver.markup.pages import html
from toolserver.methods import MethodSpec
from toolserver.pages.forms import form
from toolserver.pages.site import Site, format_of
from toolserver.types import Kind

__all__ = ["method_section", "rest_line"]


def method_section(entry: ToolEntry, spec: MethodSpec, site: Site) -> Markup:
    """Write all that is known of a method.

    Args:
        entry: Its tool.
        spec: The method.
        site: What is known of the server.

    Returns:
        A section of the page.
    """
    told = parse_docstring(spec.doc)
    docformat = format_of(type(entry.tool), told)
    address = Address(site.server, entry.namespace, entry.path)
    endpoints = endpoints_of(entry, spec.name)
    # REST has no place for tokens: it refuses all calls of a tool that asks for them.
    if entry.tool._takes_token:
        endpoints = {}
    verbs = [
        verb
        for verb, endpoint in endpoints.items()
        if endpoint.parser is None and not endpoint.is_rest
    ]
    return html.section(
        html.h3(
            html.a(spec.name, href=f"#{quote(spec.name)}", class_="anchor"),
            _badges(spec),
        ),
        html.pre(html.code(f"{spec.name}{spec.signature}"), class_="signature"),
        to_html(told.summary, docformat),
        to_html(told.text, docformat),
        _parameters(spec, told, docformat),
        _outcome(spec, told, docformat),
        html.pre(html.code(told.examples)) if told.examples else None,
        rest_line(address.url(spec.name), endpoints),
        form(
            spec,
            url=address.url(spec.name) if "POST" in verbs else "",
            rpc=f"{site.server}JSONRPC",
            name=address.name(spec.name),
            told=told.parameters,
        ),
        html.details(
            html.summary("Call it from elsewhere"),
            (
                (html.h4(each.label), html.pre(html.code(each.code, class_="copy")))
                for each in snippets(
                    spec,
                    address,
                    verbs=verbs,
                    is_rendered=any(each.generators for each in endpoints.values()),
                )
            ),
        ),
        id=spec.name,
        class_="method",
    )


def _badges(spec: MethodSpec) -> list[Markup]:
    marks = {
        "read-only": spec.is_read_only,
        "destructive": spec.is_destructive,
        "idempotent": spec.is_idempotent,
    }
    return [html.span(text, class_="badge") for text, holds in marks.items() if holds]


def _parameters(spec: MethodSpec, told: DocString, docformat: str) -> Markup | None:
    parameters = [*spec.parameters]
    named = [(each.name, each) for each in parameters]
    if spec.rest is not None:
        named.append((f"*{spec.rest.name}", spec.rest))
    if spec.extra is not None:
        named.append((f"**{spec.extra.name}", spec.extra))
    if not named:
        return None
    return html.table(
        html.caption("Parameters"),
        html.thead(
            html.tr(
                html.th(text, scope="col")
                for text in ("name", "type", "default", "meaning")
            )
        ),
        html.tbody(
            html.tr(
                html.th(html.code(name), scope="row"),
                html.td(html.code(each.type.name)),
                html.td(
                    html.code(repr(each.default))
                    if not each.required
                    else ("" if name.startswith("*") else "required")
                ),
                html.td(to_html(told.parameters.get(each.name, ""), docformat)),
            )
            for name, each in named
        ),
        class_="parameters",
    )


def _outcome(spec: MethodSpec, told: DocString, docformat: str) -> Markup | None:
    items: list[Child] = []
    if told.returns or spec.returns.kind not in (Kind.ANY, Kind.NONE):
        items += [
            html.dt("Returns ", html.code(spec.returns.name)),
            html.dd(to_html(told.returns, docformat)) if told.returns else None,
        ]
    for label, texts in (("Requires", spec.requires), ("Ensures", spec.ensures)):
        if texts:
            items += [html.dt(label), (html.dd(html.code(text)) for text in texts)]
    if told.raises:
        items.append(html.dt("Raises"))
        items += [
            html.dd(html.code(name), " ", to_html(text, docformat))
            for name, text in told.raises
        ]
    return html.dl(items) if items else None


def rest_line(url: str, endpoints: Mapping[str, Endpoint]) -> Markup | None:
    """Tell how REST reaches a method, and in which forms it answers.

    Args:
        url: Its URL.
        endpoints: What answers there, by verb.

    Returns:
        A line of the page.
    """
    if not endpoints:
        return None
    kinds = {
        generator.content_type
        for endpoint in endpoints.values()
        for generator in endpoint.generators
    }
    parsed = [verb for verb, each in endpoints.items() if each.parser is not None]
    return html.p(
        html.strong(" ".join(endpoints)),
        " ",
        html.code(url),
        f", also as {', '.join(sorted(kinds - {''}))}" if kinds - {""} else None,
        f"; {', '.join(parsed)} with arguments of their own" if parsed else None,
        class_="rest",
    )
