"""Mutants of real requests, sent to a server, which has to stand them.

Whatever it is sent, a server answers by well-formed HTTP or closes; it never fails
itself, and the connection beside is answered as ever.
"""

from __future__ import annotations

import random
import re
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import gevent

from soak.mutation import Mutator
from soak.wire import Malformed, exchange, read_answers

__all__ = ["Fuzzer", "fault_of"]

#: Failures that a caller may cause: not offered, too much just now, no such version.
_MAY_FAIL = (501, 503, 505)
#: SOAP tells each fault with 500; these are of who failed itself.
_OWN_FAULT = re.compile(rb"InternalError|internal error, reference")
_SOAP_FAULT = re.compile(rb"<(?:\w+:)?Fault[ >]")


@dataclass
class Fuzzer:
    """Sends mutants, and judges what comes back.

    Attributes:
        port: Where the server listens on the loopback.
        seeds: Whole requests as clients send them.
        seed: From which all mutants are made; the same ones each time.
        statuses: How often each status was answered; 0 for closing without an answer.
        faults: What was not as it should be, with the bytes that were sent.
        timeout: Seconds for an answer, longer than any tool waits.
    """

    port: int
    seeds: Sequence[bytes]
    seed: object
    statuses: Counter[int] = field(default_factory=Counter)
    faults: list[tuple[str, bytes]] = field(default_factory=list)
    timeout: float = 60.0

    def __post_init__(self) -> None:
        self._mutator = Mutator(self.seeds, random.Random(self.seed))

    def run(self, count: int, *, greenlets: int = 4, until: float = 0.0) -> None:
        """Send so many mutants.

        Args:
            count: How many.
            greenlets: How many connections at the same time.
            until: When to end at the latest, on the monotonic clock; 0.0 for no bound.
        """
        left = iter(range(count))

        def send() -> None:
            for _ in left:
                if until and time.monotonic() > until:
                    return
                self.send(self._mutator.mutant())

        gevent.joinall([gevent.spawn(send) for _ in range(greenlets)], raise_error=True)

    def send(self, data: bytes) -> None:
        """Send one request, and note what is wrong with its answer."""
        try:
            received = exchange(self.port, data, timeout=self.timeout)
        except TimeoutError:
            self.faults.append(("neither an answer nor an end", data))
            return
        except OSError as error:
            self.faults.append((f"no connection: {error}", data))
            return
        fault, statuses = fault_of(data, received)
        self.statuses.update(statuses)
        if fault:
            self.faults.append((fault, data))


def fault_of(sent: bytes, received: bytes) -> tuple[str, list[int]]:
    """What is wrong with the answers to a request, and their statuses.

    Args:
        sent: The request.
        received: All that came back.

    Returns:
        The fault, or nothing; and the statuses, 0 if there was no answer.
    """
    try:
        answers = read_answers(received, is_head=sent.lstrip().startswith(b"HEAD "))
    except Malformed as error:
        return f"malformed: {error}", []
    statuses = [answer.status for answer in answers] or [0]
    for answer in answers:
        if answer.status < 500 or answer.status in _MAY_FAIL:
            continue
        is_fault = _SOAP_FAULT.search(answer.body) is not None
        if not is_fault or _OWN_FAULT.search(answer.body):
            return f"{answer.status}: {answer.body[:500]!r}", statuses
    return "", statuses
