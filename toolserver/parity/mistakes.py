"""Calls that no method takes: each door has to refuse them in the same way."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from toolserver.conversion import convert
from toolserver.entries import Target
from toolserver.errors import InvalidParams
from toolserver.methods import MethodSpec, Parameter
from toolserver.parity.calls import Asked
from toolserver.types import Kind

__all__ = ["mistakes_of"]

#: A name that nothing has.
_NOBODY = "no_such_name"
#: Values of which one is wrong for most types, and which all protocols carry alike.
_WRONG: tuple[Any, ...] = ("no such value", {"no": {"such": "value"}}, 1.5)


def mistakes_of(target: Target, good: Sequence[Asked]) -> list[Asked]:
    """Make calls that have to fail before the method is reached.

    Args:
        target: The method.
        good: Calls that would do.

    Returns:
        A call of a method and of a tool that do not exist; calls with an argument
        missing, one too many, and one of a wrong type, as far as the method can be
        called so.
    """
    spec, namespace = target.spec, target.tool.namespace
    below = f"{namespace}." if namespace else ""
    found = [Asked(f"{below}{_NOBODY}"), Asked(f"{below}{_NOBODY}.{spec.name}")]
    named = _all_named(good)
    if named is None:
        return found
    found += [
        Asked(target.name, (), kwargs, target) for kwargs in _misnamed(spec, named)
    ]
    placed = Asked(target.name, (), named, target).in_form(names=False)
    if placed is not None and spec.rest is None:
        missing = spec.positional - len(placed.args)
        if not missing:
            args = (*placed.args, "one too many")
            found.append(Asked(target.name, args, {}, target))
    return found


def _all_named(good: Sequence[Asked]) -> dict[str, Any] | None:
    """The arguments of a call that has all of them, or as many as any call has."""
    forms = [each.in_form(positions=False) for each in good]
    found = [dict(form.kwargs) for form in forms if form is not None]
    return max(found, key=len, default=None)


def _misnamed(spec: MethodSpec, named: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for parameter in spec.parameters:
        # Over SOAP what may be None may also be missing: it is None then.
        if parameter.required and not parameter.type.nullable:
            yield {key: named[key] for key in named if key != parameter.name}
        wrong = _wrong_value(parameter)
        if wrong is not None:
            yield {**named, parameter.name: wrong}
    if spec.extra is None:
        yield {**named, _NOBODY: "one too many"}


def _wrong_value(parameter: Parameter) -> Any:
    type_ = parameter.type
    # Text is how callers without a schema say bytes over SOAP.
    takes_text = Kind.BYTES in (type_.kind, *(item.kind for item in type_.items))
    for value in _WRONG[1:] if takes_text else _WRONG:
        try:
            convert(parameter.type, value, parameter.name)
        except InvalidParams:
            return value
    return None
