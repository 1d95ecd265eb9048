"""Doors that make many calls in a request, and jobs: quicker, and another way in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, ClassVar

from toolserver import strictjson
from toolserver.client import RemoteToolserver
from toolserver.client.codecs import JSON_DEPTH, Codec, Outgoing, bad_answer
from toolserver.client.faults import make_error
from toolserver.client.jsonrpc import JSONRPCCodec
from toolserver.client.xmlrpc import XMLRPCCodec
from toolserver.errors import ToolserverError
from toolserver.parity.calls import Asked, Told
from toolserver.parity.doors import Door
from toolserver.parity.wiredoors import LIMITS, WireDoor

__all__ = ["BatchDoor", "JobDoor", "MulticallDoor", "PickleDoor"]

_UNDER_WAY = frozenset({"waiting", "running"})


class MulticallDoor(WireDoor):
    """XML-RPC, with many calls in a ``system.multicall``.

    Args:
        url: The address of the server.
        most: Calls in a request.
    """

    name = "XML-RPC"
    takes_names = False
    tells_kind = False
    status = 200

    def __init__(self, url: str, most: int) -> None:
        super().__init__(url)
        self._most = most
        self._known = XMLRPCCodec(LIMITS)

    def _codec(self, asked: Asked) -> Codec:
        return self._known

    def call(self, asked: Sequence[Asked]) -> list[Told]:
        """Make calls, of which the first in a request of its own."""
        told = super().call(asked[:1])
        for start in range(1, len(asked), self._most):
            told += self._many(asked[start : start + self._most])
        return told

    def _many(self, asked: Sequence[Asked]) -> list[Told]:
        told: dict[int, Told] = {}
        calls: dict[int, dict[str, Any]] = {}
        for index, each in enumerate(asked):
            try:
                # Whose arguments cannot be sent must not spoil those of the others.
                self._known.write(each.name, each.args, {})
            except ToolserverError as error:
                told[index] = self._failed(error)
            else:
                calls[index] = {"methodName": each.name, "params": list(each.args)}
        request = self._known.write("system.multicall", (list(calls.values()),), {})
        found = self._exchange(self._known, request)
        if found.failure is not None:
            return super().call(asked)
        told.update(zip(calls, map(self._outcome, found.value), strict=True))
        return [told[index] for index in range(len(asked))]

    def _outcome(self, found: Any) -> Told:
        if isinstance(found, list):
            return Told(found[0])
        error = make_error(found["faultString"], code=found["faultCode"])
        return self._failed(error, self.status)


class BatchDoor(WireDoor):
    """JSON-RPC, with many calls in a batch.

    Args:
        url: The address of the server.
        most: Calls in a request.
    """

    name = "JSON-RPC"
    status = 200

    def __init__(self, url: str, most: int) -> None:
        super().__init__(url)
        self._most = most

    def _codec(self, asked: Asked) -> Codec:
        return JSONRPCCodec()

    def call(self, asked: Sequence[Asked]) -> list[Told]:
        """Make calls, of which the first in a request of its own."""
        told = super().call(asked[:1])
        for start in range(1, len(asked), self._most):
            told += self._many(asked[start : start + self._most])
        return told

    def _many(self, asked: Sequence[Asked]) -> list[Told]:
        told: dict[int, Told] = {}
        sent: list[int] = []
        bodies: list[bytes] = []
        codec, request = JSONRPCCodec(), None
        for index, each in enumerate(asked):
            try:
                request = codec.write(each.name, each.args, each.kwargs)
            except ToolserverError as error:
                told[index] = self._failed(error)
            else:
                sent.append(index)
                bodies.append(request.body or b"")
        if request is not None:
            body = b"[" + b",".join(bodies) + b"]"
            whole = Outgoing(request.path, body, request.headers)
            try:
                answer = self._wire.exchange(whole)
                messages = strictjson.decode(answer.body, max_depth=JSON_DEPTH)
                if answer.status != 200 or len(messages) != len(sent):
                    raise bad_answer(answer)
            except (ToolserverError, OSError, TypeError):
                return super().call(asked)
            for index, message in zip(sent, messages, strict=True):
                body = strictjson.encode(message)
                told[index] = self._read(codec, replace(answer, body=body))
        return [told[index] for index in range(len(asked))]


class JobDoor(Door):
    """Jobs, started and asked for their results over JSON-RPC.

    Args:
        url: The address of the server.
        most: Calls in a request.
    """

    name = "job"
    status = 200

    def __init__(self, url: str, most: int) -> None:
        self._rpc = BatchDoor(url, most)

    def close(self) -> None:
        """Close the connection."""
        self._rpc.close()

    def call(self, asked: Sequence[Asked]) -> list[Told]:
        """Start jobs, a few at a time, and wait for their results."""
        told: list[Told] = []
        for start in range(0, len(asked), 100):
            told += self._some(asked[start : start + 100])
        return told

    def _some(self, asked: Sequence[Asked]) -> list[Told]:
        started = self._rpc.call(
            [
                Asked(
                    "system.jobs.start",
                    (each.name, list(each.args), dict(each.kwargs)),
                )
                for each in asked
            ]
        )
        running = [
            (index, str(found.value))
            for index, found in enumerate(started)
            if found.failure is None
        ]
        self._wait([id_ for _, id_ in running])
        ends = self._rpc.call(
            [Asked("system.jobs.result", (id_,)) for _, id_ in running]
        )
        told = list(started)
        for (index, _), end in zip(running, ends, strict=True):
            told[index] = end
        return told

    def _wait(self, ids: Sequence[str]) -> None:
        while ids:
            # In a batch nobody waits, so the first one is waited for by itself.
            self._rpc.call([Asked("system.jobs.status", (ids[0], 20.0))])
            states = self._rpc.call(
                [Asked("system.jobs.status", (id_,)) for id_ in ids]
            )
            ids = [
                id_
                for id_, told in zip(ids, states, strict=True)
                if told.failure is None and told.value["state"] in _UNDER_WAY
            ]


class PickleDoor(Door):
    """PickleRPC, signed and sealed, with Python's own values.

    Args:
        remote: The client, with its keys.
        most: Calls in a request.
    """

    name = "PickleRPC"
    #: Calls in requests of their own. They have the values at the edges; the others go
    #: through ``system.multicall``, as sealing takes longer than all the rest.
    _ALONE: ClassVar[int] = 25

    def __init__(self, remote: RemoteToolserver, most: int) -> None:
        self._remote = remote
        self._most = most

    def close(self) -> None:
        """Close the connections."""
        self._remote.close()

    def call(self, asked: Sequence[Asked]) -> list[Told]:
        """Make calls, the later ones by position in requests of many."""
        told = [self._one(each) for each in asked[: self._ALONE]]
        for start in range(self._ALONE, len(asked), self._most):
            told += self._many(asked[start : start + self._most])
        return told

    def _many(self, asked: Sequence[Asked]) -> list[Told]:
        told: list[Told | None] = [None] * len(asked)
        calls: list[dict[str, Any]] = []
        places: list[int] = []
        for index, each in enumerate(asked):
            placed = each.in_form(names=False)
            if placed is not None and not placed.kwargs:
                calls.append({"methodName": each.name, "params": list(placed.args)})
                places.append(index)
        found = self._remote.call("system.multicall", calls) if calls else []
        for index, outcome in zip(places, found, strict=True):
            if isinstance(outcome, list):
                told[index] = Told(outcome[0])
        # What has failed, and what has names only, is asked by itself.
        return [
            self._one(each) if known is None else known
            for each, known in zip(asked, told, strict=True)
        ]

    def _one(self, asked: Asked) -> Told:
        try:
            return Told(self._remote.call(asked.name, *asked.args, **asked.kwargs))
        except Exception as error:  # a tool's own come through
            return self._failed(error)
