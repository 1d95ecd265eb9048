"""The ways in: each makes the same calls, and tells in one way what came of them.

All but the first speak their protocols to a server, by the codecs of the real client.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, ClassVar

from toolserver import strictjson
from toolserver.calls import Call
from toolserver.client import RemoteToolserver, TransportError
from toolserver.client.codecs import JSON_DEPTH, Answer, Codec, Outgoing, bad_answer
from toolserver.client.faults import make_error
from toolserver.client.jsonrpc import JSONRPCCodec
from toolserver.client.mcp import MCPCodec
from toolserver.client.rest import RESTCodec
from toolserver.client.soap import SOAPCodec
from toolserver.client.xmlrpc import XMLRPCCodec
from toolserver.contexts import Context, bind
from toolserver.describe.agentcatalog import AgentCatalog
from toolserver.entries import Target, ToolEntry
from toolserver.errors import ToolserverError
from toolserver.parity.calls import Asked, Failure, Told, failure_of
from toolserver.parity.literal import LiteralCodec
from toolserver.parity.wire import Wire
from toolserver.settings import Limits
from toolserver.worker import Worker

__all__ = [
    "AgentDoor",
    "BatchDoor",
    "Door",
    "InsideDoor",
    "JobDoor",
    "LiteralDoor",
    "MulticallDoor",
    "PickleDoor",
    "RESTDoor",
    "SOAPDoor",
    "WireDoor",
]

#: Bounds for what the server under test answers.
LIMITS = Limits(xml_depth=256, xml_elements=2_000_000)
#: Wrappers by which a tool itself reads requests or writes answers.
_RESHAPING = ("parser", "generator", "on_error")


class Door:
    """One way to make calls.

    Attributes:
        name: What reports call it.
        takes_positions: Whether arguments may be given by position.
        takes_names: Whether they may be given by name.
        tells_kind: Whether a failure comes with its class.
        tells_code: Whether it comes with its number.
        status: The HTTP status of each failure; None where it is the error's own.
    """

    name: ClassVar[str]
    takes_positions: ClassVar[bool] = True
    takes_names: ClassVar[bool] = True
    tells_kind: ClassVar[bool] = True
    tells_code: ClassVar[bool] = True
    status: ClassVar[int | None] = None

    def skips(self, entry: ToolEntry, target: Target) -> str:
        """Why a method cannot be called this way; empty where it can.

        Args:
            entry: Its tool.
            target: The method.
        """
        return ""

    def form(self, asked: Asked) -> Asked | None:
        """Give a call the form that the door has for arguments.

        Args:
            asked: The call.

        Returns:
            The same call; None if it cannot have that form.
        """
        return asked.in_form(positions=self.takes_positions, names=self.takes_names)

    def call(self, asked: Sequence[Asked]) -> list[Told]:
        """Make calls.

        Args:
            asked: The calls, with arguments in a form that the door takes.

        Returns:
            What came of each.
        """
        return [self._one(each) for each in asked]

    def close(self) -> None:
        """Let go of what was opened."""

    def _one(self, asked: Asked) -> Told:
        raise NotImplementedError

    def _failed(self, error: Exception, status: int | None = None) -> Told:
        if isinstance(error, TransportError):
            return Told(failure=Failure(type(error).__name__, None, str(error), status))
        failure = failure_of(
            error,
            status=status,
            tells_kind=self.tells_kind,
            tells_code=self.tells_code,
        )
        return Told(failure=failure)


class InsideDoor(Door):
    """The call path itself, in the process of the server.

    Args:
        worker: The server.
        client: Who calls; None for nobody in particular.
        groups: The caller's groups.
    """

    name = "in-process"

    def __init__(
        self, worker: Worker, client: str | None = None, groups: Sequence[str] = ()
    ) -> None:
        self._worker = worker
        self._client = client
        self._groups = frozenset(groups)

    def _one(self, asked: Asked) -> Told:
        context = Context(
            services=self._worker.services, client=self._client, groups=self._groups
        )
        # What a method changes of its arguments is no business of the other doors.
        args, kwargs = copy.deepcopy((asked.args, dict(asked.kwargs)))
        with bind(context):
            outcome = self._worker.dispatcher.call(Call(asked.name, args, kwargs))
            if outcome.error is not None:
                return self._failed(outcome.error, outcome.error.status)
            try:
                # An iterator is read in the context of the call, and only once.
                return Told(outcome.plain)
            except ToolserverError as error:
                return self._failed(error, error.status)


class WireDoor(Door):
    """A protocol, spoken by a codec of the client over one connection that is kept.

    Args:
        url: The address of the server.
    """

    def __init__(self, url: str) -> None:
        self._wire = Wire(url)

    def close(self) -> None:
        """Close the connection."""
        self._wire.close()

    def _codec(self, asked: Asked) -> Codec:
        raise NotImplementedError

    def _one(self, asked: Asked) -> Told:
        codec = self._codec(asked)
        try:
            request = codec.write(asked.name, asked.args, asked.kwargs)
        except ToolserverError as error:
            return self._failed(error)
        return self._exchange(codec, request)

    def _exchange(self, codec: Codec, request: Outgoing) -> Told:
        try:
            answer = self._wire.exchange(request)
        except OSError as error:
            # The server broke off, as it does where a stream cannot go on.
            return Told(failure=Failure(type(error).__name__, None, str(error)))
        return self._read(codec, answer)

    def _read(self, codec: Codec, answer: Answer) -> Told:
        try:
            return Told(codec.read(answer))
        except (ToolserverError, TransportError) as error:
            return self._failed(error, answer.status)


class RESTDoor(WireDoor):
    """A request to the URL of the method."""

    name = "REST"

    def skips(self, entry: ToolEntry, target: Target) -> str:
        """Why REST is another matter: the tool has wrappers that only it asks."""
        for bound in entry.wrappers:
            wrapper = bound.wrapper
            if wrapper.role in _RESHAPING and wrapper.method in (
                "",
                target.spec.attribute,
            ):
                return f"has a {wrapper.role} for REST"
        return ""

    def _codec(self, asked: Asked) -> Codec:
        return RESTCodec()


class SOAPDoor(WireDoor):
    """SOAP without a WSDL: values say themselves what they are."""

    name = "SOAP rpc/encoded"
    tells_code = False
    status = 500

    def _codec(self, asked: Asked) -> Codec:
        return SOAPCodec(LIMITS)


class LiteralDoor(WireDoor):
    """SOAP as the WSDL document says: document/literal wrapped."""

    name = "SOAP document/literal"
    takes_positions = False
    tells_code = False
    status = 500

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self._codecs: dict[str, LiteralCodec] = {}

    def form(self, asked: Asked) -> Asked | None:
        """Name arguments, but for those that ``*args`` takes: they are repeated."""
        spec = asked.target.spec if asked.target is not None else None
        if spec is None or spec.rest is None or len(asked.args) <= spec.positional:
            return super().form(asked)
        named = replace(asked, args=asked.args[: spec.positional])
        form = super().form(named)
        further = asked.args[spec.positional :]
        return None if form is None else replace(form, args=further)

    def _codec(self, asked: Asked) -> Codec:
        codec = self._codecs.get(asked.name)
        if codec is None:
            spec = asked.target.spec if asked.target is not None else None
            codec = self._codecs[asked.name] = LiteralCodec(spec, LIMITS)
        return codec


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


class AgentDoor(WireDoor):
    """MCP, as agents call tools.

    Args:
        url: The address of the server.
        catalog: The methods that agents are offered.
    """

    name = "MCP"
    takes_positions = False
    status = 200

    def __init__(self, url: str, catalog: AgentCatalog) -> None:
        super().__init__(url)
        self._catalog = catalog
        self._known = MCPCodec()
        self._known.takes_streams = False

    def skips(self, entry: ToolEntry, target: Target) -> str:
        """Why agents cannot call a method."""
        return "" if self._catalog.offers(entry) else "not offered to agents"

    def _codec(self, asked: Asked) -> Codec:
        return self._known


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


_UNDER_WAY = frozenset({"waiting", "running"})


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
