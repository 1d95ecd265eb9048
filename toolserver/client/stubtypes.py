"""Names and types within a module that is written for a remote tool."""

from __future__ import annotations

import ast
import keyword
import re
from collections.abc import Collection, Iterable
from typing import Any

__all__ = ["LITERALS", "NO_WORD", "Names", "is_name"]

#: Where the names of types come from.
_MODULES = {
    **dict.fromkeys(("bool", "int", "float", "str", "bytes"), "builtins"),
    **dict.fromkeys(("list", "set", "frozenset", "tuple", "dict"), "builtins"),
    **dict.fromkeys(("datetime", "date", "time", "timedelta"), "datetime"),
    "Decimal": "decimal",
    "UUID": "uuid",
    "Any": "typing",
    "Sequence": "collections.abc",
    "Mapping": "collections.abc",
}
#: What a client gets for types that it cannot get.
_INSTEAD = {
    "Markup": "str",
    **dict.fromkeys(("Collection", "Iterable", "Iterator", "Generator"), "list"),
    "Set": "set",
    "MutableMapping": "dict",
}
#: Containers: what they hold where nothing is said of it.
_BARE = {
    **dict.fromkeys(("list", "set", "frozenset", "Sequence"), "[{Any}]"),
    "tuple": "[{Any}, ...]",
    **dict.fromkeys(("dict", "Mapping"), "[{str}, {Any}]"),
}
#: What cannot stand in a name.
NO_WORD = re.compile(r"\W+")
#: Classes of values that can be written as they are.
LITERALS = (str, int, bool, bytes)


def is_name(text: Any) -> bool:
    """Whether a text can be a name that is not private.

    Args:
        text: Anything.
    """
    return (
        isinstance(text, str)
        and text.isidentifier()
        and not keyword.iskeyword(text)
        and not text.startswith("_")
    )


def _word(text: str) -> str:
    """A text with underscores for what cannot stand in a name."""
    # Fractions and the like are digits to expressions, and none to Python.
    parts = (part if f"_{part}".isidentifier() else " " for part in text)
    return NO_WORD.sub("_", "".join(parts)).strip("_")


class Names:
    """What is imported and defined, under names that are in nobody's way.

    Args:
        hidden: Names that mean something else within some class.
        types: The types that are defined, as signatures name them.

    Attributes:
        types: What they are called here.
    """

    def __init__(self, hidden: Collection[str], types: Iterable[str]) -> None:
        self._hidden = hidden
        self._taken: set[str] = set()
        self._imports: dict[tuple[str, str], str] = {}
        self.types = {name: self.local(_word(name)) for name in types}

    def local(self, name: str) -> str:
        """A name for the module that is no other's.

        Args:
            name: What it should be.
        """
        name = name if is_name(name) else f"Type_{name}"
        while name in self._hidden or name in self._taken or name in _MODULES:
            name += "_"
        self._taken.add(name)
        return name

    def use(self, name: str, module: str) -> str:
        """Import a name.

        Args:
            name: The name.
            module: The module that has it.

        Returns:
            What it is called here.
        """
        known = self._imports.get((module, name))
        if known is None:
            known = name
            while known in self._hidden or known in self._taken:
                known += "_"
            self._imports[module, name] = known
        return known

    def write_imports(self) -> list[str]:
        """The lines that import what was used."""
        lines = []
        for module in sorted({module for module, _ in self._imports}):
            names = [
                name if name == local else f"{name} as {local}"
                for (source, name), local in sorted(self._imports.items())
                if source == module and (name, module) != (local, "builtins")
            ]
            if names:
                lines.append(f"from {module} import {', '.join(names)}")
        return lines

    def hint(self, text: Any) -> str:
        """Write a type as this module has it.

        Args:
            text: The type as signatures have it.
        """
        try:
            tree = ast.parse(str(text), mode="eval").body
            return self._hint(tree)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return self.use("Any", "typing")

    def _hint(self, node: ast.expr) -> str:
        record = self.types.get(ast.unparse(node))
        if record is not None:
            return record
        match node:
            case ast.Constant(value=None):
                return "None"
            case ast.Constant(value=value) if isinstance(value, LITERALS):
                return f"{self.use('Literal', 'typing')}[{value!r}]"
            case ast.UnaryOp(ast.USub(), ast.Constant(value=int(value))):
                return f"{self.use('Literal', 'typing')}[-{value}]"
            case ast.BinOp(left, ast.BitOr(), right):
                return f"{self._hint(left)} | {self._hint(right)}"
            case ast.Name(id=name):
                return self._name(name)
            case ast.Subscript(ast.Name(id=name), inner):
                name = _INSTEAD.get(name, name)
                if name not in _BARE:
                    raise ValueError(name)
                items = inner.elts if isinstance(inner, ast.Tuple) else [inner]
                shown = ", ".join(map(self._item, items))
                return f"{self.use(name, _MODULES[name])}[{shown}]"
        raise ValueError(ast.dump(node))

    def _item(self, node: ast.expr) -> str:
        if isinstance(node, ast.Constant) and node.value is ...:
            return "..."
        return self._hint(node)

    def _name(self, name: str) -> str:
        name = _INSTEAD.get(name, name)
        local = self.use(name, _MODULES.get(name) or _unknown(name))
        if name not in _BARE:
            return local
        names = {"Any": self.use("Any", "typing"), "str": self.use("str", "builtins")}
        return local + _BARE[name].format(**names)


def _unknown(name: str) -> str:
    raise ValueError(name)
