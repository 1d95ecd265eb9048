"""From a protocol's prefix to the codec, the calls and the answer."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import Protocol, runtime_checkable

from toolserver.batches import claim_calls, in_turns
from toolserver.calls import Call, Outcome
from toolserver.cors import CORS
from toolserver.dispatcher import Dispatcher
from toolserver.entries import Target
from toolserver.errors import Forbidden, InvalidRequest, ToolserverError
from toolserver.message import Request, Response
from toolserver.protocols.base import IDEMPOTENCY_KEY, RPCProtocol
from toolserver.web.calllog import log_call
from toolserver.web.callstreams import CallStreams, StreamingProtocol
from toolserver.web.crossorigin import answer_preflight, is_preflight, share
from toolserver.web.keyedrequests import FIELD, Attempt, KeyedRequests
from toolserver.web.origins import foreign_origin

__all__ = ["RPC"]

log = logging.getLogger("toolserver.rpc")

#: Tools that are reached by their full name also below another tool's path.
_EVERYWHERE = ("system.", "rpc.")


@runtime_checkable
class NumberedProtocol(Protocol):
    """What a protocol has whose calls carry numbers, other ones when sent again."""

    def essence(self, request: Request) -> bytes:
        """What of a body tells it from others: all but the numbers.

        Args:
            request: The request, which was decoded before.
        """
        ...

    def renumber(self, body: bytes, calls: Sequence[Call]) -> bytes:
        """Write the numbers of calls into an answer to the same calls.

        Args:
            body: The body of the answer.
            calls: The calls.
        """
        ...


class RPC:
    """Answers the requests of all RPC protocols.

    Args:
        dispatcher: The door for calls.
        codecs: The protocols; of several with one prefix the last one holds.
        origins: Origins of the server besides the one that is asked.
        max_calls: How many calls one request may make.
        logs_calls: Whether each call and its outcome are logged.
        streams: Makes calls whose callers may hear of their progress.
        keyed: Answers requests that may be sent again; None where there are no such.
    """

    def __init__(
        self,
        dispatcher: Dispatcher,
        codecs: Iterable[RPCProtocol],
        *,
        origins: Iterable[str] = (),
        max_calls: int,
        logs_calls: bool = False,
        streams: CallStreams | None = None,
        keyed: KeyedRequests | None = None,
    ) -> None:
        self._dispatcher = dispatcher
        self._codecs = {
            prefix: codec
            for codec in codecs
            for prefix in (codec.prefix, *getattr(codec, "aliases", ()))
        }
        self._media_types = {
            prefix: frozenset(
                {codec.content_type, *getattr(codec, "content_types", ())}
            )
            for prefix, codec in self._codecs.items()
        }
        self._origins = frozenset(origins)
        self._max_calls = max_calls
        self._logs_calls = logs_calls
        self._streams = streams
        self._keyed = keyed
        self._streaming = {
            prefix: codec
            for prefix, codec in self._codecs.items()
            if isinstance(codec, StreamingProtocol)
        }

    @property
    def prefixes(self) -> tuple[str, ...]:
        """The first elements of the paths of the protocols."""
        return tuple(
            prefix for prefix, codec in self._codecs.items() if codec.prefix == prefix
        )

    @property
    def paths(self) -> tuple[str, ...]:
        """The prefixes, and what else the protocols are reached by."""
        return tuple(self._codecs)

    def answer(self, request: Request, prefix: str, namespace: str) -> Response:
        """Answer a request to a protocol.

        Args:
            request: The request.
            prefix: The first element of its path, one of `prefixes`.
            namespace: What its further elements name; empty where the names of the
                methods are full ones.

        Returns:
            The answer.

        Raises:
            ToolserverError: The request is refused before its body is decoded, or
                its body does not arrive.
        """
        codec = self._codecs[prefix]
        if request.method != "POST":
            return self._describe(codec, request, namespace)
        media_types = self._media_types[prefix]
        if request.media_type not in media_types:
            got = request.media_type or "none"
            expected = " or ".join(sorted(media_types))
            text = f"content type: got {got}, expected {expected}\n"
            return Response(text, status=415, headers={"Accept-Post": expected})
        origin = foreign_origin(request, self._origins)
        if origin is not None and not self._sharing(origin, namespace or None):
            raise _not_shared()
        if not isinstance(request.content, bytes):
            # What goes wrong on its way is HTTP's own, no fault of the protocol's.
            request = request.replace(body=request.body)
        try:
            calls = codec.decode(request)
        except ToolserverError as error:
            return self._encode(codec, request, [Outcome(Call(""), error=error)])
        if namespace:
            for call in calls:
                if not call.name.startswith(_EVERYWHERE):
                    call.name = f"{namespace}.{call.name}"
        key = request.headers.get(FIELD)
        if key is None:
            key = request.notes.get(IDEMPOTENCY_KEY)
        if origin is not None:
            return self._answer_shared(codec, request, calls, origin, key)
        if key is not None:
            return self._answer_keyed(codec, request, calls, key)
        if prefix in self._streaming and self._streams is not None and len(calls) == 1:
            streamed = self._streams.answer(
                self._streaming[prefix],
                request,
                calls[0],
                self._maker,
                lambda outcomes: self._encode(codec, request, outcomes),
            )
            if streamed is not None:
                return streamed
        return self._encode(codec, request, self._make(calls))

    def _describe(
        self, codec: RPCProtocol, request: Request, namespace: str
    ) -> Response:
        """Answer who asks about a protocol instead of calling by it."""
        describe = getattr(codec, "describe", None)
        if describe is not None and request.method in ("GET", "HEAD"):
            found: Response | None = describe(request, namespace, self._dispatcher.call)
            if found is not None:
                return found
        if is_preflight(request):
            sharing = self._sharing(request.headers["origin"], namespace or None)
            if sharing:
                return answer_preflight(request, sharing[0], ("POST",))
        text = f"{codec.prefix} is called by POST; see its documentation\n"
        return Response(text, status=405, headers={"Allow": "POST"})

    def _sharing(self, origin: str, namespace: str | None) -> list[CORS]:
        """What lets pages of an origin call a tool, or any tool if none is named."""
        registry = self._dispatcher.registry
        try:
            entries = registry if namespace is None else [registry.entry(namespace)]
            found = [entry.cors for entry in entries]
        except ToolserverError:
            return []
        return [cors for cors in found if cors is not None and cors.allows(origin)]

    def _answer_keyed(
        self, codec: RPCProtocol, request: Request, calls: list[Call], key: str
    ) -> Response:
        """Make the calls of a request that may be sent again, or of its first one."""
        if self._keyed is None or getattr(codec, "is_sealed", False):
            raise InvalidRequest(f"{codec.prefix}: takes no idempotency keys")
        targets = [self._find(call) for call in calls]
        if all(target is not None and target.spec.is_read_only for target in targets):
            return self._encode(codec, request, self._make(calls))

        def make(whole: Request, attempt: Attempt) -> Response:
            known = dict(zip(map(id, calls), targets, strict=True))

            def make_one(call: Call) -> Outcome:
                target = known[id(call)]
                noting = None if target is None else attempt.noting(target)
                outcome = self._maker(call, noting)
                attempt.note_end(outcome)
                return outcome

            return self._encode(codec, whole, self._make(calls, make_one))

        if not isinstance(codec, NumberedProtocol):
            return self._keyed.answer(request, key, targets, make)
        try:
            return self._keyed.answer(
                request,
                key,
                targets,
                make,
                essence=codec.essence(request),
                revise=lambda body: codec.renumber(body, calls),
            )
        except ToolserverError as error:
            if IDEMPOTENCY_KEY not in request.notes:
                raise
            # A key in a message is the protocol's own, and so is what is told of it.
            outcomes = [Outcome(call, error=error) for call in calls]
            return self._encode(codec, request, outcomes)

    def _find(self, call: Call) -> Target | None:
        if call.error is not None:
            return None
        try:
            return self._dispatcher.registry.target(call.name)
        except Exception:  # it is told when the call is made, whatever a factory raised
            return None

    def _answer_shared(
        self,
        codec: RPCProtocol,
        request: Request,
        calls: list[Call],
        origin: str,
        key: str | None,
    ) -> Response:
        """Make calls for a page of another origin: all of them, or none."""
        sharing: list[CORS] = []
        for call in calls:
            found = self._sharing(origin, call.name.rpartition(".")[0])
            # A page of a stranger may not make calls with its visitor's rights.
            if not found and call.error is None:
                raise _not_shared()
            sharing += found
        if key is not None:
            answer = self._answer_keyed(codec, request, calls, key)
        else:
            answer = self._encode(codec, request, self._make(calls))
        if not sharing:
            return answer
        return share(request, min(sharing, key=lambda cors: cors.credentials), answer)

    @property
    def _maker(self) -> Callable[..., Outcome]:
        return self._log_call if self._logs_calls else self._dispatcher.call

    def _make(
        self, calls: list[Call], make: Callable[[Call], Outcome] | None = None
    ) -> list[Outcome]:
        make = make or self._maker
        if len(calls) < 2:
            return [make(call) for call in calls]
        try:
            claim_calls(len(calls), self._max_calls, "batch")
        except ToolserverError as error:
            return [Outcome(Call(""), error=error)]
        return [make(call) for call in in_turns(calls)]

    def _encode(
        self, codec: RPCProtocol, request: Request, outcomes: list[Outcome]
    ) -> Response:
        try:
            answer = codec.encode(request, outcomes)
        except BaseException as error:  # reading a result runs a tool's own code
            if all(outcome.error is not None for outcome in outcomes):
                raise  # pragma: no cover - what tells of errors is our own
            for outcome in outcomes:
                if outcome.error is None:  # pragma: no branch - ours carry one then
                    outcome.fail(error)
            answer = codec.encode(request, outcomes)
        if isinstance(answer, Response):
            return answer
        return Response(answer, content_type=codec.content_type)

    def _log_call(self, call: Call, target: Target | None = None) -> Outcome:
        if target is None:
            with suppress(ToolserverError):
                target = self._dispatcher.registry.target(call.name)
        outcome = self._dispatcher.call(call, target)
        log_call(call, target, outcome)
        return outcome


def _not_shared() -> Forbidden:
    return Forbidden("calls from pages of another origin are not allowed")
