"""Doc strings, taken apart: what a method does, takes, returns and raises.

Google's, NumPy's and Sphinx's conventions are known; a doc string that follows none is
all text. What a convention has no place for stays in the text: nothing gets lost.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache

import docstring_parser
from docstring_parser import DocstringStyle
from docstring_parser.common import (
    DocstringDeprecated,
    DocstringExample,
    DocstringParam,
    DocstringRaises,
    DocstringReturns,
)

__all__ = ["DocString", "parse_docstring"]

_GOOGLE = re.compile(
    r"(Args|Arguments|Parameters|Params|Raises|Exceptions|Except|Returns|Yields"
    r"|Attributes|Examples?):[ \t]*$",
    re.MULTILINE,
)
_NUMPY = re.compile(
    r"^(Parameters|Other Parameters|Returns|Yields|Raises|Attributes|Examples)"
    r"[ \t]*\n-{3,}[ \t]*$",
    re.MULTILINE,
)
_SPHINX = re.compile(
    r"^:(param|parameter|arg|argument|type|returns?|rtype|raises?|except)\b[^:\n]*:",
    re.MULTILINE,
)


@dataclass(frozen=True)
class DocString:
    """A doc string, taken apart.

    Attributes:
        summary: Its first paragraph, on one line.
        text: What else it tells, as it is written.
        parameters: What it tells of parameters, by name.
        returns: What it tells of the result.
        raises: Names of exceptions, and when they are raised.
        examples: Examples, as they are written.
        is_sphinx: Whether it has Sphinx's fields, so that the text is
            reStructuredText.
    """

    summary: str = ""
    text: str = ""
    parameters: Mapping[str, str] = field(default_factory=dict)
    returns: str = ""
    raises: tuple[tuple[str, str], ...] = ()
    examples: str = ""
    is_sphinx: bool = False


@lru_cache(maxsize=4096)
def parse_docstring(doc: str) -> DocString:
    """Take a doc string apart.

    Args:
        doc: The doc string, without the indentation of its source.

    Returns:
        Its parts; one that cannot be understood is all text.
    """
    style = DocstringStyle.GOOGLE
    prose, sections = doc, doc
    if first := _NUMPY.search(doc):
        style, prose = DocstringStyle.NUMPYDOC, doc[: first.start()]
    elif first := _SPHINX.search(doc):
        style, prose = DocstringStyle.REST, doc[: first.start()]
    else:
        prose, sections = _part_google(doc)
    try:
        # Without a first line the parser would take the indentation of a section's
        # body for that of the whole.
        parsed = docstring_parser.parse(f".\n{sections}", style)
    except docstring_parser.ParseError:
        return DocString(*_part_summary(doc))
    summary, text = _part_summary(prose)
    parameters: dict[str, str] = {}
    raises = []
    returns = examples = ""
    others = []
    for meta in parsed.meta:
        told = meta.description or ""
        match meta:
            case DocstringParam():
                parameters[meta.arg_name.lstrip("*")] = told
            case DocstringRaises():
                raises.append((meta.type_name or "", told))
            case DocstringReturns():
                returns = told
            case DocstringExample():
                code = "\n".join(part for part in (meta.snippet, told) if part)
                examples = "\n\n".join(part for part in (examples, code) if part)
            case DocstringDeprecated() if meta.version:
                title = f"Deprecated since {meta.version}"
                others.append(f"{title}: {told}" if told else title)
            case _ if told:
                kind, *names = meta.args
                title = " ".join([kind.replace("_", " ").capitalize(), *names])
                others.append(f"{title}: {told}")
    return DocString(
        summary,
        "\n\n".join(part for part in (text, *others) if part),
        parameters,
        returns,
        tuple(raises),
        examples,
        is_sphinx=style is DocstringStyle.REST,
    )


def _part_summary(prose: str) -> tuple[str, str]:
    summary, _, text = prose.strip().partition("\n\n")
    return " ".join(summary.split()), text.strip("\n")


def _part_google(doc: str) -> tuple[str, str]:
    """Part the text of Google's convention from its sections."""
    prose: list[str] = []
    sections: list[str] = []
    into = prose
    for line in doc.split("\n"):
        if _GOOGLE.fullmatch(line):
            into = sections
        elif line and not line[0].isspace():
            # A paragraph at the margin ends a section: it would be lost there.
            if into is sections and prose and prose[-1]:
                prose.append("")
            into = prose
        into.append(line)
    return "\n".join(prose), "\n".join(sections)
