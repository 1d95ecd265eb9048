"""The calls that run, and their end.

The call path notes nothing down for this. A call is known by the frames of the greenlet
that makes it: the one of the dispatcher has its context, the one of the HTTP server
tells when its request came. So to be able to ask costs a call nothing.
"""

from __future__ import annotations

import itertools
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import FrameType
from typing import Any, NamedTuple

import gevent
from greenlet import greenlet

from toolserver.contexts import Context, request_id_text
from toolserver.debugger.stacks import all_greenlets, frames_of, place_of
from toolserver.dispatcher import Dispatcher
from toolserver.errors import CallKilled
from toolserver.http.exchange import Exchange
from toolserver.jobs.records import JobState
from toolserver.jobs.runner import Run
from toolserver.jobs.scheduler import Scheduler
from toolserver.jobs.spawning import SpawnedJob
from toolserver.message import Request
from toolserver.turns import Turns
from toolserver.web.app import App

__all__ = ["RunningCall", "RunningCalls"]

_INVOKE = Dispatcher.invoke.__code__
_SPAWNED = SpawnedJob.serve.__code__
_EXCHANGE = Exchange.run.__code__
_ANSWER = App.__call__.__code__
_MOST_JOBS = 1000
_STEP_S = 0.01
#: Seconds after which calls that have ended are forgotten.
_FORGET_S = 10.0


@dataclass(frozen=True)
class RunningCall:
    """A call that runs, or a request without one.

    Attributes:
        id: Its number, for `kill`, `stack` and `locals_of`.
        method: Full name of the method; of a request that makes no call, or whose
            answer is being made piece by piece, its verb and path.
        inside: Full name of the innermost method that it calls through the call path,
            or empty.
        seconds: Since when its request or job runs; None where nobody knows.
        left: Seconds until its time-out; None without one.
        client: The caller, or None for an anonymous one.
        protocol: How it arrived; empty where it began inside.
        request_id: The id of its request, as in the logs.
        job_id: The job that makes it, or None.
        at: Where it stands: file, line and function.
    """

    id: int
    method: str
    inside: str
    seconds: float | None
    left: float | None
    client: str | None
    protocol: str
    request_id: str
    job_id: str | None
    at: str


class _Known(NamedTuple):
    """A call that was listed.

    Attributes:
        number: Its number.
        greenlet: The greenlet that makes it.
        mark: What is the call's own as long as it runs, and no other's.
    """

    number: int
    greenlet: greenlet
    mark: object

    def find(self) -> _Found | None:
        """The call as it stands now; None where it has ended."""
        found = _find(self.greenlet, frames_of(self.greenlet))
        return found if found is not None and found.mark is self.mark else None


@dataclass(frozen=True)
class _Found:
    """A call in the stack of a greenlet.

    Attributes:
        greenlet: The greenlet.
        frames: Its stack, the innermost frame first.
        mark: See `_Known`.
        contexts: The contexts of the calls inside each other, the innermost first; or
            that of the request alone.
        is_call: Whether there is a call, not only a request.
    """

    greenlet: greenlet
    frames: list[FrameType]
    mark: object
    contexts: list[Context]
    is_call: bool

    @property
    def request_id(self) -> str:
        """The id of its request."""
        return self.contexts[-1].request_id


class RunningCalls:
    """Finds the calls that run in this process, and ends them.

    Args:
        scheduler: Knows since when jobs run, and ends them.
    """

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        self._numbers = itertools.count(1)
        # What was listed last, by the identities of the marks. These are kept, so that
        # a number that somebody has read stands for no other call meanwhile.
        self._known: dict[int, _Known] = {}
        self._forgetting: gevent.Greenlet[..., None] | None = None

    def running(self) -> list[RunningCall]:
        """The calls that run, the longest first."""
        found: list[_Found] = []
        began: dict[str, float] = {}
        turns = Turns()
        for task in all_greenlets():
            frames = frames_of(task)
            began.update(_requests(frames))
            found += filter(None, [_find(task, frames)])
            # Thousands of them take some time, in which others want theirs.
            turns.offer()
        # Where another greenlet makes the call of a request, the call is what counts.
        called = {each.request_id for each in found if each.is_call}
        found = [e for e in found if e.is_call or e.request_id not in called]
        jobs = self._jobs() if any(c.job for f in found for c in f.contexts) else {}
        known, self._known = self._known, {}
        calls = []
        for each in found:
            key = id(each.mark)
            number = known[key].number if key in known else next(self._numbers)
            self._known[key] = _Known(number, each.greenlet, each.mark)
            calls.append(_describe(number, each, began, jobs))
        if self._known and self._forgetting is None:
            self._forgetting = gevent.spawn(self._forget)
        return sorted(calls, key=lambda call: -(call.seconds or 0.0))

    def by_greenlet(self) -> dict[greenlet, int]:
        """The numbers of the calls that run, by the greenlets that make them."""
        self.running()
        return {each.greenlet: each.number for each in self._known.values()}

    def frames(self, call: RunningCall | int) -> list[FrameType]:
        """The stack of a call, the innermost frame first.

        Args:
            call: The call, or its number.

        Raises:
            LookupError: It does not run any more.
        """
        return self._again(call)[1].frames

    def kill(self, call: RunningCall | int, timeout: float) -> bool:
        """End a call: `CallKilled` is raised where it waits; a job is cancelled.

        Args:
            call: The call, or its number.
            timeout: Seconds to wait for its end.

        Returns:
            Whether it has ended.

        Raises:
            LookupError: It does not run any more.
        """
        known, found = self._again(call)
        job = found.contexts[-1].job
        if isinstance(job, SpawnedJob):
            job.cancel()
        elif isinstance(job, Run):
            self._scheduler.outcomes.cancel(job.id)
        else:
            self._throw(known)
        # It holds what the call holds.
        del found
        deadline = time.monotonic() + timeout
        while known.find() is not None:
            if time.monotonic() > deadline:
                return False
            gevent.sleep(_STEP_S)
        return True

    def close(self) -> None:
        """Forget all."""
        self._known.clear()
        if self._forgetting is not None:
            self._forgetting.kill(block=False)

    def _forget(self) -> None:
        """Let go of calls that have ended: their requests may be large."""
        while self._known:
            gevent.sleep(_FORGET_S)
            for key, known in list(self._known.items()):
                if known.find() is None:  # pragma: no branch - no test waits
                    self._known.pop(key, None)
        self._forgetting = None

    def _throw(self, known: _Known) -> None:
        def throw() -> None:
            # The greenlet may have ended the call meanwhile, and make another one.
            if known.find() is not None:  # pragma: no branch - a race
                known.greenlet.throw(CallKilled("ended by the operator of the server"))

        gevent.get_hub().loop.run_callback(throw)

    def _again(self, call: RunningCall | int) -> tuple[_Known, _Found]:
        number = call.id if isinstance(call, RunningCall) else call
        for known in self._known.values():
            if known.number == number and (found := known.find()) is not None:
                return known, found
        raise LookupError(f"no call {number!r} runs; 'calls()' lists those that do")

    def _jobs(self) -> dict[str, float]:
        """Since when jobs run, by the jobs' clock, made one of time.monotonic."""
        now, monotonic = self._scheduler.clock.now(), time.monotonic()
        running = self._scheduler.engine.find(state=JobState.RUNNING, limit=_MOST_JOBS)
        return {
            each.job.id: monotonic - (now - each.started)
            for each in running
            if each.started is not None
        }


