"""One tool in full."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from urllib.parse import quote

from markupsafe import Markup

from toolserver.contracts import invariant_texts
from toolserver.describe.docstrings import parse_docstring
from toolserver.describe.prose import doc_of, to_html
from toolserver.describe.snippets import Address
from toolserver.endpoints import ANY, endpoints_of
from toolserver.entries import FactoryEntry, ToolEntry
from toolserver.factories import FactoryTool, listed_keys
from toolserver.markup.content import Child
from toolserver.markup.pages import html
from toolserver.pages.methods import method_section, rest_line
from toolserver.pages.records import explained
from toolserver.pages.site import Site, brief, exported, format_of
from toolserver.tools import Tool

__all__ = ["tool_page"]

#: How many tools of a factory a page links to.
_LISTED_KEYS = 50
_PROTOCOLS = {"RPC2": "XML-RPC", "JSONRPC": "JSON-RPC"}


def tool_page(entry: ToolEntry, site: Site) -> Iterator[Child]:
    """One tool in full.

    Args:
        entry: The tool.
        site: What is known of the server.

    Yields:
        What stands in the main part of the page.
    """
    cls = type(entry.tool)
    told = parse_docstring(doc_of(cls))
    docformat = format_of(cls, told)
    address = Address(site.server, entry.namespace, entry.path)
    yield html.h1(entry.namespace or "/")
    yield html.div(
        to_html(told.summary, docformat), to_html(told.text, docformat), class_="lead"
    )
    yield _addresses(entry, site)
    yield _invariants(cls)
    methods = exported(cls)
    yield html.nav(
        html.h2("Methods"),
        html.ul(
            html.li(html.a(html.code(spec.name), href=f"#{quote(spec.name)}"))
            for spec in methods
        ),
        class_="contents",
    )
    for spec in methods:
        yield method_section(entry, spec, site)
    yield from _rest_methods(entry, address)
    yield from explained(methods)
    if isinstance(entry, FactoryEntry):
        yield from _children(entry, site)
    if site.shows_source:
        yield _source(cls)


def _addresses(entry: ToolEntry, site: Site) -> Markup:
    below = entry.path.strip("/")
    rows = []
    if not entry.tool._takes_token:
        rows.append(("REST", site.server.rstrip("/") + entry.path))
    rows += [
        (_PROTOCOLS.get(prefix, prefix), f"{site.server}{prefix}/{below}".rstrip("/"))
        for prefix in site.prefixes
    ]
    documents = [
        (label, site.server + path.format(quote(entry.namespace)))
        for label, path in site.documents.items()
    ]
    return html.table(
        html.caption("Addresses"),
        html.tbody(
            [
                html.tr(html.th(name, scope="row"), html.td(html.code(url)))
                for name, url in rows
            ],
            [
                html.tr(html.th(name, scope="row"), html.td(html.a(url, href=url)))
                for name, url in documents
            ],
        ),
        class_="addresses",
    )


def _invariants(cls: type[Tool]) -> Markup | None:
    texts = invariant_texts(cls)
    if not texts:
        return None
    return html.dl(html.dt("Always holds"), (html.dd(text) for text in texts))


def _rest_methods(entry: ToolEntry, address: Address) -> Iterator[Markup]:
    if not entry.rest_methods or entry.tool._takes_token:
        return
    yield html.h2("Over REST alone", class_="group")
    for name, by_verb in sorted(entry.rest_methods.items()):
        url = address.url("index") + "…" if name == ANY else address.url(name)
        for target in dict.fromkeys(by_verb.values()):
            told = parse_docstring(target.spec.doc)
            docformat = format_of(type(entry.tool), told)
            found = {
                verb: endpoint
                for verb, endpoint in endpoints_of(entry, name).items()
                if endpoint.target is target
            }
            yield html.section(
                rest_line(url, found),
                to_html(told.summary, docformat),
                to_html(told.text, docformat),
                class_="method",
            )


def _children(entry: FactoryEntry, site: Site) -> Iterator[Markup]:
    factory = entry.factory
    yield html.h2("Its tools", class_="group")
    yield html.p("Keys match ", html.code(factory.key_pattern), ".")
    keys = listed_keys(factory, _LISTED_KEYS)
    if keys:
        namespace = f"{entry.namespace}." if entry.namespace else ""
        yield html.ul(
            (html.li(html.a(key, href=site.link(f"{namespace}{key}"))) for key in keys),
            class_="keys",
        )
    for cls in factory.children:
        yield from _child(cls, entry, site)


def _child(cls: type[Tool], entry: ToolEntry, site: Site) -> Iterator[Markup]:
    """What the tools of a factory can do, whatever their keys."""
    told = parse_docstring(doc_of(cls))
    docformat = format_of(cls, told)
    yield html.h3(html.code(f"{entry.path}…/"), class_="group")
    yield html.div(to_html(told.summary, docformat), to_html(told.text, docformat))
    yield html.ul(
        html.li(
            html.code(f"{spec.name}{spec.signature}"),
            " ",
            html.span(brief(cls, spec)),
        )
        for spec in exported(cls)
        if spec.name != "list_methods"
    )
    if issubclass(cls, FactoryTool):
        yield html.p("Each of them makes tools, too.")


def _source(cls: type) -> Markup | None:
    try:
        text = inspect.getsource(cls)
    except (OSError, TypeError):
        return None
    return html.details(
        html.summary("Source"), html.pre(html.code(text)), class_="source"
    )
