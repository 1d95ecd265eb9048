"""All tools at a glance, and those that have some words."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator

from markupsafe import Markup

from toolserver.describe.docstrings import parse_docstring
from toolserver.describe.prose import doc_of, to_html
from toolserver.entries import ToolEntry
from toolserver.markup.pages import html
from toolserver.methods import MethodSpec
from toolserver.pages.site import Site, brief, exported, format_of

__all__ = ["overview"]


def overview(
    entries: Iterable[ToolEntry], site: Site, query: str = ""
) -> Iterator[Markup]:
    """The list of tools, or of what was found.

    Args:
        entries: The tools.
        site: What is known of the server.
        query: What was searched for; empty for all.

    Yields:
        What stands in the main part of the page.
    """
    words = query.casefold().split()
    found = [
        (entry, methods)
        for entry in sorted(entries, key=lambda each: each.namespace)
        if (methods := _matching(entry, words)) is not None
    ]
    yield html.h1("Tools")
    if words:
        methods_found = sum(len(methods) for _, methods in found)
        counts = f"{_count(methods_found, 'method')} in {_count(len(found), 'tool')}"
        yield html.p(f"Found for “{query}”: {counts}", class_="note")
    own = [each for each in found if not each[0].is_builtin]
    server = [each for each in found if each[0].is_builtin]
    if not found:
        yield html.p("Nothing was found.")
    for entry, methods in own:
        yield _summary(entry, methods, site)
    if server:
        yield html.h2("Parts of the server", class_="group")
        for entry, methods in server:
            yield _summary(entry, methods, site)


def _matching(entry: ToolEntry, words: Collection[str]) -> list[MethodSpec] | None:
    """The methods of a tool that are found by some words.

    Args:
        entry: The tool.
        words: The words, in lower case; each has to be somewhere.

    Returns:
        All exported methods where the tool itself has all words, else those that
        have what it lacks; None where nothing was found.
    """
    methods = exported(type(entry.tool))
    text = f"{entry.namespace} {doc_of(type(entry.tool))}".casefold()
    lacking = [word for word in words if word not in text]
    if not lacking:
        return methods
    found = [
        spec
        for spec in methods
        if all(word in f"{spec.name} {spec.doc}".casefold() for word in lacking)
    ]
    return found or None


def _summary(entry: ToolEntry, methods: list[MethodSpec], site: Site) -> Markup:
    told = parse_docstring(doc_of(type(entry.tool)))
    docformat = format_of(type(entry.tool), told)
    return html.section(
        html.h2(html.a(entry.namespace or "/", href=site.link(entry.namespace))),
        to_html(told.summary, docformat),
        html.ul(
            html.li(
                html.a(
                    html.code(spec.name), href=site.link(entry.namespace, spec.name)
                ),
                " ",
                html.span(brief(type(entry.tool), spec)),
            )
            for spec in methods
            if spec.name != "list_methods"
        ),
        class_="tool",
    )


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
