"""What is undone by itself: after some time, or when its session ends."""

from __future__ import annotations

from collections.abc import Callable

import gevent
from gevent.event import Event

from toolserver.debugger.listings import printable
from toolserver.events import wait_for
from toolserver.nativethreads import in_native_thread

__all__ = ["Temporary"]

#: Seconds that it may last: it is forgotten by whoever began it.
_LONGEST_S = 3600.0


class Temporary:
    """Something that is undone by itself.

    Args:
        name: What it is about.
        kind: What it is.
        tell: Told of its end, in a line; must not wait.
        seconds: How long it lasts, an hour at most.

    Attributes:
        name: What it is about.
        on_end: Undoes it.

    Raises:
        ValueError: It cannot last that long.
    """

    def __init__(
        self, name: str, kind: str, tell: Callable[[str], None], seconds: float
    ) -> None:
        if not 0 < seconds <= _LONGEST_S:
            raise ValueError(f"seconds: got {seconds!r}, expected up to {_LONGEST_S:g}")
        self.name = name
        self.on_end: Callable[[], None] = lambda: None
        self._kind = kind
        self._tell_in_loop = tell
        self._loop = gevent.get_hub().loop
        self._ended = Event()
        reason = f"{seconds:g} seconds are over"
        self._timer = gevent.spawn_later(seconds, self.stop, reason)

    @property
    def is_on(self) -> bool:
        """Whether it goes on."""
        return not self._ended.is_set()

    def stop(self, reason: str = "stopped") -> None:
        """End it: all is as before.

        Args:
            reason: Why.
        """
        if self.is_on:
            self._ended.set()
            self.on_end()
            self.tell(f"{self.name}: {self._kind} ended, {reason}")
            if self._timer is not gevent.getcurrent():
                self._timer.kill(block=False)

    def wait(self, timeout: float | None = None) -> bool:
        """Wait for its end.

        Args:
            timeout: Seconds to wait; None for no bound.

        Returns:
            Whether it has ended.
        """
        return wait_for(self._ended, timeout)

    def tell(self, text: str) -> None:
        """Tell something; any thread may do so.

        Args:
            text: A line.
        """
        self.in_loop(lambda: self._tell_in_loop(f"{printable(text)}\n"))

    def in_loop(self, function: Callable[[], object]) -> None:
        """Do what belongs to the loop, whose thread this need not be.

        Args:
            function: Does it, and does not wait.
        """
        if in_native_thread():
            self._loop.run_callback_threadsafe(function)
        else:
            function()

    def __repr__(self) -> str:
        return f"<{self._kind} of {self.name}, {'on' if self.is_on else 'ended'}>"
