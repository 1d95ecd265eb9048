"""A worker's end of the connection to the hub in its master."""

from __future__ import annotations

import itertools
import logging
import socket
from collections.abc import Callable
from typing import Any

import gevent
from gevent.event import Event
from gevent.queue import SimpleQueue

from toolserver.errors import Overload
from toolserver.sharing.channel import Channel
from toolserver.sharing.messages import Kind
from toolserver.sharing.values import pack, unpack

__all__ = ["Answers", "Link", "LinkLost"]

log = logging.getLogger("toolserver")


class LinkLost(Overload):
    """The master process has gone, and with it what the workers share."""


#: The messages that answer one ask or request; None after the last one.
Answers = SimpleQueue


class Link:
    """The connection to the hub. It is never made anew: without it the worker ends.

    Args:
        sock: The worker's end of a pair of sockets, of which it is the owner.
    """

    def __init__(self, sock: socket.socket) -> None:
        self._channel = Channel(sock)
        self._ids = itertools.count(1)
        self._answers: dict[int, Answers[list[Any] | None]] = {}
        self._published: Callable[[str, Any], object] = _ignore
        self._expired: Callable[[Any], object] = _ignore
        self._ended: list[Callable[[], object]] = []
        self._is_ours = False
        self.ended = Event()
        self._reader = gevent.spawn(self._read)

    def on_published(self, callback: Callable[[str, Any], object]) -> None:
        """Set what is told topics and values that other workers publish."""
        self._published = callback

    def on_expired(self, callback: Callable[[Any], object]) -> None:
        """Set what is told tuples that have outlived their time.

        Of all workers of a server one is told of each.
        """
        self._expired = callback

    def on_end(self, callback: Callable[[], object]) -> None:
        """Be told when the master has gone; also where that was before.

        Args:
            callback: Is called once, not where the link was closed on this side.
        """
        self._ended.append(callback)
        if self.ended.is_set() and not self._is_ours:
            callback()

    def publish(self, topic: str, value: Any) -> None:
        """Tell a value to the other workers.

        Args:
            topic: The topic.
            value: The value.

        Raises:
            TypeError: The value cannot be carried.
            Overload: Too much waits to be sent.
        """
        self._channel.send((Kind.PUBLISH, topic, pack(value)))

    def open(self) -> int:
        """Give a number to an ask or a request, whose answers are to be kept."""
        id = next(self._ids)
        self._answers[id] = Answers()
        if self.ended.is_set():
            self._answers[id].put(None)
        return id

    def close_ask(self, id: int) -> None:
        """Forget an ask or a request; what still answers it is dropped."""
        self._answers.pop(id, None)

    def give_up(self, id: int) -> None:
        """Let who waits for an answer fail as if the master had gone."""
        self._answers[id].put(None)

    def send(self, *message: object) -> None:
        """Send a message to the hub.

        Raises:
            Overload: Too much waits to be sent.
        """
        self._channel.send(message)

    def answer(self, id: int, timeout: float | None = None) -> list[Any]:
        """Wait for the next message that answers an ask or a request.

        Args:
            id: Its number.
            timeout: Seconds to wait; None for no bound.

        Raises:
            LinkLost: The master has gone, or the ask was given up.
            gevent.queue.Empty: Nothing came in time.
        """
        found = self._answers[id].get(timeout=timeout)
        if found is None:
            raise LinkLost("the master process of this worker has gone")
        return found

    def request(self, kind: Kind, *parts: object) -> list[Any]:
        """Send a message, and wait for the one that answers it.

        Args:
            kind: What it is for.
            *parts: Its parts after the number of the request.

        Returns:
            The answer: its kind, and the parts after the number.

        Raises:
            LinkLost: The master has gone.
            Overload: Too much waits to be sent.
        """
        id = self.open()
        try:
            self.send(kind, id, *parts)
            return self.answer(id)
        finally:
            self.close_ask(id)

    def close(self) -> None:
        """End the connection."""
        self._is_ours = True
        self._channel.close()
        self._end()

    def _read(self) -> None:
        try:
            for message in self._channel.messages():
                self._take(message)
        except (ValueError, TypeError):
            log.exception("the master has sent what is no message")
        finally:
            self._channel.close()
            self._end()

    def _take(self, message: list[Any]) -> None:
        kind, *parts = message
        if kind == Kind.PUBLISHED:
            topic, packed = parts
            self._published(topic, unpack(packed))
        elif kind == Kind.EXPIRED:
            self._expired(unpack(parts[0]))
        else:
            id, *parts = parts
            answers = self._answers.get(id)
            # It may have been given up meanwhile.
            if answers is not None:
                answers.put([kind, *parts])

    def _end(self) -> None:
        if self.ended.is_set():
            return
        self.ended.set()
        for answers in self._answers.values():
            answers.put(None)
        if not self._is_ours:
            for callback in self._ended:
                callback()


def _ignore(*values: Any) -> None:
    """Nobody has asked to be told."""
