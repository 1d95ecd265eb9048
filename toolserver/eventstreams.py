"""Server-sent events: a reply that goes on as things happen.

Spec: HTML standard, section 9.2 (server-sent events).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

import msgspec

from toolserver.message import Request, Response
from toolserver.subscribers import End, Subscriber

__all__ = ["CONTENT_TYPE", "ServerEvent", "event_stream", "last_event_id"]

CONTENT_TYPE = "text/event-stream"
_HEADERS = (
    ("Cache-Control", "no-store"),
    # nginx and those who follow it would hold events back.
    ("X-Accel-Buffering", "no"),
)
#: Milliseconds after which a browser comes again when the stream has broken off.
_RETRY = 2000
_PING = b": ping\n\n"
#: What ends a line of a stream.
_LINE_ENDS = re.compile(r"\r\n|\r|\n")
_LONGEST_ID = 256


class ServerEvent(msgspec.Struct, frozen=True):
    """One event.

    Attributes:
        data: What it tells; browsers drop events that tell nothing.
        event: Its type; empty for ``message``.
        id: What a client sends as ``Last-Event-ID`` when it comes again; empty for
            none.

    Raises:
        ValueError: The type or the id holds a line end or NUL, which no stream can
            carry.
    """

    data: str
    event: str = ""
    id: str = ""

    def __post_init__(self) -> None:
        for name, text in (("event", self.event), ("id", self.id)):
            if set(text) & {"\r", "\n", "\0"}:
                raise ValueError(f"{name}: got {text!r}, expected one line")

    def encode(self) -> bytes:
        """The event as it is sent."""
        lines = []
        if self.event:
            lines.append(f"event: {self.event}")
        if self.id:
            lines.append(f"id: {self.id}")
        lines += [f"data: {line}" for line in _LINE_ENDS.split(self.data)]
        return ("\n".join(lines) + "\n\n").encode("utf-8", "replace")


def last_event_id(request: Request) -> str:
    """The id of the last event that a client has got, before it came again.

    Args:
        request: The request.

    Returns:
        The id; empty where the client has got none or tells none that was sent.
    """
    sent: str = request.headers.get("last-event-id", "")
    if len(sent) > _LONGEST_ID:
        return ""
    # Browsers send UTF-8, which arrives here as Latin-1.
    return sent.encode("latin-1", "replace").decode("utf-8", "replace")


def event_stream(
    events: Iterable[ServerEvent | None], subscriber: Subscriber
) -> Response:
    """Answer with events as they happen.

    Where the server stops, an event of the type ``stopping`` is the last one.

    Args:
        events: The events, None where nothing has happened for a while: that keeps the
            connection open and finds out whether it is. Usually a generator that goes
            through the subscriber.
        subscriber: Who waits for them; it is closed with the answer.

    Returns:
        The answer, which is neither compressed nor kept anywhere.
    """
    return Response(
        _Stream(events, subscriber), content_type=CONTENT_TYPE, headers=_HEADERS
    )


class _Stream:
    """The events as bytes; lets go of the subscriber also if nobody begins to read."""

    def __init__(
        self, events: Iterable[ServerEvent | None], subscriber: Subscriber
    ) -> None:
        self._subscriber = subscriber
        self._events = events
        self._pieces = self._encode()

    def __iter__(self) -> Iterator[bytes]:
        return self._pieces

    def _encode(self) -> Iterator[bytes]:
        # At once, so that the client learns that it is connected.
        yield b"retry: %d\n\n" % _RETRY
        for event in self._events:
            yield _PING if event is None else event.encode()
        if self._subscriber.end is End.STOPPING:
            yield ServerEvent("the server stops", event="stopping").encode()

    def close(self) -> None:
        for part in (self._pieces, self._events):
            close = getattr(part, "close", None)
            if close is not None:
                close()
        self._subscriber.close()
