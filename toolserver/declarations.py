"""What `register` notes down while modules are imported; the server makes it real."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar, overload

from toolserver.tools import Tool

__all__ = ["Declaration", "declared", "register"]

ToolClass = TypeVar("ToolClass", bound=type[Tool])


@dataclass(frozen=True)
class Declaration:
    """A tool that is to be served.

    Attributes:
        cls: Its class.
        namespace: Its dotted name.
        options: What its `on_start` is given.
        source: Where it was registered, ``file:line``.
    """

    cls: type[Tool]
    namespace: str
    options: dict[str, Any]
    source: str


#: All that was registered in this process, in order.
declared: list[Declaration] = []


@overload
def register(cls: ToolClass, namespace: str, /, **options: Any) -> ToolClass: ...
@overload
def register(namespace: str, /, **options: Any) -> Callable[[ToolClass], ToolClass]: ...
def register(*args: Any, **options: Any) -> Any:
    """Register a tool class under a namespace.

    ``register(Orders, "shop.orders")`` as well as, above the class,
    ``@register("shop.orders")``.

    Args:
        *args: The class and the namespace, or the namespace alone.
        **options: Handed to the tool's `on_start`.

    Returns:
        The class, or a decorator for one.

    Raises:
        TypeError: What is registered is no subclass of a tool class.
    """
    caller = sys._getframe(1)
    source = f"{caller.f_code.co_filename}:{caller.f_lineno}"
    match args:
        case (type() as cls, str(namespace)):
            return _declare(cls, namespace, options, source)
        case (str(namespace),):
            return lambda cls: _declare(cls, namespace, options, source)
    raise TypeError(
        "register: expected (class, namespace), or (namespace) above a class"
    )


def _declare(
    cls: ToolClass, namespace: str, options: dict[str, Any], source: str
) -> ToolClass:
    if not (isinstance(cls, type) and issubclass(cls, Tool)):
        raise TypeError(f"register: got {cls!r}, expected a subclass of StandardTool")
    new = Declaration(cls, namespace, options, source)
    for index, old in enumerate(declared):
        # A module that is run again declares the same class again.
        if old.namespace == namespace and _origin(old.cls) == _origin(cls):
            declared[index] = new
            return cls
    declared.append(new)
    return cls


def _origin(cls: type) -> tuple[str, str, str]:
    file = getattr(sys.modules.get(cls.__module__), "__file__", "") or ""
    return file, cls.__module__, cls.__qualname__
