"""Watches the calls of a method."""

from __future__ import annotations

import functools
import reprlib
import time
from collections.abc import Callable
from typing import Any

from toolserver.contexts import context
from toolserver.debugger.temporary import Temporary

__all__ = ["Trace"]

Function = Callable[..., Any]

_shown = reprlib.Repr()
_shown.maxstring = _shown.maxother = 200
_shown.maxlevel = 3


class Trace(Temporary):
    """Watches the calls of a method for some time.

    Args:
        name: Full name of the method.
        tell: Told of each call and of its end, a line each; must not wait.
        seconds: How long it lasts.
        limit: How many calls it tells of at most.
        when: Told the arguments of a call; whether it is watched. None for all.

    Raises:
        ValueError: It cannot last that long, or would tell of no call.
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
        if not limit > 0:
            raise ValueError(f"limit: got {limit!r}, expected some calls")
        super().__init__(name, "trace", tell, seconds)
        self._limit = limit
        self._taken = 0
        self._when = when

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
            self.tell(f"{what} called with {_arguments(args, kwargs)}{by}")
            begin = time.perf_counter()
            try:
                value = function(*args, **kwargs)
            except BaseException as error:
                after = 1000 * (time.perf_counter() - begin)
                self.tell(f"{what} raised {_shown.repr(error)} after {after:.1f} ms")
                raise
            else:
                after = 1000 * (time.perf_counter() - begin)
                self.tell(f"{what} returned {_shown.repr(value)} after {after:.1f} ms")
                return value
            finally:
                if number == self._limit:
                    self.in_loop(lambda: self.stop("that was its last call"))

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
                self.in_loop(lambda: self.stop(reason))
                return False
        self._taken += 1
        return True


def _arguments(args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
    words = [_shown.repr(value) for value in args]
    words += [f"{name}={_shown.repr(value)}" for name, value in kwargs.items()]
    return f"({', '.join(words)})"
