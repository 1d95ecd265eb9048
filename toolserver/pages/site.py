"""What pages know of the server that they are about, and of its tools."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from urllib.parse import quote

from markupsafe import Markup

from toolserver.describe.docstrings import DocString, parse_docstring
from toolserver.describe.prose import RST, docformat_of, to_inline_html
from toolserver.methods import MethodSpec
from toolserver.tools import Tool
from toolserver.toolspecs import describe_tool

__all__ = ["ROOT", "Site", "brief", "exported", "format_of"]

#: How a URL names the root tool, whose namespace is empty.
ROOT = "_root"


@dataclass(frozen=True)
class Site:
    """What pages know of the server.

    Attributes:
        server: URL of the server, with a slash at its end.
        root: Path of the pages, with slashes around it.
        prefixes: Prefixes of the protocols that it speaks.
        documents: Paths of documents about one tool by their labels, with ``{}`` for
            its namespace.
        shows_source: Whether the source of a tool may be seen.
    """

    server: str
    root: str
    prefixes: Collection[str]
    documents: Mapping[str, str]
    shows_source: bool = False

    def link(self, namespace: str, method: str = "") -> str:
        """The path of a tool's page, or of a method on it."""
        fragment = f"#{quote(method)}" if method else ""
        return f"{self.root}{quote(namespace or ROOT)}/{fragment}"


def exported(cls: type[Tool]) -> list[MethodSpec]:
    """The exported methods of a tool.

    Args:
        cls: The class of the tool.

    Returns:
        In the order of the source, the framework's last.
    """
    found = [spec for spec in describe_tool(cls).values() if spec.exported]
    return sorted(found, key=lambda spec: _order(cls, spec))


def _order(cls: type, spec: MethodSpec) -> tuple[int, int, str]:
    for depth, base in enumerate(cls.__mro__):
        names = list(vars(base))
        if spec.attribute in names:
            return depth, names.index(spec.attribute), spec.name
    return len(cls.__mro__), 0, spec.name


def format_of(cls: type, told: DocString) -> str:
    """How a doc string of a tool is written.

    Args:
        cls: The class of the tool.
        told: The doc string.
    """
    return RST if told.is_sphinx else docformat_of(cls)


def brief(cls: type, spec: MethodSpec) -> Markup:
    """What a method does, in a line.

    Args:
        cls: The class of the tool.
        spec: The method.
    """
    told = parse_docstring(spec.doc)
    return to_inline_html(told.summary, format_of(cls, told))
