"""Clients of what lasts: jobs, keyed requests, and what the workers share."""

from __future__ import annotations

import http.client
import json
import time
import uuid
from collections.abc import Callable, Sequence
from typing import Any

import gevent

from soak.clients.base import (
    PATIENCE,
    Client,
    Place,
    checked,
    events,
    expect,
    pause,
)
from soak.record import Job
from toolserver.errors import KeyInUse, OutcomeUnknown

__all__ = ["JobClient", "KeyedClient", "SharedClient"]


class JobClient(Client):
    """Starts jobs in all ways, and follows each of them to its end.

    What is asked about a job may be asked again: whatever is killed meanwhile, the
    server that has accepted it has to tell its end at last.
    """

    label = "jobs"

    def __init__(self, place: Place, number: int | str, seed: object) -> None:
        super().__init__(place, number, seed)
        self._session = self.session()
        self._remote = self.remote("JSONRPC")

    def actions(self) -> Sequence[Callable[[], None]]:
        return [self.respond_async, self.start, self.enqueue, self.schedule]

    def respond_async(self) -> None:
        name = self.name()
        answer = self._session.post(
            f"{self.place.url}/soak/ledger/work",
            json={"name": name, "seconds": self.seconds()},
            headers={"Prefer": "respond-async"},
            timeout=PATIENCE,
        )
        checked(answer, 202)
        location = answer.headers["Location"]
        id_ = location.rpartition("/")[2]
        job = self.accept(id_, Job(self.label, name))
        follow = self.dice.choice((self._events, self._poll))
        self.insist(lambda: follow(location))
        found = self.insist(
            lambda: self._session.get(
                f"{self.place.url}{location}/result", timeout=PATIENCE
            )
        )
        expect(checked(found).text, name, "result of a job")
        job.is_done = True

    def start(self) -> None:
        name = self.name()
        sent = ("soak.ledger.work", name, self.seconds())
        self._result(self._remote.start(*sent), Job(self.label, name))

    def enqueue(self) -> None:
        name = self.name()
        sent = (self.dice.randint(0, 3), "soak.ledger.work", name, 0.01)
        self._result(self._remote.enqueue(*sent), Job("queued jobs", name))

    def schedule(self) -> None:
        name, when = self.name(), time.time() + self.dice.uniform(0.0, 2.0)
        job = Job("timed jobs", name, due=when)
        sent = (when, "soak.ledger.work", name, 0.0)
        self._result(self._remote.schedule(*sent), job)

    def seconds(self) -> float:
        """How long a job takes."""
        return self.dice.choice((0.0, 0.05, 0.3))

    def accept(self, id_: str, job: Job) -> Job:
        """Note that the server has accepted a job."""
        self.record.jobs[id_] = job
        return job

    def _result(self, remote: Any, job: Job) -> None:
        self.accept(remote.id, job)
        expect(self.insist(lambda: remote.result(PATIENCE)), job.name, "result")
        job.is_done = True
        # Asked a second time it is the same.
        expect(self.insist(lambda: remote.result(PATIENCE)), job.name, "result again")
        self.record.answers[job.client] += job.client != self.label

    def _poll(self, location: str) -> None:
        answer = self._session.get(
            f"{self.place.url}{location}", params={"wait": 10}, timeout=PATIENCE
        )
        state = checked(answer).json()["state"]
        if state in ("waiting", "running"):
            raise TimeoutError(f"{location} is {state}")
        expect(state, "done", location)

    def _events(self, location: str) -> None:
        host = self.place.url.removeprefix("http://")
        connection = http.client.HTTPConnection(host, timeout=PATIENCE)
        try:
            headers = {"Accept": "text/event-stream"}
            connection.request("GET", location, headers=headers)
            answer = connection.getresponse()
            if answer.status == 503:
                raise TimeoutError(answer.read().decode())
            expect(answer.status, 200, "status of a stream")
            kind, told, fractions = "", {}, []
            for kind, told in events(answer):
                if kind == "stopping":
                    break
                fractions.append(told.get("fraction") or 0.0)
            if kind != "end":
                raise TimeoutError(f"{location}: the stream ended by {kind!r}")
            expect(told["state"], "done", location)
        finally:
            connection.close()


