"""Clients that nobody wants: with broken requests, slow, vanishing, many, guessing."""

from __future__ import annotations

import base64
import random
import socket
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress

import gevent
import gevent.pool
from gevent.event import Event

from soak.fuzz import fault_of
from soak.mutation import Mutator
from soak.record import Record
from soak.wire import Malformed, exchange, read_answers, reset, take

__all__ = ["Hostile"]

_SLOW = (
    b"POST /soak/echo/text HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\nte"
)
_STREAM = b"GET /soak/echo/lines?count=2000 HTTP/1.1\r\nHost: localhost\r\n\r\n"
_PAUSE = b"GET /soak/echo/pause?seconds=1&number=1 HTTP/1.1\r\nHost: localhost\r\n\r\n"
_QUICK = b"GET /soak/echo/text?text=a HTTP/1.1\r\nHost: localhost\r\n\r\n"
#: Seconds after which an answer is given up; around kills there may be none.
_PATIENCE = 30.0


class Hostile:
    """Does one bad thing after the other.

    Args:
        port: Where the server listens on the loopback.
        record: Where it notes what it did, and wrong answers.
        seeds: Requests of good clients, to be mutated.
        dice: Tells what it does.
    """

    def __init__(
        self, port: int, record: Record, seeds: list[bytes], dice: random.Random
    ) -> None:
        self._port = port
        self._record = record
        self._seeds = seeds
        self._mutator = Mutator(seeds, dice)
        self._dice = dice

    def run(self, pause: float, stopping: Event) -> None:
        """Do bad things until all shall end.

        Args:
            pause: Seconds between two of them, on average.
            stopping: Set when all shall end.
        """
        deeds: list[Callable[[], str]] = [
            *([self.mutate] * 8 + [self.repeat] * 2),
            *(self.dawdle, self.vanish, self.flood, self.guess, self.pipeline),
        ]
        while not stopping.wait(pause * self._dice.uniform(0.5, 1.5)):
            deed = self._dice.choice(deeds)
            try:
                outcome = deed()
            except OSError as error:
                # Where a process was killed just now there is nobody to answer.
                outcome = type(error).__name__
            except Malformed as error:
                self._record.tell_wrong(f"{deed.__name__}: {error}")
                outcome = "malformed"
            self._record.attacks[deed.__name__, outcome] += 1

    def mutate(self) -> str:
        """Send a mutant of a request of a good client."""
        data = self._mutator.mutant()
        # Others wait until the server has enough of them.
        half_close = self._dice.random() < 0.95
        received = exchange(self._port, data, timeout=_PATIENCE, half_close=half_close)
        return self._judged(data, received)

    def repeat(self) -> str:
        """Send again what somebody has sent before, signatures and all."""
        data = self._dice.choice(self._seeds)
        return self._judged(data, exchange(self._port, data, timeout=_PATIENCE))

    def dawdle(self) -> str:
        """Send a request byte by byte, and never all of it."""
        data = self._dice.choice((_SLOW, _QUICK[:-2]))
        received = bytearray()
        with socket.create_connection(("127.0.0.1", self._port), 10) as connection:
            for at in range(0, len(data), 8):
                connection.sendall(data[at : at + 8])
                gevent.sleep(self._dice.uniform(0.01, 0.1))
            if self._dice.random() < 0.5:
                return "left"
            with suppress(ConnectionError):
                take(connection, received, time.monotonic() + _PATIENCE)
        return self._judged(data, bytes(received))

    def vanish(self) -> str:
        """Ask for something, and be gone before it is answered."""
        data = self._dice.choice((_STREAM, _PAUSE, *self._seeds[:20]))
        connection = socket.create_connection(("127.0.0.1", self._port), 10)
        try:
            connection.sendall(data)
            gevent.sleep(self._dice.random() * 0.05)
        finally:
            reset(connection)
        return "gone"

    def flood(self) -> str:
        """Open many connections at once, with noise on some of them."""
        with ExitStack() as stack:
            for _ in range(50):
                opened = socket.create_connection(("127.0.0.1", self._port), 10)
                stack.enter_context(opened)
                if self._dice.random() < 0.3:
                    with suppress(ConnectionError):
                        opened.sendall(self._dice.randbytes(200))
            gevent.sleep(0.1)
        return "gone"

    def guess(self) -> str:
        """Guess passwords, several at once, so that all threads that check them do."""
        outcomes = gevent.pool.Group().map(lambda _: self._guess_one(), range(6))
        return max(set(outcomes), key=outcomes.count)

    def _guess_one(self) -> str:
        pair = f"user{self._dice.randrange(1000)}:{self._dice.random()}".encode()
        data = (
            b"GET /soak/private/who HTTP/1.1\r\nHost: localhost\r\n"
            b"Authorization: Basic %b\r\n\r\n" % base64.b64encode(pair)
        )
        try:
            received = exchange(self._port, data, timeout=_PATIENCE)
        except OSError as error:
            return type(error).__name__
        for answer in read_answers(received):
            if answer.status not in (401, 429, 503):
                self._record.tell_wrong(f"guess: {answer.status} {answer.body!r}")
        return self._judged(data, received)

    def pipeline(self) -> str:
        """Send many requests at once, and read the answers in order."""
        data = _QUICK * 40
        received = exchange(self._port, data, timeout=_PATIENCE)
        answers = read_answers(received)
        if any(answer.body != b"a" for answer in answers if answer.status == 200):
            self._record.tell_wrong(f"pipeline: {received[:500]!r}")
        return self._judged(data, received)

    def _judged(self, sent: bytes, received: bytes) -> str:
        fault, statuses = fault_of(sent, received)
        if fault:
            self._record.tell_wrong(f"{fault} to {sent[:2000]!r}")
        return str(statuses[0]) if statuses else "malformed"
