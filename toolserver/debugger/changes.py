"""Swaps the code of methods and watches their calls, until that is undone.

The function of a method's `Target` is replaced, which the call path reads at each call:
calls that run go on as they began, and a method that nobody has changed costs nothing.
"""

from __future__ import annotations

import functools
import inspect
import reprlib
import time
from collections.abc import Callable
from types import MethodType
from typing import Any

import gevent
from gevent.event import Event

from toolserver.contexts import context
from toolserver.contractchecks import checked
from toolserver.debugger.listings import printable
from toolserver.entries import Target
from toolserver.factories import TransientTool
from toolserver.nativethreads import in_native_thread
from toolserver.registry import Registry

__all__ = ["Changes", "Trace"]

Function = Callable[..., Any]

_shown = reprlib.Repr()
_shown.maxstring = _shown.maxother = 200
_shown.maxlevel = 3


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


class Trace:
    """Watches the calls of a method for some time.

    Args:
        name: Full name of the method.
        tell: Told of each call and of its end, a line each; must not wait.
        seconds: How long it lasts.
        limit: How many calls it tells of at most.
        when: Told the arguments of a call; whether it is watched. None for all.

    Attributes:
        on_end: Called once when it ends.
    """

    def __init__(
        self,
        name: str,
        tell: Callable[[str], None],
        *,
        seconds: float,
        limit: int,
        when: Callable[..., object] | None = None,
    ) -> None:
        self.name = name
        self.on_end: Callable[[], None] = lambda: None
        self._tell_in_loop = tell
        self._loop = gevent.get_hub().loop
        self._limit = limit
        self._taken = 0
        self._when = when
        self._ended = Event()
        reason = f"{seconds:g} seconds are over"
        self._timer = gevent.spawn_later(seconds, self.stop, reason)

    @property
    def is_on(self) -> bool:
        """Whether it goes on."""
        return not self._ended.is_set()

    def stop(self, reason: str = "stopped") -> None:
        """End it; the method is as before.

        Args:
            reason: Why.
        """
        if self.is_on:
            self._ended.set()
            self.on_end()
            self._tell(f"{self.name}: trace ended, {reason}")
            if self._timer is not gevent.getcurrent():
                self._timer.kill(block=False)

    def wait(self, timeout: float | None = None) -> bool:
        """Wait for its end.

        Args:
            timeout: Seconds to wait; None for no bound.

        Returns:
            Whether it has ended.
        """
        return self._ended.wait(timeout)

    def watched(self, function: Function) -> Function:
        """Make what is called in the place of a function.

        Args:
            function: The function, which is called with the same arguments.
        """

        @functools.wraps(function)
        def watched(*args: Any, **kwargs: Any) -> Any:
            if not self._takes(args, kwargs):
                return function(*args, **kwargs)
            number = self._taken
            what = f"{self.name} #{number}"
            by = f" by {context.client}" if context.client else ""
            self._tell(f"{what} called with {_arguments(args, kwargs)}{by}")
            begin = time.perf_counter()
            try:
                value = function(*args, **kwargs)
            except BaseException as error:
                after = 1000 * (time.perf_counter() - begin)
                self._tell(f"{what} raised {_shown.repr(error)} after {after:.1f} ms")
                raise
            else:
                after = 1000 * (time.perf_counter() - begin)
                self._tell(f"{what} returned {_shown.repr(value)} after {after:.1f} ms")
                return value
            finally:
                if number == self._limit:
                    self._in_loop(lambda: self.stop("that was its last call"))

        return watched

    def _takes(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
        if not self.is_on or self._taken == self._limit:
            return False
        if self._when is not None:
            try:
                if not self._when(*args, **kwargs):
                    return False
            except Exception as error:  # the call must not fail by who watches it
                reason = f"its condition raised {_shown.repr(error)}"
                self._in_loop(lambda: self.stop(reason))
                return False
        self._taken += 1
        return True

    def _tell(self, text: str) -> None:
        self._in_loop(lambda: self._tell_in_loop(f"{printable(text)}\n"))

    def _in_loop(self, function: Callable[[], object]) -> None:
        """Do what belongs to the loop, whose thread this need not be."""
        if in_native_thread():
            self._loop.run_callback_threadsafe(function)
        else:
            function()

    def __repr__(self) -> str:
        return f"<trace of {self.name}, {'on' if self.is_on else 'ended'}>"


def _parameters(target: Target) -> list[str]:
    spec = target.spec.unlocked or target.spec
    wanted = (*spec.parameters, spec.rest, spec.extra)
    return [parameter.name for parameter in wanted if parameter is not None]


def _arguments(args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
    words = [_shown.repr(value) for value in args]
    words += [f"{name}={_shown.repr(value)}" for name, value in kwargs.items()]
    return f"({', '.join(words)})"
