"""Swaps the code of methods and has their calls watched, until that is undone.

The function of a method's `Target` is replaced, which the call path reads at each call:
calls that run go on as they began, and a method that nobody has changed costs nothing.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from logging import Logger
from types import MethodType
from typing import Any

import gevent

from toolserver.contractchecks import checked
from toolserver.debugger.temporary import Temporary
from toolserver.debugger.tracing import Trace
from toolserver.entries import Target
from toolserver.factories import TransientTool
from toolserver.registry import Registry

__all__ = ["Changes"]

Function = Callable[..., Any]


class _Changed:
    """What was done to one method.

    Attributes:
        original: Its own function.
        swapped: What stands in its place, or None.
        traces: Who watches it.
    """

    def __init__(self, original: Function) -> None:
        self.original = original
        self.swapped: Function | None = None
        self.traces: list[Trace] = []


class Changes:
    """What was done to the methods of a server.

    Args:
        registry: Its tools.
    """

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._changed: dict[Target, _Changed] = {}
        self._levels: dict[Logger, Temporary] = {}
        registry.on_swap.append(self._forget_replaced)

    @property
    def swapped(self) -> list[str]:
        """Full names of the methods that run other code than their own."""
        return sorted(
            target.name for target, each in self._changed.items() if each.swapped
        )

    def swap(self, target: Target, function: Function) -> None:
        """Have a method run other code from its next call on.

        Args:
            target: The method.
            function: Gets the tool and the same arguments as the method.

        Raises:
            TypeError: Its parameters are not called as those of the method, or the
                tool is one of a factory, which may forget it at any time.
        """
        if isinstance(target.tool, TransientTool):
            raise TypeError(
                f"swap: {target.tool.namespace} is made by a factory; set the method "
                "of its class, for those that are made from then on"
            )
        bound = MethodType(function, target.tool)
        changed = self._changed.get(target) or _Changed(target.function)
        got = list(inspect.signature(bound).parameters)
        expected = _parameters(target)
        if got != expected:
            raise TypeError(
                f"swap: got a function of ({', '.join(got)}) beside the tool, expected "
                f"({', '.join(expected)})"
            )
        self._changed[target] = changed
        changed.swapped = bound
        if not isinstance(changed.original, MethodType):
            changed.swapped = checked(
                bound, target.tool, target.spec.attribute, target.name
            )
        # Other tools may call it as a plain method.
        setattr(target.tool, target.spec.attribute, bound)
        self._renew(target, changed)

    def undo(self, target: Target) -> bool:
        """Have a method run its own code again.

        Args:
            target: The method.

        Returns:
            Whether it ran other code.
        """
        changed = self._changed.get(target)
        if changed is None or changed.swapped is None:
            return False
        changed.swapped = None
        vars(target.tool).pop(target.spec.attribute, None)
        self._renew(target, changed)
        return True

    def trace(self, target: Target, trace: Trace) -> None:
        """Have the calls of a method watched, until the trace ends.

        Args:
            target: The method.
            trace: Who watches.
        """
        changed = self._changed.setdefault(target, _Changed(target.function))
        changed.traces.append(trace)

        def end() -> None:
            changed.traces.remove(trace)
            self._renew(target, changed)

        trace.on_end = end
        self._renew(target, changed)

    def set_level(self, logger: Logger, level: str, lasts: Temporary) -> None:
        """Have a logger log from another level on for a while.

        Args:
            logger: The logger.
            level: The name of the level.
            lasts: Tells for how long.

        Raises:
            ValueError: There is no such level.
        """
        earlier = self._levels.get(logger)
        if earlier is not None:
            # Else it would come back to that one.
            earlier.stop("another one begins")
        before = logger.level

        def end() -> None:
            logger.setLevel(before)
            del self._levels[logger]

        try:
            logger.setLevel(level)
        except ValueError:
            lasts.stop("there is no such level")
            raise
        self._levels[logger] = lasts
        lasts.on_end = end

    def _forget_replaced(self) -> None:
        """Let go of what a tool has left behind that was loaded again."""
        current = {
            target for entry in self._registry for target in entry.methods.values()
        }
        for target, changed in list(self._changed.items()):
            if target not in current and not isinstance(target.tool, TransientTool):
                del self._changed[target]
                for trace in list(changed.traces):
                    trace.stop("its tool was loaded again")

    def _renew(self, target: Target, changed: _Changed) -> None:
        function = changed.swapped or changed.original
        for trace in changed.traces:
            function = trace.watched(function)
        target.function = function
        if changed.swapped is None and not changed.traces:
            self._changed.pop(target, None)
        # Who keeps what leads to methods, such as spawned jobs, looks again. Some have
        # to wait for that, which the hub cannot.
        gevent.spawn(self._tell_swapped)

    def _tell_swapped(self) -> None:
        for forget in self._registry.on_swap:
            forget()


def _parameters(target: Target) -> list[str]:
    spec = target.spec.unlocked or target.spec
    wanted = (*spec.parameters, spec.rest, spec.extra)
    return [parameter.name for parameter in wanted if parameter is not None]
