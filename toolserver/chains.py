"""Reactor chains: a tool lets others take part in its work, and cannot be harmed by it.

    price = chain("shop.price", Price).run(price)             # in the shop
    chain("shop.price", Price).append(self.reduce)            # in who has a say in it

A handler gets a copy of the value and returns a changed one, or None for no change. One
that fails, or returns something else, is logged, counted and skipped.

Each server has the handlers of its own. What is appended while modules are imported
belongs to no server yet; it is noted down, and every server takes over what the modules
of its tools have noted.
"""

from __future__ import annotations

import copy
import logging
from collections.abc import Callable, Collection, Mapping
from typing import Any, Generic, NamedTuple, TypeVar, overload

import gevent

from toolserver.contexts import Context, Var, bind, current
from toolserver.failures import text_of
from toolserver.services import running
from toolserver.tools import Tool

__all__ = [
    "Chain",
    "Chains",
    "chain",
    "chain_history",
    "chain_name",
    "declared_chains",
]

log = logging.getLogger("toolserver.chains")

T = TypeVar("T")
Handler = Callable[[Any], Any]

#: The chain that runs a handler; empty outside of handlers.
chain_name: Var[str] = Var("chain_name", default="")
#: The values of the running chain before each change, and then the present one.
chain_history: Var[tuple[Any, ...]] = Var("chain_history", default=())
_running: Var[tuple[str, ...]] = Var("running_chains", default=())


class _Link(NamedTuple):
    key: object
    name: str
    handler: Handler


class Links:
    """The handlers of one chain in one server.

    Attributes:
        handlers: The handlers in their order; empty means that there is nothing to do.
        failures: How often handlers have failed, by their full names.
        type: The class of the chain's values; None as long as nobody has told.
    """

    __slots__ = ("failures", "handlers", "type")

    def __init__(self) -> None:
        # Never changed in place: a chain that runs goes on with those that it began
        # with.
        self.handlers: tuple[_Link, ...] = ()
        self.failures: dict[str, int] = {}
        self.type: type[Any] | None = None

    def add(self, link: _Link, *, in_front: bool = False) -> None:
        """Add a handler, or put it in the place of what its module had added before.

        Args:
            link: The handler.
            in_front: Whether a new one goes before all others.
        """
        if any(old.key == link.key for old in self.handlers):
            self.handlers = tuple(
                link if old.key == link.key else old for old in self.handlers
            )
        elif in_front:
            self.handlers = (link, *self.handlers)
        else:
            self.handlers = (*self.handlers, link)


Snapshot = Mapping[str, tuple[_Link, ...]]


class Chains:
    """The chains of one server."""

    def __init__(self) -> None:
        self._links: dict[str, Links] = {}

    def links(self, name: str) -> Links:
        """The handlers of a chain.

        Args:
            name: Its name.

        Returns:
            Always the same object for one name, so that it may be kept.
        """
        try:
            return self._links[name]
        except KeyError:
            return self._links.setdefault(name, Links())

    def adopt(self, declared: Chains, modules: Collection[str] | None = None) -> None:
        """Take over handlers that were declared while modules were imported.

        Args:
            declared: The chains that hold them.
            modules: The modules whose handlers are wanted; None for all.
        """
        for name, source in declared._links.items():
            links = self.links(name)
            links.type = links.type or source.type
            for link in source.handlers:
                if modules is None or link.handler.__module__ in modules:
                    links.add(link)

    def snapshot(self) -> Snapshot:
        """The handlers of all chains as they are now, for `restore`."""
        return {name: links.handlers for name, links in self._links.items()}

    def restore(self, before: Snapshot) -> None:
        """Take back what was added or removed since a snapshot.

        Args:
            before: The snapshot.
        """
        for name, links in self._links.items():
            links.handlers = before.get(name, ())

    def drop_unrenewed(self, before: Snapshot, module: str) -> None:
        """Take out the handlers of a module that it has not added again.

        Args:
            before: A snapshot from before it was loaded again.
            module: The name of the module.
        """
        for name, old in before.items():
            gone = {id(link) for link in old if link.handler.__module__ == module}
            links = self._links[name]
            links.handlers = tuple(
                link for link in links.handlers if id(link) not in gone
            )

    def failures(self) -> dict[str, dict[str, int]]:
        """How often handlers have failed, by chains and their own full names."""
        return {
            name: dict(links.failures)
            for name, links in self._links.items()
            if links.failures
        }


#: What was declared in this process before a server ran.
declared_chains = Chains()


