"""Contracts: what a method asks for, what it promises, and what always holds.

They are written in the tool and told in its documentation. They are checked only by
a server that runs with contracts on; otherwise calls know nothing of them.

Like other roles they go by the name of a method through the line of classes. An
override may ask for less than its base but not for more: it is enough if the
preconditions of one class hold. It may promise more but not less: postconditions
and invariants of all classes have to hold.
"""

from __future__ import annotations

import inspect
import logging
import reprlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, TypeVar

from toolserver.errors import (
    EnsureBroken,
    InvariantBroken,
    RequireBroken,
    Signal,
    ToolserverError,
)
from toolserver.lambdasource import source_of

__all__ = [
    "Condition",
    "check_contracts",
    "checked",
    "ensure",
    "ensure_texts",
    "invariant",
    "invariant_texts",
    "is_invariant",
    "require",
    "require_texts",
]

F = TypeVar("F", bound=Callable[..., Any])

log = logging.getLogger("toolserver.contracts")

_REQUIRE = "__toolserver_require__"
_ENSURE = "__toolserver_ensure__"
_INVARIANT = "__toolserver_invariant__"
#: Characters of one value in an error.
_SHOWN = 120

_repr = reprlib.Repr()
_repr.maxlevel = 3
_repr.maxstring = _repr.maxother = _repr.maxlong = 80

#: Whether a test runs: what it calls is not checked, or there might be no end to it.
_testing: ContextVar[bool] = ContextVar("toolserver.contracts.testing", default=False)


@dataclass(frozen=True)
class Condition:
    """A precondition or a postcondition.

    Attributes:
        test: Returns whether it holds.
        text: What it says.
        asks: The arguments that the test gets.
        old: Makes what the test gets as ``old``, before the call; None for nothing.
        old_asks: The arguments that `old` gets.
    """

    test: Callable[..., object]
    text: str
    asks: tuple[str, ...]
    old: Callable[..., object] | None = None
    old_asks: tuple[str, ...] = ()


def require(test: Callable[..., object], text: str = "") -> Callable[[F], F]:
    """State what has to hold before a method is called: the caller's part.

    Args:
        test: Gets those arguments of the method by name that it has parameters for,
            and the tool as ``self``; returns whether the call may be made.
        text: What callers are told; by default the source of the test.

    Raises:
        TypeError: The test cannot be called with arguments by name.
    """
    return _note(_REQUIRE, _condition("require", test, text))


def ensure(
    test: Callable[..., object],
    text: str = "",
    old: Callable[..., object] | None = None,
) -> Callable[[F], F]:
    """State what holds after a method was called: the tool's part.

    Args:
        test: Gets those arguments of the method by name that it has parameters for,
            the tool as ``self``, what the method returned as ``result``, and what
            `old` returned as ``old``; returns whether all is well.
        text: What callers are told; by default the source of the test.
        old: Called before the method, with its arguments by name and ``self``.

    Raises:
        TypeError: The test or `old` cannot be called with arguments by name.
    """
    return _note(_ENSURE, _condition("ensure", test, text, old))


def invariant(method: F) -> F:
    """State what always holds, before and after each call of the tool.

    The decorated method takes no arguments and returns whether it holds; its doc
    string, or else its name, is told to callers. It is never exported.
    """
    if not inspect.isfunction(method):
        raise TypeError(f"@invariant: got {method!r}, expected a method")
    setattr(method, _INVARIANT, True)
    return method


def _condition(
    role: str,
    test: Callable[..., object],
    text: str,
    old: Callable[..., object] | None = None,
) -> Condition:
    asks = _asked_by(role, test)
    old_asks = () if old is None else _asked_by(role, old)
    return Condition(test, text or _text_of(test, asks), asks, old, old_asks)


def _asked_by(role: str, test: Callable[..., object]) -> tuple[str, ...]:
    if not callable(test):
        raise TypeError(f"@{role}: got {test!r}, expected a test to call")
    try:
        parameters = inspect.signature(test).parameters.values()
    except ValueError as error:
        raise TypeError(f"@{role}: {error}") from error
    for parameter in parameters:
        if parameter.kind not in (
            parameter.POSITIONAL_OR_KEYWORD,
            parameter.KEYWORD_ONLY,
        ):
            raise TypeError(
                f"@{role}: got a test with the parameter {parameter}, expected "
                "parameters that take arguments by name"
            )
    # A default is the test's own value.
    return tuple(each.name for each in parameters if each.default is each.empty)


def _text_of(test: Callable[..., object], asks: tuple[str, ...]) -> str:
    name = getattr(test, "__name__", "") or type(test).__name__
    if name != "<lambda>":
        return name
    return source_of(test) or f"a test of {', '.join(asks) or 'nothing'}"


