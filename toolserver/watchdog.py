"""Tells who holds up the event loop.

A native thread asks the loop from time to time to answer. Where no answer comes, it
looks at the stack of the loop's thread: the frame of the call path tells which call it
is, the frames above it what the call is at. A healthy loop costs two short wake-ups in
each half of the bound, and calls nothing.

Time in which the process did not run at all, because it was stopped or the machine
slept, does not count: then the watchdog was late itself, and the processor not used.
Whoever holds Python's own lock makes it late, too, but uses the processor.
"""

from __future__ import annotations

import logging
import sys
import time
import traceback
from contextlib import nullcontext
from dataclasses import dataclass
from types import FrameType
from typing import Any

import gevent
from gevent.hub import Hub
from gevent.monkey import get_original

from toolserver.contexts import Context, bind
from toolserver.dispatcher import Dispatcher

__all__ = ["Watchdog"]

log = logging.getLogger("toolserver.watchdog")

# What the patched process hides: threads and locks of the operating system.
_start_thread: Any = get_original("_thread", "start_new_thread")
_allocate_lock: Any = get_original("_thread", "allocate_lock")
_get_ident: Any = get_original("_thread", "get_ident")

#: Parts of the bound in which an answer is waited for.
_SLICES = 4
#: How late one of them may end on a busy machine, seconds.
_TOLERANCE_S = 0.1
_INVOKE = Dispatcher.invoke.__code__
_HUB = Hub.run.__code__


@dataclass(frozen=True)
class _Culprit:
    """What holds up the loop.

    Attributes:
        call: The context of the call, or None outside of any.
        file: The file that is run; empty where it had ended before it was seen.
        line: The line in it.
        function: Its function.
        stack: The stack from the method on, or the whole one.
    """

    call: Context | None
    file: str
    line: int
    function: str
    stack: str

    def __str__(self) -> str:
        if not self.file:
            return "what has ended just now; it let no other thread run"
        place = f"{self.file}:{self.line} in {self.function}"
        if self.call is None:
            return f"no call, at {place}"
        namespace = getattr(self.call.tool, "namespace", "")
        method = f"{namespace}.{self.call.method}" if namespace else self.call.method
        return f"{method}, request {self.call.request_id}, at {place}"


class _Clock:
    """Tells waiting that took too long from time that there was not."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._used = time.process_time()

    def lateness(self, expected: float) -> float:
        """How much longer than expected a wait has taken, while the process ran.

        Args:
            expected: How long it was to take, seconds.
        """
        late = time.monotonic() - self._began - expected
        used = time.process_time() - self._used
        return late if late < _TOLERANCE_S or used > late / 10 else 0.0


class Watchdog:
    """Logs a warning when the loop of this thread has not turned for too long.

    Args:
        bound: How long the loop may be held up, seconds. Blocks that are half as
            long again are always told, shorter ones never.
    """

    def __init__(self, bound: float) -> None:
        self._bound = bound
        self._loop = gevent.get_hub().loop
        self._thread = _get_ident()
        self._stopping = _allocate_lock()
        self._stopping.acquire()
        self._answered = _allocate_lock()
        self._answered.acquire()

    def start(self) -> None:
        """Begin to watch."""
        _start_thread(self._run, ())

    def stop(self) -> None:
        """Watch no longer."""
        self._stopping.release()

    def _run(self) -> None:
        pause = self._bound / 2
        clock = _Clock()
        while not self._stopping.acquire(timeout=pause):
            late = clock.lateness(pause)
            asked = time.monotonic() - late
            self._loop.run_callback_threadsafe(self._answered.release)
            if self._waits_too_long(late):
                culprit = _find_culprit(self._thread)
                _warn(culprit, "is", asked)
                if not self._wait_for_end():
                    return
                _warn(culprit, "was", asked)
            clock = _Clock()

    def _waits_too_long(self, waited: float) -> bool:
        part = self._bound / _SLICES
        while waited < self._bound:
            clock = _Clock()
            if self._answered.acquire(timeout=part):
                return False
            waited += part + clock.lateness(part)
        return True

    def _wait_for_end(self) -> bool:
        while not self._answered.acquire(timeout=self._bound):
            if self._stopping.acquire(blocking=False):
                return False
        return True


def _find_culprit(thread: int) -> _Culprit:
    """What a thread runs."""
    frame = sys._current_frames().get(thread)
    if frame is None or frame.f_code is _HUB:
        # The loop has its turn again already.
        return _Culprit(None, "", 0, "", "")
    innermost, call = frame, None
    frames: list[FrameType] = []
    outer: FrameType | None = frame
    while outer is not None:
        if outer.f_code is _INVOKE:
            call = outer.f_locals.get("inner")
            break
        frames.append(outer)
        outer = outer.f_back
    rows = [(frame, frame.f_lineno) for frame in reversed(frames)]
    return _Culprit(
        call if isinstance(call, Context) else None,
        innermost.f_code.co_filename,
        innermost.f_lineno,
        innermost.f_code.co_qualname,
        "".join(traceback.StackSummary.extract(iter(rows)).format()),
    )


def _warn(culprit: _Culprit, verb: str, since: float) -> None:
    if not log.isEnabledFor(logging.WARNING):
        return
    record = log.makeRecord(
        log.name,
        logging.WARNING,
        culprit.file,
        culprit.line,
        "the loop %s held up for at least %.2f s by %s",
        (verb, time.monotonic() - since, culprit),
        None,
        culprit.function,
        sinfo=culprit.stack or None,
    )
    # The log adds what it knows of the running call.
    with nullcontext() if culprit.call is None else bind(culprit.call):
        log.handle(record)