class Chain(Generic[T]):
    """A named list of handlers through which a value is passed.

    It stands for the chain of its name in whichever server runs, so that a module may
    keep it.

    Args:
        name: The name, dotted: who runs the chain, then what for.
        type_: The class of its values; None for any.
        chains: The chains that it is one of; by default those of the running server.

    Raises:
        TypeError: The chain is known to be one for values of another class.
    """

    __slots__ = ("_chains", "name", "type")

    def __init__(
        self, name: str, type_: type[T] | None = None, chains: Chains | None = None
    ) -> None:
        self.name = name
        self.type = type_
        self._chains = chains
        self._now()

    def __repr__(self) -> str:
        return f"<chain {self.name}>"

    @property
    def handlers(self) -> tuple[Callable[[T], T | None], ...]:
        """The handlers, the first one first."""
        return tuple(link.handler for link in self._now().handlers)

    @property
    def failures(self) -> dict[str, int]:
        """How often handlers have failed, by their full names."""
        return dict(self._now().failures)

    def append(self, handler: Callable[[T], T | None]) -> Callable[[T], T | None]:
        """Add a handler behind the others.

        A handler of the same module and name takes the place of the earlier one, so
        that a module that is run again does not double it. Functions without a name of
        their own are told apart as objects.

        Args:
            handler: Gets a copy of the value; returns another value, or None for no
                change.

        Returns:
            The handler, so that this can stand above a function as a decorator.
        """
        self._now().add(_link(handler))
        return handler

    def prepend(self, handler: Callable[[T], T | None]) -> Callable[[T], T | None]:
        """Add a handler before the others; see `append`."""
        self._now().add(_link(handler), in_front=True)
        return handler

    def remove(self, handler: Callable[[T], T | None]) -> None:
        """Remove a handler.

        Args:
            handler: The handler.

        Raises:
            ValueError: It is none of this chain's.
        """
        key = _link(handler).key
        links = self._now()
        kept = tuple(link for link in links.handlers if link.key != key)
        if len(kept) == len(links.handlers):
            raise ValueError(f"chain {self.name!r}: {handler!r} is no handler of it")
        links.handlers = kept

    def run(self, value: T, *, check: Callable[[T], None] | None = None) -> T:
        """Pass a value through the handlers.

        Each one gets a copy. Frozen dataclasses and Structs are handed over as they
        are. A chain does not run again inside one of its own handlers.

        Args:
            value: The value.
            check: Refuses a value that a handler returns by raising an exception.

        Returns:
            The value as it comes out; without handlers, and if all of them fail, the
            very one that went in.
        """
        links = self._now()
        if not links.handlers:
            return value
        open_chains = _running.get()
        if self.name in open_chains:
            return value
        outer = current() or Context(services=running())
        with bind(outer.nested(outer.tool, outer.method)):
            _running.set((*open_chains, self.name))
            chain_name.set(self.name)
            chain_history.set(())
            for link in links.handlers:
                value = self._pass(link, links, value, check)
        return value

    def _pass(
        self,
        link: _Link,
        links: Links,
        value: T,
        check: Callable[[T], None] | None,
    ) -> T:
        """The value behind one handler."""
        context = current()
        if context is None:  # pragma: no cover - who runs a chain has made one
            raise RuntimeError("a handler runs in a context")
        try:
            if not chain_history.get():
                chain_history.set((_copy(value),))
            # What a handler does to the context is undone behind it, too.
            with bind(context.nested(context.tool, context.method)):
                changed: T | None = link.handler(_copy(value))
            if changed is None:
                return value
            if links.type is not None and not isinstance(changed, links.type):
                got, expected = type(changed).__name__, links.type.__name__
                raise TypeError(f"got {got} from the handler, expected {expected}")
            if check is not None:
                check(changed)
            chain_history.set((*chain_history.get(), _copy(changed)))
        except (gevent.GreenletExit, gevent.Timeout):
            # What ends the call around the chain ends the chain.
            raise
        except BaseException as error:
            count = links.failures.get(link.name, 0)
            links.failures[link.name] = count + 1
            log.error(
                "chain %s: skipped the handler %s: %s: %s",
                *(self.name, link.name, type(error).__name__, text_of(error)),
                # Once tells where: a handler that always fails would fill the log.
                exc_info=None if count else error,
            )
            return value
        return changed

    def _now(self) -> Links:
        chains = self._chains
        if chains is None:
            server = running()
            chains = declared_chains if server is None else server.part(Chains)
        links = chains.links(self.name)
        if self.type is not None and links.type is not self.type:
            if links.type is not None:
                raise TypeError(
                    f"chain {self.name!r}: got {self.type.__name__} for its type, "
                    f"expected {links.type.__name__}"
                )
            links.type = self.type
        return links


@overload
def chain(name: str) -> Chain[Any]: ...
@overload
def chain(name: str, type_: type[T]) -> Chain[T]: ...
def chain(name: str, type_: type[Any] | None = None) -> Chain[Any]:
    """A chain of this server, to run it or to take part in it.

    Args:
        name: Its name, such as ``"system.request.rewrite"``.
        type_: The class of its values; None for any.

    Returns:
        The chain; there is one for every name.

    Raises:
        TypeError: The chain is known to be one for values of another class.
    """
    return Chain(name, type_)


def _link(handler: Handler) -> _Link:
    owner = getattr(handler, "__self__", None)
    module = getattr(handler, "__module__", None) or type(handler).__module__
    qualname = getattr(handler, "__qualname__", "")
    # A tool that is made anew takes its own place.
    whose = owner.namespace if isinstance(owner, Tool) else id(owner)
    key: object = module, qualname, whose
    if not qualname or "<" in qualname:
        # Lambdas and inner functions share their names.
        key = handler
    name = f"{module}.{qualname or type(handler).__qualname__}"
    return _Link(key, name, handler)


def _copy(value: T) -> T:
    """A copy that can be changed without an effect on the value."""
    struct = getattr(type(value), "__struct_config__", None)
    record = getattr(type(value), "__dataclass_params__", None)
    if (struct is not None and struct.frozen) or (record is not None and record.frozen):
        return value
    return copy.deepcopy(value)
