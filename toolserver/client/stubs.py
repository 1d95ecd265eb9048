"""Writes a module with the class of a remote tool, so that editors know its methods.

What a server tells is not trusted: only names that are names and literals get into the
module, and a type that is not understood becomes ``Any``.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from toolserver.client.failures import one_line
from toolserver.client.stubtypes import LITERALS, NO_WORD, Names, is_name

__all__ = ["class_name", "module_name", "write_stub"]

_NAMESPACE = re.compile(r"[A-Za-z0-9_.~-]*")
_TOKEN = {"name": "token", "type": "tuple[str, str]"}


def module_name(namespace: str) -> str:
    """What the module of a tool is called.

    Args:
        namespace: Dotted name of the tool.
    """
    name = NO_WORD.sub("_", namespace) or "root"
    return name if is_name(name) else f"tool_{name}"


def class_name(namespace: str) -> str:
    """What the class of a tool is called.

    Args:
        namespace: Dotted name of the tool.
    """
    words = NO_WORD.sub("_", namespace).split("_")
    name = "".join(word[:1].upper() + word[1:] for word in words) or "Root"
    return name if is_name(name) else f"Tool{name}"


def write_stub(
    namespace: str,
    methods: Iterable[Mapping[str, Any]],
    types: Mapping[str, Mapping[str, Any]],
) -> str:
    """Write the module of a tool.

    Args:
        namespace: Its dotted name.
        methods: What ``system.describe`` tells of its methods.
        types: What ``system.types`` tells of the types in them.

    Returns:
        The source of a Python module, with one class for the tool and one for each
        type.

    Raises:
        ValueError: That is no description of a tool.
    """
    if _NAMESPACE.fullmatch(namespace) is None:
        raise ValueError(f"namespace: got {namespace!r}, expected a dotted name")
    try:
        return _write(namespace, methods, types)
    except (TypeError, KeyError, AttributeError) as error:
        raise ValueError("got no description of a tool") from error


def _write(
    namespace: str,
    methods: Iterable[Mapping[str, Any]],
    types: Mapping[str, Mapping[str, Any]],
) -> str:
    known = [method for method in methods if is_name(method["name"])]
    module = _Module(known, types)
    what = f"The tool {namespace}" if namespace else "The tool at the root"
    tool = module.local(class_name(namespace))
    protocol = module.use("Protocol", "typing")
    lines = [f"class {tool}({protocol}):", f'    """{what}."""']
    for method in known:
        lines += ["", *module.write_method(method)]
    classes = module.write_types()
    head = [
        f'"""{what} of a server, as tsctl stubs has found it."""',
        "",
        "from __future__ import annotations",
        "",
        *module.write_imports(),
    ]
    parts = ["\n".join(head), *classes, "\n".join(lines)]
    return "\n\n\n".join(parts) + "\n"


class _Module(Names):
    """The classes of one module."""

    def __init__(
        self,
        methods: Iterable[Mapping[str, Any]],
        types: Mapping[str, Mapping[str, Any]],
    ) -> None:
        # Within a class its members hide what is imported or defined outside.
        hidden = {method["name"] for method in methods}
        for type_ in types.values():
            hidden.update(str(member["name"]) for member in type_["members"])
        self._types = {name: types[name] for name in types if _is_usable(types[name])}
        super().__init__(hidden, self._types)

    def write_types(self) -> list[str]:
        """The classes of all types."""
        return ["\n".join(self._write_type(name)) for name in self._types]

    def write_method(self, method: Mapping[str, Any]) -> list[str]:
        """The lines of a method of the tool.

        Args:
            method: What the server tells of it.
        """
        parameters = list(method["parameters"])
        if parameters and _TOKEN.items() <= parameters[0].items():
            # The client makes it, if it is given the secret.
            del parameters[0]
        named = False
        rest, extra = method.get("rest"), method.get("extra")
        # Else further named arguments might be called like it.
        parts = ["self", "/"] if extra else ["self"]
        has_default = False
        for parameter in parameters:
            if parameter.get("kind") == "keyword" and not named:
                named = True
                parts.append(self._variadic("*", rest) if rest else "*")
            if has_default and parameter["required"] and not named:
                raise ValueError("parameters: a required one after one with a default")
            has_default = has_default or not parameter["required"]
            parts.append(self._parameter(parameter))
        if rest and not named:
            parts.append(self._variadic("*", rest))
        if extra:
            parts.append(self._variadic("**", extra))
        returns = self.hint(method["returns"])
        head = f"    def {method['name']}({', '.join(parts)}) -> {returns}:"
        if len(head) > 88:
            inner = "".join(f"        {part},\n" for part in parts)
            head = f"    def {method['name']}(\n{inner}    ) -> {returns}:"
        mark = f"    @{self.use('remote_method', 'toolserver.client')}"
        summary = one_line(str(method.get("summary", "")))
        if not summary:
            return [mark, f"{head} ..."]
        quoted = repr(summary) if set('"\\') & set(summary) else f'"""{summary}"""'
        return [mark, head, f"        {quoted}", "        ..."]

    def _variadic(self, stars: str, parameter: Mapping[str, Any]) -> str:
        return f"{stars}{_checked(parameter['name'])}: {self.hint(parameter['type'])}"

    def _parameter(self, parameter: Mapping[str, Any]) -> str:
        text = f"{_checked(parameter['name'])}: {self.hint(parameter['type'])}"
        if parameter["required"]:
            return text
        literal = _literal(parameter.get("default", ...), str(parameter["type"]))
        return f"{text} = {literal or '...'}"

    def _write_type(self, name: str) -> Iterator[str]:
        type_ = self._types[name]
        members = list(type_["members"])
        local = self.types[name]
        if type_["kind"] == "enum":
            yield f"class {local}({self.use('Enum', 'enum')}):"
            for member in members:
                yield f"    {member['name']} = {member['value']!r}"
            if not members:
                yield "    pass"
            return
        if type_["kind"] == "dict":
            yield f"class {local}({self.use('TypedDict', 'typing')}):"
        elif type_["kind"] == "tuple":
            yield f"class {local}({self.use('NamedTuple', 'typing')}):"
        else:
            yield f"@{self.use('dataclass', 'dataclasses')}(kw_only=True)"
            yield f"class {local}:"
        if not members:
            yield "    pass"
        for member in members:
            hint, default = self.hint(member["type"]), ""
            if not member["required"] and type_["kind"] == "dict":
                hint = f"{self.use('NotRequired', 'typing')}[{hint}]"
            elif not member["required"]:
                default = self._default(member)
            yield f"    {member['name']}: {hint}{default}"

    def _default(self, member: Mapping[str, Any]) -> str:
        text = str(member["type"])
        literal = _literal(member.get("default", ...), text)
        if literal:
            return f" = {literal}"
        container = text.partition("[")[0]
        empty = {"list": "[]", "dict": "{}", "set": f"{self.use('set', 'builtins')}()"}
        if "default" not in member and container in empty:
            # Type checkers know what a lambda makes, and not what a bare class makes.
            field = self.use("field", "dataclasses")
            return f" = {field}(default_factory=lambda: {empty[container]})"
        return ""


def _checked(name: Any) -> str:
    if not is_name(name):
        raise ValueError(f"parameter: got {name!r}, expected a name")
    return str(name)


def _is_usable(type_: Mapping[str, Any]) -> bool:
    """Whether a class can be made for a type."""
    members = type_["members"]
    if not all(is_name(member["name"]) for member in members):
        return False
    if type_["kind"] == "enum":
        names = {member["name"] for member in members}
        values = [member["value"] for member in members]
        return "mro" not in names and all(type(each) in LITERALS for each in values)
    return type_["kind"] in ("record", "dict", "tuple")


def _literal(value: Any, hint: str) -> str:
    """A default as source, where it is of the type itself."""
    if value is None:
        return "None" if hint.endswith("None") or hint == "Any" else ""
    usual = hint.removesuffix(" | None")
    if type(value) not in (bool, int, float, str) or type(value).__name__ != usual:
        return ""
    if isinstance(value, float) and not math.isfinite(value):
        return ""
    return repr(value)
