"""What all good clients do: ask, judge the answer, and note what they saw."""

from __future__ import annotations

import http.client
import json
import random
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import gevent
import requests
from gevent.event import Event

from soak.record import Failure, Record
from toolserver.client import RemoteToolserver
from toolserver.client.failures import AnswerError
from toolserver.errors import Overload
from toolserver.events import wait_for

__all__ = ["Client", "Place", "Wrong", "expect"]

#: Seconds for an answer; a machine that is busy needs long for some.
PATIENCE = 30.0
#: Seconds after which a job that has not ended counts as lost.
LONGEST = 120.0
#: Letters of names and texts, of all lengths in UTF-8, and what markup escapes.
LETTERS = "abcdefgh ABCDEFGH 0123456789 <>&'\" äöüß €λ 中文 😀"


class Wrong(Exception):
    """An answer that is not what it should be."""


@dataclass(frozen=True)
class Place:
    """Where clients find the server, and where they note what they see.

    Attributes:
        url: The address of the server, without a slash at the end.
        keys: The folder with the caller's private key and the server's public one.
        record: Where they note what they see.
        pause: Seconds between two requests of a client, on average.
        stopping: Set when they shall end.
    """

    url: str
    keys: Path
    record: Record
    pause: float
    stopping: Event


def expect(got: Any, expected: Any, what: str = "") -> None:
    """Refuse an answer that is another one.

    Raises:
        Wrong: It is another one, or of another type.
    """
    if got != expected or isinstance(got, bool) != isinstance(expected, bool):
        raise Wrong(f"{what}: got {got!r:.500}, expected {expected!r:.500}")


def reason_of(error: BaseException) -> str | None:
    """Why there was no answer; None where there was one, and so a wrong one."""
    # Each library has its own name for it.
    statuses = (getattr(error, name, 0) for name in ("status", "status_code"))
    if 503 in statuses:
        return "503"
    if isinstance(error, AnswerError):
        return None
    if isinstance(error, requests.Timeout | TimeoutError):
        return "time-out"
    if not isinstance(
        error, http.client.HTTPException | OSError | requests.RequestException
    ) or isinstance(error, requests.JSONDecodeError):
        return None
    cause: BaseException | None = error
    for _ in range(10):
        if isinstance(cause, ConnectionRefusedError):
            return "connection refused"
        if cause is None:
            break
        told = [each for each in cause.args if isinstance(each, BaseException)]
        inner = getattr(cause, "reason", None)
        cause = (
            cause.__cause__
            or cause.__context__
            or (told[0] if told else None)
            or (inner if isinstance(inner, BaseException) else None)
        )
    return "broken connection"


