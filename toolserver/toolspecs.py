"""What a tool class offers, read from the class: its methods and its wrappers.

Which methods are exported is decided here and nowhere else. Roles go by the name of
a method through the whole line of classes: what a base class hides stays hidden
when a subclass overrides it without a word.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from toolserver.contracts import ensure_texts, is_invariant, require_texts
from toolserver.errors import StartError
from toolserver.marks import marks_of
from toolserver.methods import MethodSpec, Parameter, describe_method
from toolserver.types import Type
from toolserver.wrappers import NOTE, Wrapper

if TYPE_CHECKING:
    # A tool tells its own methods, so it is tools that know this module.
    from toolserver.tools import Tool

__all__ = ["describe_rest_method", "describe_tool", "wrappers_of"]

#: What tools override and only the framework calls: never exported.
HOOKS = frozenset(
    {
        "on_setup",
        "on_start",
        "on_stop",
        "on_close",
        "transaction",
        "begin",
        "commit",
        "abort",
    }
)


def wrappers_of(cls: type[Tool]) -> Iterator[tuple[Wrapper, Callable[..., Any], str]]:
    """The wrappers of a tool class, those of the most derived class first.

    Args:
        cls: The class.

    Yields:
        Each wrapper, the function that it decorates or that overrides it in a
        subclass, and the attribute under which it was defined.
    """
    for base in cls.__mro__:
        # Of two for the same purpose in one class the later one holds.
        for name, wrapper, function in reversed(vars(base).get("_own_wrappers", ())):
            if vars(base).get(name) is function:
                current = getattr(cls, name)
                if current is not function and hasattr(current, NOTE):
                    continue
                yield wrapper, current, name
            else:
                yield wrapper, function, name


def describe_tool(cls: type[Tool]) -> dict[str, MethodSpec]:
    """Find and read the methods of a tool class.

    Args:
        cls: The class.

    Returns:
        Exported and hidden public methods by their names on the wire.

    Raises:
        StartError: A signature cannot be used, or two methods have one name.
    """
    known = cls.__dict__.get("_described")
    if known is not None:
        return known  # type: ignore[no-any-return]  # set below
    methods: dict[str, MethodSpec] = {}
    for attribute in sorted(set().union(*(vars(base) for base in cls.__mro__))):
        spec = _describe_attribute(cls, attribute)
        if spec is None:
            continue
        if spec.name in methods:
            other = methods[spec.name].attribute
            raise StartError(
                f"{cls.__module__}.{cls.__qualname__}: {other} and {attribute} are "
                f"both exported as {spec.name!r}"
            )
        methods[spec.name] = spec
    if cls._takes_token:
        methods = {
            name: spec if _is_framework(cls, spec) else spec.locked()
            for name, spec in methods.items()
        }
    methods.update((spec.name, spec) for spec in cls._virtual_methods())
    cls._described = methods  # type: ignore[attr-defined]  # a cache of this function
    return methods


def _is_framework(cls: type[Tool], spec: MethodSpec) -> bool:
    """Whether a method is the framework's own, and no subclass has overridden it."""
    owner = next(base for base in cls.__mro__ if spec.attribute in vars(base))
    return getattr(owner, "_is_framework", False)


def describe_rest_method(function: Callable[..., Any], attribute: str) -> MethodSpec:
    """Read what is known of a method for REST alone.

    Args:
        function: The method, bound.
        attribute: Its name in the class.

    Returns:
        What is known of it: it takes a request, as it is.
    """
    marks = marks_of(function)
    marks.pop("name", None)
    return MethodSpec(
        name=attribute,
        attribute=attribute,
        parameters=(Parameter("request", Type(Any), required=True),),
        positional=1,
        rest=None,
        extra=None,
        returns=Type(Any),
        doc=inspect.getdoc(function) or "",
        **{**marks, "exported": True},
    )


def _describe_attribute(cls: type[Tool], attribute: str) -> MethodSpec | None:
    """The method behind an attribute, or None where there is no public one."""
    definitions = [base for base in cls.__mro__ if attribute in vars(base)]
    value = vars(definitions[0])[attribute]
    plain = getattr(value, "__func__", value)
    if attribute.startswith("_") or attribute in HOOKS or not _is_method(value):
        return None
    values = [vars(base)[attribute] for base in definitions]
    if any(isinstance(getattr(each, NOTE, None), Wrapper) for each in values):
        return None
    if any(map(is_invariant, values)):
        return None
    marks: dict[str, Any] = {}
    for each in reversed(values):
        marks.update(marks_of(each))
    own = any(not getattr(base, "_is_framework", False) for base in definitions)
    if "exported" not in marks and not own:
        return None
    exported = marks.pop("exported", cls._exports_all)
    name = marks.pop("name", "") or attribute
    source = f"{plain.__module__}.{plain.__qualname__}"
    return describe_method(
        value,
        name=name,
        attribute=attribute,
        source=source,
        exported=exported,
        requires=require_texts(cls, attribute),
        ensures=ensure_texts(cls, attribute),
        **marks,
    )


def _is_method(value: Any) -> bool:
    return isinstance(value, (staticmethod, classmethod)) or (
        callable(value) and hasattr(value, "__get__") and not isinstance(value, type)
    )
