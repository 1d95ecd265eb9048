"""The hub: what a server of several worker processes keeps in their master.

Each worker is connected by a socket of its own. The hub carries what one publishes to
the others, and hosts the space that all share. It knows neither tools nor clients, and
waits for no worker: one that does not read what it is told is cut off after a while,
and ends by it.
"""

from __future__ import annotations

import logging
import socket
import time
from collections.abc import Callable, Sequence
from typing import Any

import gevent

from toolserver.errors import Overload
from toolserver.sharing.channel import Channel
from toolserver.sharing.hubspace import HubSpace
from toolserver.sharing.messages import Asked, Kind

__all__ = ["Hub"]

log = logging.getLogger("toolserver")

#: Seconds for which those who publish wait for a worker that does not read.
_PATIENCE = 5.0


class Hub:
    """Connects the workers of a server.

    Args:
        max_tuples: Number of tuples that their space holds at most.
        clock: Gives the time in seconds by which lifetimes of tuples are measured.
        survey: Gives the sums of what the workers have counted.
    """

    def __init__(
        self,
        *,
        max_tuples: int = 100_000,
        clock: Callable[[], float] = time.monotonic,
        survey: Callable[[], Sequence[object]] = tuple,
    ) -> None:
        self._peers: list[_Peer] = []
        self._survey = survey
        self._space = HubSpace(
            max_tuples=max_tuples, clock=clock, on_expired=self._tell_expired
        )

    def __len__(self) -> int:
        """Number of workers that are connected."""
        return len(self._peers)

    def attach(self, sock: socket.socket) -> None:
        """Connect a worker, until its end of the socket is closed.

        Args:
            sock: The hub's end of a pair of sockets; it belongs to the hub from now on.
        """
        peer = _Peer(self, sock)
        self._peers.append(peer)
        peer.start()

    def close(self) -> None:
        """Disconnect all workers, which end by it."""
        for peer in list(self._peers):
            peer.close()

    def _leave(self, peer: _Peer) -> None:
        self._peers.remove(peer)
        self._space.leave(peer)

    def _publish(self, source: _Peer, topic: str, packed: bytes) -> None:
        for peer in list(self._peers):
            if peer is not source:
                peer.send(Kind.PUBLISHED, topic, packed)
                if not peer.channel.wait_for_room(_PATIENCE):
                    peer.cut_off()

    def _tell_expired(self, packed: list[bytes]) -> None:
        # Where no worker is left, there is no handler either.
        for peer in self._peers[:1]:
            for values in packed:
                peer.send(Kind.EXPIRED, values)

    def handle(self, peer: _Peer, message: list[Any]) -> None:
        """Do what a worker asks for.

        Args:
            peer: The worker.
            message: Its message.

        Raises:
            ValueError: It is none that a worker sends.
            TypeError: It has other parts than it should.
        """
        kind, *parts = message
        space = self._space
        if kind == Kind.PUBLISH:
            self._publish(peer, *parts)
        elif kind == Kind.OUT:
            request, packed, ttl = parts
            if space.out(packed, ttl):
                peer.send(Kind.DONE, request, 0)
            else:
                peer.send(Kind.FULL, request, space.max_tuples)
        elif kind == Kind.ASK:
            id, *asked = parts
            space.ask(peer, id, Asked.read(asked))
        elif kind == Kind.VERDICT:
            space.judge(peer, *parts)
        elif kind == Kind.CONFIRM:
            space.confirm(peer, *parts)
        elif kind == Kind.CANCEL:
            space.cancel(peer, *parts)
        elif kind == Kind.LISTEN:
            space.listen(peer, *parts)
        elif kind == Kind.NOTIFY:
            request, topic, packed = parts
            peer.send(Kind.DONE, request, space.notify(topic, packed))
        elif kind == Kind.COUNT:
            (request,) = parts
            peer.send(Kind.DONE, request, space.count())
        elif kind == Kind.SURVEY:
            (request,) = parts
            peer.send(Kind.SURVEYED, request, self._survey())
        else:
            raise ValueError(f"got a message of the kind {kind}")


class _Peer:
    """A worker that is connected."""

    def __init__(self, hub: Hub, sock: socket.socket) -> None:
        self.channel = Channel(sock)
        self._hub = hub

    def start(self) -> None:
        """Read what it sends."""
        gevent.spawn(self._read)

    def send(self, *message: object) -> None:
        """Send it a message; one that does not read is cut off."""
        try:
            self.channel.send(message)
        except Overload:
            self.cut_off()

    def cut_off(self) -> None:
        """End the connection to a worker that does not read."""
        log.error("a worker has not read what it was told; it is cut off")
        self.close()

    def close(self) -> None:
        """End the connection."""
        self.channel.close()

    def _read(self) -> None:
        try:
            for message in self.channel.messages():
                self._hub.handle(self, message)
        except Exception:
            # Whatever one worker sends, the others go on.
            log.exception("a worker has sent what is no message; it is cut off")
        finally:
            self.channel.close()
            self._hub._leave(self)
