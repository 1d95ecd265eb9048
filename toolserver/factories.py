"""Factories: tools whose own path leads on to tools that are made when asked for.

Where ``blog`` is a factory, ``blog.first`` is the tool that it makes for the key
``first``. Keys come from the network: they are text of a given form, and say nothing
until the factory has said that they exist.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from functools import cached_property
from itertools import islice
from typing import Any, ClassVar, final

from toolserver.childcache import ChildCache
from toolserver.contexts import Context, bind, current
from toolserver.errors import NotFound, StartError
from toolserver.marks import hidden, inherited_marks
from toolserver.storage import Storage
from toolserver.tools import StandardTool, Tool, has_transaction, overrides
from toolserver.toolspecs import describe_tool, wrappers_of

__all__ = ["FactoryTool", "TransientFactoryTool", "TransientTool"]

log = logging.getLogger("toolserver.factories")

#: Separate the parts of names and of paths, so that no key may hold them.
_SEPARATORS = frozenset("./")
_SHOWN = 64


class TransientTool(StandardTool, framework=True):
    """A tool that a factory makes when it is asked for, and forgets again.

    Its `on_start` runs once it was made, its `on_close` when it is forgotten; calls
    that are still running then go on. `on_setup` and `on_stop` are not run. Calls run
    in the transaction of the factory, unless the tool has its own.

    Attributes:
        key: The key for which it was made.
        parent: The factory; its settings are ``self.parent.settings``.
    """

    key: str
    parent: Any

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        for attribute in vars(cls):
            if inherited_marks(cls, attribute).get("every"):
                raise TypeError(
                    f"{cls.__name__}.{attribute}: @every asks for a tool that stays; "
                    "put it on a method of the factory"
                )

    @cached_property
    def storage(self) -> Storage:
        """The tool's own files, in those of its factory."""
        factory: FactoryTool = self.parent
        return factory.storage.of_key(self.key)


class FactoryTool(StandardTool, framework=True):
    """A tool that makes tools for keys: ``/blog/first/`` for the key ``first``.

    Exported methods of the factory go before keys of the same name.

    Attributes:
        children: The classes of the tools that it makes.
        max_age: Seconds without use after which a tool is forgotten.
        max_children: How many tools are kept; the least recently used one is
            forgotten first.
        key_pattern: Regular expression that all of a key has to match. Dots and
            slashes are refused whatever it says.
    """

    children: ClassVar[tuple[type[TransientTool], ...]] = ()
    max_age: float = 300.0
    max_children: int = 1000
    key_pattern: str = r"[A-Za-z0-9_~-]{1,128}"

    #: Set when the tool is added to the registry.
    _children: ChildCache[Any] | None = None

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if "forget" in vars(cls):
            raise TypeError(
                f"{cls.__name__}.forget: belongs to the framework; give the method "
                'another name and export it with @expose("forget")'
            )

    # Hidden, and so are the methods of subclasses that override them.

    @hidden
    def child_exists(self, key: str) -> bool:
        """Whether there is something of that key; asked when no tool is kept for it.

        Args:
            key: A key that matches `key_pattern`.
        """
        return key in self.child_keys()

    @hidden
    def make_child(self, key: str) -> TransientTool:
        """Make the tool for a key that exists.

        Args:
            key: The key.

        Returns:
            A new tool of one of the classes `children`; by default of the first.
        """
        return self.children[0]()

    @hidden
    def child_keys(self) -> Iterable[str]:
        """The keys to show in lists of tools, the most important first."""
        return ()

    @final
    @hidden
    def forget(self, key: str) -> None:
        """Forget the tool of a key; the next caller gets a new one if it exists.

        The other processes of the server forget theirs, too, soon after.

        Args:
            key: The key.
        """
        if self._children is not None:
            self._children.forget(key)
            tell = self._children.population.tell_forgotten
            if tell is not None:
                tell(self.namespace, key)


class TransientFactoryTool(FactoryTool, TransientTool, framework=True):
    """A factory that a factory makes, to any depth."""


