"""What the reference of Python needs besides autodoc.

The directive ``publicnames`` lists what a module offers, ``errorcodes`` the codes and
statuses of the errors of some modules.
"""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Iterable

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from toolserver.errors import ToolserverError

#: Codes that JSON-RPC and XML-RPC share; they come first, in this order.
SHARED_CODES = (-32700, -32600, -32601, -32602, -32603, -32500)
#: These bases tell users nothing: what all classes are, and what is not public.
_PLAIN_BASES = re.compile(r"Bases: (object|Protocol|Struct|Generic\[\w+\]|_\w+)")


class PublicNames(SphinxDirective):
    """Lists the names of a module's ``__all__`` with what each is, in a line."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Make the table."""
        name = self.arguments[0]
        module = importlib.import_module(name)
        rows = [
            (f":py:obj:`~{name}.{each}`", _first_sentence(getattr(module, each)))
            for each in sorted(module.__all__, key=str.lower)
        ]
        return self.parse_text_to_nodes(_table(["name", "what it is"], rows))


class ErrorCodes(SphinxDirective):
    """Lists the errors of some modules with their codes and statuses."""

    required_arguments = 1
    final_argument_whitespace = True

    def run(self) -> list[nodes.Node]:
        """Make the table."""
        rows = [
            (
                f":py:class:`~{_shown_module(cls)}.{cls.__name__}`",
                str(cls.code),
                str(cls.status),
                _first_sentence(cls),
            )
            for cls in _errors(self.arguments[0].split())
        ]
        return self.parse_text_to_nodes(
            _table(["error", "code", "status", "meaning"], rows)
        )


def _errors(modules: list[str]) -> list[type[ToolserverError]]:
    found = []
    for name in modules:
        module = importlib.import_module(name)
        found += [getattr(module, each) for each in module.__all__]
    told = [each for each in found if issubclass(each, ToolserverError)]

    def place(cls: type[ToolserverError]) -> tuple[bool, int]:
        if cls.code in SHARED_CODES:
            return False, SHARED_CODES.index(cls.code)
        return True, -cls.code

    return sorted(told, key=place)


def _shown_module(cls: type) -> str:
    """Where users import a class from."""
    public = "toolserver.ext.sqlalchemy"
    return public if cls.__module__ == "toolserver.ext.errors" else cls.__module__


def _first_sentence(value: object) -> str:
    paragraph = (inspect.getdoc(value) or "").partition("\n\n")[0]
    return paragraph.replace("\n", " ")


def _table(heads: list[str], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [".. list-table::", "   :header-rows: 1", "   :widths: auto", ""]
    for row in (heads, *rows):
        lines += [
            f"   {'* -' if place == 0 else '  -'} {cell}"
            for place, cell in enumerate(row)
        ]
    return "\n".join([*lines, ""])


def _write_as_read(app: Sphinx, tree: nodes.document) -> None:
    """Name attributes as Python does, and set dashes, where autodoc does neither."""
    for described in tree.findall(addnodes.desc_content):
        for name in described.findall(nodes.field_name):
            if name.astext() == "Variables":
                name.children = [nodes.Text("Attributes")]
        for text in list(described.findall(nodes.Text)):
            if text == " -- ":
                text.parent.replace(text, nodes.Text(" – "))  # noqa: RUF001 - a dash
        for paragraph in list(described.findall(nodes.paragraph)):
            if _PLAIN_BASES.fullmatch(paragraph.astext()):
                paragraph.parent.remove(paragraph)


def setup(app: Sphinx) -> dict[str, bool]:
    """Tell Sphinx of the directives."""
    app.add_directive("publicnames", PublicNames)
    app.add_directive("errorcodes", ErrorCodes)
    app.connect("doctree-read", _write_as_read)
    return {"parallel_read_safe": True}
