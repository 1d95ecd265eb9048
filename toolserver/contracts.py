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
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, TypeVar

from toolserver.lambdasource import source_of

__all__ = [
    "Condition",
    "check_contracts",
    "ensure",
    "ensure_texts",
    "ensures_of",
    "invariant",
    "invariant_texts",
    "invariants_of",
    "is_invariant",
    "require",
    "require_texts",
    "requires_of",
]

F = TypeVar("F", bound=Callable[..., Any])

_REQUIRE = "__toolserver_require__"
_ENSURE = "__toolserver_ensure__"
_INVARIANT = "__toolserver_invariant__"


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


def requires_of(cls: type, name: str) -> list[tuple[Condition, ...]]:
    """The preconditions of a method, of which those of one class have to hold.

    Args:
        cls: The class of the tool.
        name: Name of the method in the class.

    Returns:
        Those of each class that has some, the most derived one first.
    """
    return _conditions(cls, name, _REQUIRE)


def ensures_of(cls: type, name: str) -> list[Condition]:
    """The postconditions of a method, all of which have to hold.

    Args:
        cls: The class of the tool.
        name: Name of the method in the class.

    Returns:
        Those of all classes, of the most derived one first.
    """
    return [each for group in _conditions(cls, name, _ENSURE) for each in group]


def _conditions(cls: type, name: str, role: str) -> list[tuple[Condition, ...]]:
    """The conditions on a method, by class, the most derived one first."""
    functions = (vars(base)[name] for base in cls.__mro__ if name in vars(base))
    noted = (getattr(getattr(each, "__func__", each), role, ()) for each in functions)
    return [conditions for conditions in noted if conditions]


def invariants_of(cls: type) -> list[tuple[str, Callable[[Any], object]]]:
    """The invariants of a tool, all of which have to hold.

    Args:
        cls: The class of the tool.

    Returns:
        Text and function of each, those of bases first.
    """
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
        tuple(each.text for each in conditions) for conditions in requires_of(cls, name)
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
    return tuple(each.text for each in ensures_of(cls, name))


def invariant_texts(cls: type) -> tuple[str, ...]:
    """What always holds for a tool.

    Args:
        cls: The class of the tool.

    Returns:
        A text for each invariant.
    """
    return tuple(dict.fromkeys(text for text, _ in invariants_of(cls)))


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
        requires = [each for group in requires_of(cls, name) for each in group]
        ensures = ensures_of(cls, name)
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