def check_factory(cls: type[FactoryTool]) -> None:
    """Check all that can be known of a factory before it makes something.

    Args:
        cls: Its class.

    Raises:
        StartError: What is wrong with it or with the classes of its children.
    """
    for factory in factories_below(cls):
        name = f"{factory.__module__}.{factory.__qualname__}"
        if not factory.children:
            raise StartError(f"{name}.children: got none, expected classes of tools")
        for child in factory.children:
            if not (isinstance(child, type) and issubclass(child, TransientTool)):
                raise StartError(
                    f"{name}.children: got {child!r}, expected subclasses of "
                    "TransientTool"
                )
            describe_tool(child)
            for wrapper, _, attribute in wrappers_of(child):
                if wrapper.name.startswith("/"):
                    raise StartError(
                        f"{child.__qualname__}.{attribute}: got the path "
                        f"{wrapper.name!r}, expected none: there are many such tools"
                    )
        try:
            re.compile(factory.key_pattern)
        except re.error as error:
            raise StartError(f"{name}.key_pattern: {error}") from error


def factories_below(cls: type[FactoryTool]) -> Iterator[type[FactoryTool]]:
    """The class of a factory and those of all factories that it may lead to.

    Args:
        cls: Its class.
    """
    found = [cls]
    # Grows while it is run through; a class may be among its own children.
    for factory in found:
        yield factory
        found += [
            child
            for child in factory.children
            if issubclass(child, FactoryTool) and child not in found
        ]


def make_child(factory: FactoryTool, key: str) -> TransientTool:
    """Make and start the tool for a key, in the transaction of its factory.

    Args:
        factory: The factory.
        key: The key, as it came from outside.

    Returns:
        The tool.

    Raises:
        NotFound: The key is malformed, or there is nothing of that key.
        TypeError: The factory made something else than it may.
        StartError: The tool cannot work with its settings.
        Exception: Whatever the hooks raised.
    """
    where = factory.namespace or "the root tool"
    if (
        not key
        or _SEPARATORS.intersection(key)
        or re.fullmatch(factory.key_pattern, key) is None
    ):
        shown = key if len(key) <= _SHOWN else f"{key[:_SHOWN]}…"
        raise NotFound(f"{where}: {shown!r} is neither a method nor a valid key")
    # The tool outlives the call that happens to be the first to need it: nothing of
    # the caller may get into it.
    with bind(_fresh_context(factory, "make_child")), _transaction(factory):
        if not factory.child_exists(key):
            raise NotFound(f"{where}: there is no {key!r}")
        child = factory.make_child(key)
        if not isinstance(child, factory.children) or child.namespace:
            raise TypeError(
                f"{where}: make_child({key!r}) returned {child!r}, expected a new "
                "tool of one of the classes in children"
            )
        child.key = key
        child._starter = factory._starter
        child.parent = factory
        child.namespace = f"{factory.namespace}.{key}" if factory.namespace else key
        # A logger of its own would stay for as long as the process runs.
        child.log = factory.log
        child._check_settings()
        if overrides(type(child), "on_start"):
            own = has_transaction(type(child))
            with (
                bind(_fresh_context(child, "on_start")),
                child.transaction() if own else nullcontext(),
            ):
                child.on_start()
    return child


def listed_keys(factory: FactoryTool, most: int) -> list[str]:
    """The keys that a factory wants to be listed.

    Args:
        factory: The factory.
        most: How many at most.
    """
    with bind(_fresh_context(factory, "child_keys")), _transaction(factory):
        return list(islice(factory.child_keys(), most))


def close_child(child: Tool) -> None:
    """Let a tool that is forgotten release what it holds; a failure is logged.

    Args:
        child: The tool.
    """
    if not overrides(type(child), "on_close"):
        return
    try:
        with bind(_fresh_context(child, "on_close")):
            child.on_close()
    except Exception:
        log.exception("%s: on_close failed", child.namespace)


def pattern_of(tool: Tool) -> str:
    """The name that all tools have in common that a factory makes in one place.

    Args:
        tool: A tool.

    Returns:
        Its namespace, with a star for each key in it.
    """
    if not isinstance(tool, TransientTool):
        return tool.namespace
    above = pattern_of(tool.parent)
    return f"{above}.*" if above else "*"


def transaction_of(tool: Tool) -> Callable[[], AbstractContextManager[None]] | None:
    """What makes the transactions of a tool's calls.

    Args:
        tool: The tool.

    Returns:
        The tool's own hook, or that of the nearest factory above it, or None.
    """
    while not has_transaction(type(tool)):
        if not isinstance(tool, TransientTool):
            return None
        tool = tool.parent
    return tool.transaction


def _transaction(tool: Tool) -> AbstractContextManager[None]:
    begin = transaction_of(tool)
    return nullcontext() if begin is None else begin()


def _fresh_context(tool: Tool, hook: str) -> Context:
    running = current()
    services = None if running is None else running.services
    return Context(services=services).nested(tool, hook)
