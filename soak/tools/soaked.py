"""The tools that are soaked: what they do is known exactly, and so can be judged."""

from __future__ import annotations

import gc
import hashlib
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Annotated, Literal

import gevent
import greenlet
import msgspec

from toolserver import (
    AuthenticatedTool,
    CRAMSettings,
    FactoryTool,
    NoTuple,
    OnlyRPCCRAMTool,
    StandardTool,
    TransientTool,
    chain,
    context,
    idempotent,
    notify,
    progress,
    prompt,
    read_only,
    register,
    resource,
    rest,
    threaded,
    universe,
    wait,
)
from toolserver.errors import Conflict
from toolserver.jobs.records import JobChange

#: What is told where nobody has left or told anything.
NOTHING = "nothing came"

Seconds = Annotated[float, msgspec.Meta(ge=0.0, le=2.0)]
Patience = Annotated[float, msgspec.Meta(ge=0.0, le=30.0)]
Count = Annotated[int, msgspec.Meta(ge=0, le=2000)]


def write(*words: object) -> None:
    """Append a line to the journal, whose readers know what really happened."""
    path = os.environ.get("SOAK_JOURNAL")
    if path is None:
        return
    line = " ".join(map(str, words)) + "\n"
    with open(path, "ab", buffering=0) as journal:
        journal.write(line.encode())


def shown(name: str) -> str:
    """A name as one word, whatever it is."""
    return f"x{name.encode().hex()}"


@chain("system.job.state", JobChange).append
def job_changed(change: JobChange) -> None:
    """Write down each change of a stored job that is told."""
    write("state", change.id, change.state, os.getpid())


@dataclass
class Line:
    """One line of an order."""

    item: str
    count: int
    price: float


@dataclass
class Order:
    """An order."""

    number: int
    customer: str
    lines: list[Line] = field(default_factory=list)
    express: bool = False


@register("soak.echo")
class Echo(StandardTool):
    """Gives back what it gets."""

    def index(self) -> str:
        return "soaked"

    @read_only
    def text(self, text: str) -> str:
        """Give back a text.

        Args:
            text: The text.
        """
        return text

    @read_only
    def order(self, order: Order) -> Order:
        """Give back an order.

        Args:
            order: The order.
        """
        return order

    @read_only
    def total(self, order: Order) -> float:
        """What an order costs."""
        return sum(line.count * line.price for line in order.lines)

    @read_only
    def pause(self, seconds: Seconds, number: int) -> int:
        """Give back a number after a while."""
        gevent.sleep(seconds)
        return number

    @read_only
    @threaded
    def digest(self, text: str) -> str:
        """Compute beside the loop."""
        return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()

    @read_only
    def lines(self, count: Count) -> Iterator[dict[str, int]]:
        """Send lines one by one."""
        for number in range(count):
            if number % 50 == 0:
                gevent.sleep(0)
            yield {"number": number}

    @rest("POST")
    def upload(self, request) -> dict[str, object]:
        """Tell of what was uploaded, piece by piece."""
        found = {}
        for name, upload in request.files.items():
            digest, size = hashlib.sha256(), 0
            while piece := upload.file.read(65536):
                digest.update(piece)
                size += len(piece)
            found[name] = {"size": size, "sha256": digest.hexdigest()}
        return found

    def refuse(self, number: int) -> None:
        """Fail as a tool does that knows why."""
        raise Conflict(f"number: got {number}, expected another one")

    @read_only
    def steps(self, count: Count) -> int:
        """Tell how far it is."""
        for step in range(min(count, 5)):
            progress(step / 5, f"step {step}")
            gevent.sleep(0.01)
        return count

    @prompt
    def review(self, language: Literal["German", "Greek"], code: str = "") -> str:
        """Ask for a review."""
        return f"Review in {language}: {code}"

    @resource("soak://orders/{number}", media_type="text/plain")
    def kept(self, number: str) -> str:
        """Something to read."""
        return f"the order {number}"


@register("soak.ledger")
class Ledger(StandardTool):
    """Writes down each call, so that none is lost and none is made twice."""

    def note(self, name: str) -> str:
        """Write down a call that is made directly."""
        write("call", shown(name), os.getpid())
        return name

    @idempotent
    def note_again(self, name: str) -> str:
        """Write down a call that may be made again."""
        write("again", shown(name), os.getpid())
        return name

    def work(self, name: str, seconds: Seconds = 0.0) -> str:
        """Write down a call that is made as a job."""
        id_ = context.job_id or "-"
        write("begin", id_, time.time(), time.monotonic(), os.getpid())
        for step in range(4):
            progress(step / 4, f"step {step}")
            gevent.sleep(seconds / 4)
        write("end", id_, time.time(), time.monotonic(), os.getpid())
        return name


@register("soak.space")
class Shared(StandardTool):
    """What the workers share."""

    def put(self, key: str, value: int) -> None:
        """Leave something for whoever asks."""
        universe.out((key, value), ttl=60)

    def take(self, key: str, seconds: Patience = 1.0) -> int:
        """Take it away."""
        try:
            return universe.take((key, int), timeout=seconds)[1]
        except NoTuple as error:
            raise Conflict(NOTHING) from error

    def tell(self, topic: str, value: int) -> int:
        """Tell all who wait."""
        return notify(topic, value)

    def hear(self, topic: str, seconds: Patience = 1.0) -> int:
        """Wait to be told."""
        try:
            return wait(topic, timeout=seconds)
        except TimeoutError as error:
            raise Conflict(NOTHING) from error


@register("soak.private")
class Private(AuthenticatedTool):
    """For who has a name."""

    clients = "*"

    @read_only
    def who(self) -> str:
        """Tell the caller its name."""
        return str(context.client)

    def note(self, name: str) -> str:
        """Write down a call."""
        write("call", shown(name), os.getpid())
        return name


@register("soak.vault")
class Vault(OnlyRPCCRAMTool):
    """For who knows the secret."""

    settings = CRAMSettings()

    def open(self, number: int) -> int:
        """Give back a number."""
        return number


class Shelf(TransientTool):
    """Made when it is asked for."""

    @read_only
    def title(self) -> str:
        """Tell the key."""
        return self.key


@register("soak.library")
class Library(FactoryTool):
    """Makes shelves."""

    children = (Shelf,)
    max_children = 100

    def child_exists(self, key: str) -> bool:
        return key.startswith("shelf")


@register("soak.inside")
class Inside(StandardTool):
    """Looks into the process."""

    @read_only
    def look(self) -> dict[str, int]:
        """Count what lives in this process."""
        found = sum(isinstance(each, greenlet.greenlet) for each in gc.get_objects())
        return {"pid": os.getpid(), "greenlets": found}