def _find(task: greenlet, frames: list[FrameType]) -> _Found | None:
    """The outermost call in a stack; else the request, or None without one."""
    calls: list[Context] = []
    spawned: SpawnedJob | None = None
    asked: Context | None = None
    request: Request | None = None
    for frame in frames:
        if frame.f_code is _INVOKE:
            # Before it has one it is not seen: it does not wait until then.
            calls += filter(None, [frame.f_locals.get("inner")])
        elif frame.f_code is _SPAWNED:
            spawned = frame.f_locals["self"]
        elif frame.f_code is _ANSWER:
            asked = frame.f_locals.get("context")
        elif frame.f_code is _EXCHANGE:
            request = getattr(frame.f_locals["self"], "request", None)
    if spawned is not None and spawned.context is not None:
        return _Found(task, frames, spawned, [*calls, spawned.context], is_call=True)
    if calls:
        return _Found(task, frames, calls[-1], calls, is_call=True)
    if asked is not None:
        return _Found(task, frames, asked, [asked], is_call=False)
    if request is not None:
        id_ = request_id_text(request.notes.get("number", ""))
        asked = Context(request=request, request_id=id_)
        return _Found(task, frames, request, [asked], is_call=False)
    return None


def _requests(frames: Iterable[FrameType]) -> Iterator[tuple[str, float]]:
    """By the id of the request in a stack: since when it runs, by `time.monotonic`."""
    for frame in frames:
        if frame.f_code is _EXCHANGE:
            begin = frame.f_locals.get("begin")
            request = getattr(frame.f_locals["self"], "request", None)
            if begin and request is not None:  # pragma: no branch - a race
                apart = time.monotonic() - time.perf_counter()
                number = request.notes.get("number", "")
                yield request_id_text(number), begin + apart


def _describe(
    number: int,
    found: _Found,
    began: Mapping[str, float],
    jobs: Mapping[str, float],
) -> RunningCall:
    outer, inner = found.contexts[-1], found.contexts[0]
    now = time.monotonic()
    since = began.get(found.request_id) if outer.job is None else jobs.get(outer.job.id)
    deadline = inner.deadline
    return RunningCall(
        id=number,
        method=_method(found),
        inside=_name(inner) if inner is not outer else "",
        seconds=None if since is None else now - since,
        left=None if deadline is None else deadline - now,
        client=outer.client,
        protocol=outer.protocol,
        request_id=found.request_id,
        job_id=outer.job_id,
        at=place_of(found.frames, _file_of(inner.tool)),
    )


def _method(found: _Found) -> str:
    if not found.is_call:
        return _target(found.contexts[-1])
    for context in reversed(found.contexts):
        if context.method:
            return _name(context)
    # A spawned function that is no method of a tool.
    spawned = next(frame for frame in found.frames if frame.f_code is _SPAWNED)
    job: SpawnedJob = spawned.f_locals["self"]
    return job.name


def _name(context: Context) -> str:
    namespace = getattr(context.tool, "namespace", "")
    return f"{namespace}.{context.method}" if namespace else context.method


def _target(context: Context) -> str:
    request = context.request
    return "" if request is None else f"{request.method} {request.path}"


def _file_of(tool: Any) -> str | None:
    module = sys.modules.get(type(tool).__module__)
    return getattr(module, "__file__", None)