class Client:
    """A client of one protocol, which does one thing after the other.

    Args:
        place: Where the server is.
        number: Tells it from others of its kind.
        seed: From which it makes what it sends.

    Attributes:
        label: What it speaks, as the tables call it.
    """

    label: ClassVar[str] = ""

    def __init__(self, place: Place, number: int | str, seed: object) -> None:
        self.place = place
        self.record = place.record
        self.dice = random.Random(f"{seed}/{self.label}/{number}")
        self._number = number
        self._count = 0
        self._opened: list[Any] = []

    def actions(self) -> Sequence[Callable[[], None]]:
        """What it can do, one request or a few each."""
        raise NotImplementedError

    def run(self) -> None:
        """Do one thing after the other until all shall end."""
        stopping, pause = self.place.stopping, self.place.pause
        # Not all at the same moment.
        stopping.wait(self.dice.random() * pause)
        actions = self.actions()
        good = time.monotonic()
        while not stopping.is_set():
            if self.attempt(self.dice.choice(actions), good):
                good = time.monotonic()
            wait_for(stopping, pause * self.dice.uniform(0.5, 1.5))
        self.close()

    def attempt(self, action: Callable[[], None], good: float) -> bool:
        """Do one thing; whether there was an answer.

        Args:
            action: What to do.
            good: When the connection was last known to be good.
        """
        try:
            action()
        except Exception as error:
            name = f"{self.label} {action.__name__}"
            reason = reason_of(error)
            if reason is None:
                told = "" if isinstance(error, Wrong) else traceback.format_exc()
                self.record.tell_wrong(f"{name}: {error} {told}"[:4000])
                return True
            self.record.failures.append(
                Failure(self.label, reason, good, time.monotonic(), f"{name}: {error}")
            )
            return False
        self.record.answers[self.label] += 1
        return True

    def close(self) -> None:
        """Close its connections."""
        for each in self._opened:
            each.close()

    def session(self) -> requests.Session:
        """A session of its own for plain requests."""
        session = requests.Session()
        session.trust_env = False
        self._opened.append(session)
        return session

    def remote(self, protocol: Any, **options: Any) -> RemoteToolserver:
        """Our own client, which repeats nothing by itself."""
        options = {"retries": 0, "timeout": PATIENCE, "proxies": {}} | options
        found = RemoteToolserver(self.place.url + "/", protocol, **options)
        self._opened.append(found)
        return found

    def insist(self, ask: Callable[[], Any]) -> Any:
        """Ask about a job until there is an answer.

        Raises:
            Wrong: There is none for so long that the job counts as lost.
        """
        deadline = time.monotonic() + LONGEST
        while True:
            try:
                return ask()
            except Exception as error:
                if reason_of(error) is None:
                    raise
                if time.monotonic() > deadline:
                    raise Wrong(f"a job has no end: {error}") from error
            pause(0.2)

    def note(self, call: Callable[[str], Any]) -> None:
        """Make a call that may be made only once, and see that it was made."""
        name = self.name()
        expect(call(name), name, "note")
        self.record.notes[name] = self.label

    def name(self) -> str:
        """A name that nobody else has."""
        self._count += 1
        return f"{self.label}/{self._number}/{self._count}"

    def text(self) -> str:
        """Some text, which has no white space at its ends."""
        size = self.dice.choice((1, 10, 100, 2000))
        middle = "".join(self.dice.choices(LETTERS, k=size))
        return f"[{middle}]"

    def order(self) -> dict[str, Any]:
        """A record of records."""
        dice = self.dice
        lines = [
            {
                "item": self.text()[:60],
                "count": dice.randint(0, 1000),
                "price": dice.randint(1, 10**6) / 100,
            }
            for _ in range(dice.randint(1, 8))
        ]
        return {
            "number": dice.randint(-(2**31), 2**31 - 1),
            "customer": self.text()[:60],
            "lines": lines,
            "express": dice.random() < 0.5,
        }

    def total(self, order: dict[str, Any]) -> float:
        """What an order costs."""
        return float(sum(line["count"] * line["price"] for line in order["lines"]))


def checked(answer: requests.Response, status: int = 200) -> requests.Response:
    """An answer with the status that it should have.

    Raises:
        Overload: The server has too much to do, or is about to end.
        Wrong: It has another one.
    """
    if answer.status_code == 503 and status != 503:
        raise Overload(answer.text[:300])
    expect(answer.status_code, status, f"status of {answer.url} {answer.text[:300]!r}")
    return answer


def events(lines: Any) -> Any:
    """Read server-sent events: kind and data, parsed."""
    kind, data = "message", []
    for line in lines:
        told = (line.decode() if isinstance(line, bytes) else line).rstrip("\r\n")
        name, _, value = told.partition(":")
        value = value.removeprefix(" ")
        if name == "event":
            kind = value
        elif name == "data":
            data.append(value)
        elif not told and data:
            # An event without anything in it only shows that the stream is there.
            if text := "\n".join(data):
                yield kind, json.loads(text)
            kind, data = "message", []


def pause(seconds: float) -> None:
    """Let others go on."""
    gevent.sleep(seconds)
