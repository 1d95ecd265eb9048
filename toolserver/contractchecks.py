"""The checks of contracts around the methods of a running server's tools."""

from __future__ import annotations

import inspect
import logging
import reprlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextvars import ContextVar
from typing import Any

from toolserver.contracts import Condition, ensures_of, invariants_of, requires_of
from toolserver.errors import (
    EnsureBroken,
    InvariantBroken,
    RequireBroken,
    Signal,
    ToolserverError,
)

__all__ = ["checked"]

log = logging.getLogger("toolserver.contracts")

#: Characters of one value in an error.
_SHOWN = 120

_repr = reprlib.Repr()
_repr.maxlevel = 3
_repr.maxstring = _repr.maxother = _repr.maxlong = 80

#: Whether a test runs: what it calls is not checked, or there might be no end to it.
_testing: ContextVar[bool] = ContextVar("toolserver.contracts.testing", default=False)


def checked(
    function: Callable[..., Any], tool: Any, attribute: str, name: str
) -> Callable[..., Any]:
    """Put the checks of contracts around a method.

    Args:
        function: The bound method.
        tool: Its tool.
        attribute: Name of the method in the class of the tool.
        name: Its full name, for errors.

    Returns:
        What calls it and checks its contracts; the method itself if it has none.
    """
    cls = type(tool)
    requires = requires_of(cls, attribute)
    ensures = ensures_of(cls, attribute)
    invariants = invariants_of(cls)
    if not requires and not ensures and not invariants:
        return function
    return _Checked(function, tool, name, requires, ensures, invariants)


class _Checked:
    """A bound method between the checks of its contracts."""

    def __init__(
        self,
        function: Callable[..., Any],
        tool: Any,
        name: str,
        requires: list[tuple[Condition, ...]],
        ensures: list[Condition],
        invariants: list[tuple[str, Callable[[Any], object]]],
    ) -> None:
        self._function = function
        self._tool = tool
        self._name = name
        self._requires = requires
        self._ensures = ensures
        self._invariants = invariants
        self._signature = inspect.signature(function)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if _testing.get():
            return self._function(*args, **kwargs)
        bound = self._signature.bind(*args, **kwargs)
        bound.apply_defaults()
        values = {**bound.arguments, "self": self._tool}
        self._check_invariants()
        self._check_requires(values)
        olds = [
            None
            if each.old is None
            else self._ask(each.old, each.old_asks, values, "old", each.text)
            for each in self._ensures
        ]
        try:
            result = self._function(*args, **kwargs)
        except Signal:
            # An answer instead of a result, with which the call succeeds.
            self._check_invariants()
            raise
        for each, old in zip(self._ensures, olds, strict=True):
            after = {**values, "result": result}
            if each.old is not None:
                after["old"] = old
            if not self._ask(each.test, each.asks, after, "postcondition", each.text):
                raise self._broken(
                    EnsureBroken, "postcondition", each.text, _shown(each.asks, after)
                )
        self._check_invariants()
        return result

    def _check_requires(self, values: Mapping[str, Any]) -> None:
        broken = []
        for conditions in self._requires:
            for each in conditions:
                if not self._ask(
                    each.test, each.asks, values, "precondition", each.text
                ):
                    broken.append(each)
                    break
            else:
                return
        if broken:
            asks = [name for each in broken for name in each.asks]
            raise self._broken(
                RequireBroken,
                "precondition",
                ", or ".join(each.text for each in broken),
                _shown(asks, values),
            )

    def _check_invariants(self) -> None:
        for text, test in self._invariants:
            if not self._ask(test, ("self",), {"self": self._tool}, "invariant", text):
                raise self._broken(InvariantBroken, "invariant", text, {})

    def _ask(
        self,
        test: Callable[..., object],
        asks: Iterable[str],
        values: Mapping[str, Any],
        kind: str,
        text: str,
    ) -> object:
        token = _testing.set(True)
        try:
            return test(**{name: values[name] for name in asks})
        except Exception as error:
            error.add_note(f"raised in the {kind} {text!r} of {self._name}")
            raise
        finally:
            _testing.reset(token)

    def _broken(
        self, kind: type[ToolserverError], what: str, text: str, values: dict[str, str]
    ) -> ToolserverError:
        got = ", ".join(f"{name}={value}" for name, value in values.items())
        message = f"{self._name}: {what} broken: {text}"
        if got:
            message += f"; got {got}"
        if kind is not RequireBroken:
            # The tool's fault, which nobody but its author can mend.
            log.error("%s", message)
        data = {"contract": text, "method": self._name, "values": values}
        return kind(message, data=data)


def _shown(asks: Iterable[str], values: Mapping[str, Any]) -> dict[str, str]:
    return dict(_shown_each(asks, values))


def _shown_each(
    asks: Iterable[str], values: Mapping[str, Any]
) -> Iterator[tuple[str, str]]:
    for name in asks:
        if name == "self":
            continue
        try:
            shown = _repr.repr(values[name])
        except Exception:  # of a class whose objects cannot be shown
            shown = f"a {type(values[name]).__name__}"
        yield name, shown if len(shown) <= _SHOWN else f"{shown[:_SHOWN]}…"