def _note(attribute: str, condition: Condition) -> Callable[[F], F]:
    def decorate(function: F) -> F:
        plain = getattr(function, "__func__", function)
        if not callable(plain):
            role = attribute.strip("_").rpartition("_")[2]
            raise TypeError(f"@{role}: got {function!r}, expected a method")
        # The lowest decorator comes first, but they are read from the top.
        setattr(plain, attribute, (condition, *getattr(plain, attribute, ())))
        return function

    return decorate


def is_invariant(value: Any) -> bool:
    """Whether an attribute of a class is marked as an invariant."""
    return getattr(value, _INVARIANT, False) is True


def _conditions(cls: type, name: str, role: str) -> list[tuple[Condition, ...]]:
    """The conditions on a method, by class, the most derived one first."""
    functions = (vars(base)[name] for base in cls.__mro__ if name in vars(base))
    noted = (getattr(getattr(each, "__func__", each), role, ()) for each in functions)
    return [conditions for conditions in noted if conditions]


def _invariants(cls: type) -> list[tuple[str, Callable[[Any], object]]]:
    """All invariants of a class with their texts, those of its bases first."""
    found = []
    marked = {
        name
        for base in cls.__mro__
        for name, value in vars(base).items()
        if is_invariant(value)
    }
    for base in reversed(cls.__mro__):
        for name, value in vars(base).items():
            if name in marked and not getattr(value, "__isabstractmethod__", False):
                found.append((" ".join((value.__doc__ or name).split()), value))
    return found


def require_texts(cls: type, name: str) -> tuple[str, ...]:
    """What a method asks of its callers.

    Args:
        cls: The class of the tool.
        name: Name of the method in the class.

    Returns:
        A text for each precondition; a single one where classes offer alternatives.
    """
    groups = [
        tuple(each.text for each in conditions)
        for conditions in _conditions(cls, name, _REQUIRE)
    ]
    if len(groups) < 2:
        return groups[0] if groups else ()
    return (", or ".join(" and ".join(texts) for texts in groups),)


def ensure_texts(cls: type, name: str) -> tuple[str, ...]:
    """What a method promises to its callers.

    Args:
        cls: The class of the tool.
        name: Name of the method in the class.

    Returns:
        A text for each postcondition.
    """
    groups = _conditions(cls, name, _ENSURE)
    return tuple(each.text for conditions in groups for each in conditions)


def invariant_texts(cls: type) -> tuple[str, ...]:
    """What always holds for a tool.

    Args:
        cls: The class of the tool.

    Returns:
        A text for each invariant.
    """
    return tuple(dict.fromkeys(text for text, _ in _invariants(cls)))


def check_contracts(cls: type) -> None:
    """Check that all contracts of a class can be asked for.

    Args:
        cls: The class.

    Raises:
        TypeError: A test asks for what the method does not have.
    """
    for name in {name for base in cls.__mro__ for name in vars(base)}:
        value = inspect.getattr_static(cls, name)
        if any(is_invariant(vars(base).get(name)) for base in cls.__mro__):
            _check_invariant(cls, name, value)
            continue
        requires = [
            each for group in _conditions(cls, name, _REQUIRE) for each in group
        ]
        ensures = [each for group in _conditions(cls, name, _ENSURE) for each in group]
        if not requires and not ensures:
            continue
        where = f"{cls.__name__}.{name}"
        plain = getattr(value, "__func__", value)
        if not callable(plain):
            raise TypeError(f"{where}: got {value!r}, expected a method with contracts")
        parameters = list(inspect.signature(plain).parameters)
        known = {*parameters[0 if isinstance(value, staticmethod) else 1 :], "self"}
        if ensures and "result" in known:
            raise TypeError(
                f"{where}: a parameter 'result' cannot be told from the result of the "
                "method in @ensure"
            )
        for each in requires:
            _check_asks(f"{where}: @require", each.text, each.asks, known)
        for each in ensures:
            after = {*known, "result"}
            if each.old is not None:
                if "old" in known:
                    raise TypeError(
                        f"{where}: a parameter 'old' cannot be told from what old= "
                        "returns in @ensure"
                    )
                _check_asks(f"{where}: old of @ensure", each.text, each.old_asks, known)
                after.add("old")
            _check_asks(f"{where}: @ensure", each.text, each.asks, after)


def _check_invariant(cls: type, name: str, value: Any) -> None:
    if not inspect.isfunction(value) or len(inspect.signature(value).parameters) != 1:
        raise TypeError(
            f"{cls.__name__}.{name}: an @invariant is a method without arguments"
        )


def _check_asks(
    where: str, text: str, asks: Iterable[str], known: Iterable[str]
) -> None:
    for name in asks:
        if name not in known:
            raise TypeError(
                f"{where} {text!r}: asks for {name!r}, expected one of "
                f"{', '.join(sorted(known))}"
            )


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
    requires = _conditions(cls, attribute, _REQUIRE)
    ensures = [each for group in _conditions(cls, attribute, _ENSURE) for each in group]
    invariants = _invariants(cls)
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
