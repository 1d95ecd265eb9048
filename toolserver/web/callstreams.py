"""Calls whose callers hear of their progress, and may go away meanwhile.

A call that ends soon is answered as usual. One that takes longer, or tells of its
progress, is answered by a stream of server-sent events, the last of which is the
answer. Who hangs up ends the call.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextvars import copy_context
from typing import Any, Protocol, runtime_checkable

import gevent

from toolserver.bus import Bus
from toolserver.calls import Call, Outcome
from toolserver.contexts import Context, bind, current
from toolserver.errors import CallCancelled
from toolserver.eventstreams import ServerEvent, event_stream
from toolserver.jobs.progress import CANCEL_CALL, listener
from toolserver.message import Request, Response
from toolserver.services import Services
from toolserver.subscribers import Subscriber, Subscribers
from toolserver.web.calllogs import follow_log
from toolserver.web.callnews import CallNews, LogLine

__all__ = ["CallStreams", "StreamingProtocol"]

#: Seconds for which nobody is told anything about a call, as it may end.
_SOON = 1.0

Encode = Callable[[list[Outcome]], Response]


@runtime_checkable
class StreamingProtocol(Protocol):
    """What a protocol has whose callers may hear of progress."""

    def stream_key(self, request: Request, call: Call) -> str | None:
        """By what the caller may ask for the end of a call, perhaps empty.

        Args:
            request: The request.
            call: The call.

        Returns:
            The key; None where the caller takes no stream.
        """
        ...

    def encode_progress(
        self, request: Request, call: Call, fraction: float, text: str
    ) -> str | None:
        """What is told of progress, or None for nothing.

        Args:
            request: The request.
            call: The call.
            fraction: How much is done, from 0 to 1.
            text: What is being done.
        """
        ...

    def log_level(self, request: Request, call: Call) -> int | None:
        """From which level on the caller follows what the tool logs.

        Args:
            request: The request.
            call: The call.

        Returns:
            The level, as `logging` numbers it; None where the caller follows nothing.
        """
        ...

    def encode_log(self, level: int, logger: str, text: str) -> str:
        """What is told of a line that a tool has logged.

        Args:
            level: Its level, as `logging` numbers it.
            logger: The logger.
            text: The message.
        """
        ...


class CallStreams:
    """Makes calls whose callers may hear of their progress.

    Args:
        services: The parts of the server.
    """

    def __init__(self, services: Services) -> None:
        self._services = services
        self._running: dict[str, gevent.Greenlet[..., None]] = {}
        self._is_subscribed = False

    def answer(
        self,
        codec: StreamingProtocol,
        request: Request,
        call: Call,
        make: Callable[[Call], Outcome],
        encode: Encode,
    ) -> Response | None:
        """Make a call and answer with what becomes of it, sooner or later.

        Args:
            codec: The protocol.
            request: The request.
            call: The call.
            make: Makes it.
            encode: Writes the answer.

        Returns:
            The answer; None where the caller takes no stream: nothing was done.
        """
        key = codec.stream_key(request, call)
        if key is None:
            return None
        offered = self._services
        subscriber = offered.part(Subscribers).admit(
            request, offered.settings, outlasts_stop=True
        )
        try:
            level = codec.log_level(request, call)
            greenlet = self._start(call, make, subscriber, key, level)
            first = self._first(subscriber, greenlet)
        except BaseException:
            subscriber.close()
            raise
        if isinstance(first, Outcome):
            subscriber.close()
            return encode([first])

        def events() -> Iterator[ServerEvent | None]:
            try:
                for item in _with_first(first, subscriber):
                    if isinstance(item, Outcome):
                        # Who has cancelled it himself waits for no answer.
                        if type(item.error) is not CallCancelled:
                            yield ServerEvent(_text(encode([item])), event="message")
                        return
                    if item is None:
                        yield None
                        continue
                    for told in _encoded(codec, request, call, item):
                        yield ServerEvent(told, event="message")
            finally:
                # Nobody waits for it any more.
                _end(greenlet)

        return event_stream(events(), subscriber)

    def _start(
        self,
        call: Call,
        make: Callable[[Call], Outcome],
        subscriber: Subscriber,
        key: str,
        level: int | None,
    ) -> gevent.Greenlet[..., None]:
        news = CallNews(subscriber)

        def work() -> None:
            outer = current() or Context(services=self._services)
            inner = outer.nested(outer.tool, outer.method)
            with bind(inner):
                listener.set(news.tell_progress)
                if level is not None:
                    self._follow_log(call, level, news)
                outcome = make(call)
            subscriber.put(outcome)

        greenlet = gevent.Greenlet(copy_context().run, work)
        if key:
            self._subscribe()
            self._running[key] = greenlet
            greenlet.rawlink(lambda _: self._running.pop(key, None))
        greenlet.start()
        return greenlet

    def _follow_log(self, call: Call, level: int, news: CallNews) -> None:
        try:
            tool = self._services.registry.target(call.name).tool
        except Exception:  # why it cannot be called, the call itself tells
            return
        follow_log(tool.log, level, news.tell_line)

    def _first(
        self, subscriber: Subscriber, greenlet: gevent.Greenlet[..., None]
    ) -> Any:
        """The outcome if it comes soon, else the first news, or None."""
        deadline = time.monotonic() + _SOON
        try:
            return subscriber.get(deadline - time.monotonic())
        except BaseException:
            _end(greenlet)
            raise

    def _subscribe(self) -> None:
        if not self._is_subscribed:
            self._is_subscribed = True
            self._services.part(Bus).subscribe(CANCEL_CALL, self._cancel)

    def _cancel(self, key: str) -> None:
        greenlet = self._running.get(key)
        if greenlet is not None:
            _end(greenlet)


def _end(greenlet: gevent.Greenlet[..., None]) -> None:
    """End a call; as an error that is told, not as a failure of the tool."""
    greenlet.kill(CallCancelled("the caller has cancelled it"), block=False)


def _encoded(
    codec: StreamingProtocol, request: Request, call: Call, news: CallNews
) -> Iterator[str]:
    for item in news.take():
        if isinstance(item, LogLine):
            yield codec.encode_log(item.level, item.logger, item.text)
            continue
        told = codec.encode_progress(request, call, item.fraction, item.text)
        if told is not None:
            yield told


def _text(answer: Response) -> str:
    body = answer.body
    return body.decode() if isinstance(body, bytes) else str(body)


def _with_first(first: Any, subscriber: Subscriber) -> Iterator[Any]:
    if first is not None:
        yield first
    yield from subscriber