class KeyedClient(Client):
    """Makes calls that must be made once, by requests that may be sent again."""

    label = "idempotency keys"

    def __init__(self, place: Place, number: int | str, seed: object) -> None:
        super().__init__(place, number, seed)
        self._remotes = [
            self.remote(protocol, retries=3) for protocol in ("JSONRPC", "RPC2", "SOAP")
        ]

    def actions(self) -> Sequence[Callable[[], None]]:
        return [self.once, self.in_any_case, self.twice_at_once]

    def once(self) -> None:
        name, remote = self.name(), self.dice.choice(self._remotes)
        key = uuid.UUID(int=self.dice.getrandbits(128)).hex
        try:
            found = remote.once(key, "soak.ledger.note", name)
        except OutcomeUnknown as error:
            # Nobody knows, which is so only where a process was killed.
            raise ConnectionError("outcome unknown") from error
        expect(found, name, "once")
        self.record.kept[name] = self.label
        expect(remote.once(key, "soak.ledger.note", name), name, "once again")

    def in_any_case(self) -> None:
        name, remote = self.name(), self.dice.choice(self._remotes)
        key = uuid.UUID(int=self.dice.getrandbits(128)).hex
        expect(remote.once(key, "soak.ledger.note_again", name), name, "in any case")

    def twice_at_once(self) -> None:
        name, remote = self.name(), self.dice.choice(self._remotes)
        key = uuid.UUID(int=self.dice.getrandbits(128)).hex

        def ask() -> Any:
            try:
                return remote.once(key, "soak.ledger.note", name)
            except (KeyInUse, OutcomeUnknown) as error:
                raise ConnectionError(str(error)) from error

        both = [gevent.spawn(_outcome, ask) for _ in range(2)]
        for each in both:
            error, found = each.get()
            if error is not None:
                raise error
            expect(found, name, "twice at once")
        self.record.kept[name] = self.label


def _outcome(ask: Callable[[], Any]) -> tuple[Exception | None, Any]:
    """What a greenlet has found, without its being told as unhandled."""
    try:
        return None, ask()
    except Exception as error:
        return error, None


class SharedClient(Client):
    """Leaves things for others, and tells who waits, in whichever worker."""

    label = "universe and notify"

    def __init__(self, place: Place, number: int | str, seed: object) -> None:
        super().__init__(place, number, seed)
        # Each request on a connection of its own, so that any worker may get it.
        self._headers = {"Connection": "close"}
        self._session = self.session()

    def actions(self) -> Sequence[Callable[[], None]]:
        return [self.leave, self.wait_for, self.notify]

    def call(self, method: str, **arguments: Any) -> Any:
        answer = self._session.post(
            f"{self.place.url}/soak/space/{method}",
            json=arguments,
            headers=self._headers,
            timeout=PATIENCE,
        )
        if answer.status_code == 409 and "nothing came" in answer.text:
            # It was in a master that was killed.
            raise TimeoutError(answer.text)
        checked(answer, 204 if method == "put" else 200)
        return json.loads(answer.content) if answer.content else None

    def leave(self) -> None:
        key, value = self.name(), self.dice.randint(0, 10**6)
        self.call("put", key=key, value=value)
        expect(self.call("take", key=key, seconds=20), value, "take")

    def wait_for(self) -> None:
        key, value = self.name(), self.dice.randint(0, 10**6)
        taking = gevent.spawn(_outcome, lambda: self.call("take", key=key, seconds=20))
        self.call("put", key=key, value=value)
        error, found = taking.get()
        if error is not None:
            raise error
        expect(found, value, "wait for")

    def notify(self) -> None:
        topic, value = self.name(), self.dice.randint(0, 10**6)
        hearing = [
            gevent.spawn(_outcome, lambda: self.call("hear", topic=topic, seconds=20))
            for _ in range(2)
        ]
        heard, deadline = 0, time.monotonic() + PATIENCE
        while heard < 2 and time.monotonic() < deadline:
            heard += self.call("tell", topic=topic, value=value)
            if all(each.ready() for each in hearing):
                break
            pause(0.02)
        for each in hearing:
            error, found = each.get()
            if error is not None:
                raise error
            expect(found, value, "notify")
