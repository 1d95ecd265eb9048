"""Requests that may be sent again: the field ``Idempotency-Key``.

The first request with a key is carried out, and its answer kept; the same request by
the same caller gets that answer again. What was refused before a method began leaves
nothing behind, and neither does an answer that asks the caller to come again.

Spec: draft-ietf-httpapi-idempotency-key-header-07; RFC 9651, section 3.3.3, for its
value. Words without quotes are accepted, too, as many clients send them.
"""

from __future__ import annotations

import copy
import hashlib
import re
from collections.abc import Callable, Sequence
from typing import Any

import gevent

from toolserver.auth.structured import Token, parse_item
from toolserver.calls import Call, Outcome
from toolserver.contexts import Context, bind, current
from toolserver.dispatcher import Dispatcher, run_validators
from toolserver.entries import Target
from toolserver.errors import (
    CallCancelled,
    InvalidRequest,
    Overload,
    RequireBroken,
    TooMany,
)
from toolserver.idempotency.keys import Keys
from toolserver.idempotency.records import KeptAnswer, KeyUse
from toolserver.message import Headers, Request, Response
from toolserver.scopes import check_scope, scope
from toolserver.unlocking import unlocked
from toolserver.web.problems import exception_of

__all__ = ["FIELD", "Attempt", "KeyedRequests"]

#: The field, in lower case.
FIELD = "idempotency-key"
_REPLAYED = ("Idempotency-Replayed", "true")
_VISIBLE = re.compile(r"[\x21-\x7e]{1,255}")
#: What a key without quotes may be: words, numbers, UUIDs, URNs.
_WORD = re.compile(r"[A-Za-z0-9_][!#$%&'*+.^_`|~0-9A-Za-z:/=@-]{0,254}")
#: Refusals by what a tool was asked for, or was not able to take now.
_REFUSED = (RequireBroken, Overload, TooMany)
#: What ends a call that has not come to its own end.
_BROKEN_OFF = (gevent.GreenletExit, CallCancelled)


class BodyTooLarge(InvalidRequest):
    """The body cannot be compared with that of another request."""

    status = 413


class Attempt:
    """Sees whether the calls of a request are begun, and how they end.

    Attributes:
        is_settled: Whether one has come to its own end.
        is_broken_off: Whether one was ended from outside.
    """

    __slots__ = ("_has_begun", "is_broken_off", "is_settled")

    def __init__(self) -> None:
        self._has_begun = False
        self.is_settled = False
        self.is_broken_off = False

    def noting(self, target: Target) -> Target:
        """The same target, which notes when its method begins.

        Args:
            target: What is called.
        """
        function = target.function

        def begin(*args: Any, **kwargs: Any) -> Any:
            self._has_begun = True
            return function(*args, **kwargs)

        noting = copy.copy(target)
        noting.function = begin
        return noting

    def note_end(self, outcome: Outcome) -> None:
        """Note what has become of a call, the last one that was noted to begin.

        Args:
            outcome: What has become of it.
        """
        if self._has_begun:
            self._has_begun = False
            error = outcome.error
            if error is not None and isinstance(exception_of(error), _BROKEN_OFF):
                self.is_broken_off = True
            elif not isinstance(error, _REFUSED):
                self.is_settled = True

    def note_job(self) -> None:
        """Note that a job has been stored, which makes the call."""
        self.is_settled = True

    def note_break(self) -> None:
        """Note that no more is done, and nobody knows what of it was."""
        if self._has_begun:
            self.is_broken_off = True


#: Carries a request out, and answers it.
Make = Callable[[Request, Attempt], Response]


class KeyedRequests:
    """Answers requests that carry a key.

    Args:
        keys: The keys of all requests.
        dispatcher: The door for calls.
        max_body: Size of a body that can be compared with others, bytes.
        max_answer: Size of an answer that is kept, bytes.
    """

    def __init__(
        self, keys: Keys, dispatcher: Dispatcher, *, max_body: int, max_answer: int
    ) -> None:
        self._keys = keys
        self._dispatcher = dispatcher
        self._max_body = max_body
        self._max_answer = max_answer

    def answer(
        self,
        request: Request,
        field: str,
        targets: Sequence[Target | None],
        make: Make,
        *,
        essence: bytes | None = None,
        revise: Callable[[bytes], bytes] | None = None,
    ) -> Response:
        """Answer a request, or give the answer of its first one again.

        Args:
            request: The request.
            field: The field with the key.
            targets: What it calls; None for what does not exist.
            make: Carries it out.
            essence: What of its body tells it from others; by default all of it.
            revise: Changes a body that is given again for who asks for it now.

        Returns:
            The answer.

        Raises:
            InvalidRequest: The key is malformed, or the body too large.
            KeyReused: Another request came with the key.
            KeyInUse: The first request is still running.
            OutcomeUnknown: There is no answer to the first request.
            TooMany: The caller has too many that run.
            Overload: The server has, or cannot store the key.
        """
        key = read_key(field)
        request = self._prepared(request)
        context = current() or Context(protocol="REST")
        context.request = request
        caller = _digest(
            *(("client", context.client) if context.client else ("at", request.peer))
        )
        use = KeyUse(
            name=_digest(caller, key),
            caller=caller,
            fingerprint=_fingerprint(request, essence, context),
            may_repeat=all(_is_idempotent(target) for target in targets),
        )
        found = self._keys.begin(use)
        if isinstance(found, KeptAnswer):
            for target in targets:
                self._admit(target, context)
            return _respond(found, revise)
        attempt = Attempt()
        kept: KeptAnswer | None = None
        try:
            response = make(request, attempt)
            kept = self._kept(response)
        except BaseException:
            attempt.note_break()
            raise
        finally:
            if attempt.is_broken_off:
                found.break_off()
            elif attempt.is_settled:
                found.keep(kept)
            else:
                found.release()
        return response

    def _prepared(self, request: Request) -> Request:
        """The request with its whole body, to be answered without compression."""
        changes: dict[str, Any] = {}
        if not isinstance(request.content, bytes):
            changes["content"] = self._read(request)
        if "accept-encoding" in request.headers:
            # Who repeats it may know other codings.
            changes["headers"] = Headers(
                pair
                for pair in request.headers.pairs
                if pair[0].lower() != "accept-encoding"
            )
        return request.replace(**changes) if changes else request

    def _read(self, request: Request) -> bytes:
        if "body" in request.notes:
            # Who checked a signature has read it already.
            return request.body
        body, most = request.stream, self._max_body
        pieces, size = [], 0
        while piece := body.read(min(65536, most + 1 - size)):
            size += len(piece)
            if size > most:
                raise BodyTooLarge(
                    f"body: got more than {most} bytes, expected none larger with an "
                    "idempotency key"
                )
            pieces.append(piece)
        return b"".join(pieces)

    def _admit(self, target: Target | None, context: Context) -> None:
        """See whether a caller may still use a tool whose answer it asks for again."""
        if target is None:
            return
        check_scope(target.tool.namespace)
        inner = context.nested(target.tool, target.spec.name)
        with bind(inner):
            try:
                run_validators(target.tool_validators, Call(target.name), inner)
            except Exception as error:
                failure = self._dispatcher.failure
                raise failure(target, error) from None

    def _kept(self, response: Response) -> KeptAnswer | None:
        """What is kept of an answer; None where it cannot be kept."""
        body, headers = response.body, response.headers
        if not isinstance(body, bytes):
            return None
        size = len(body) + sum(len(name) + len(value) for name, value in headers)
        # A cookie is a secret of one session.
        if size > self._max_answer or any(
            name.lower() == "set-cookie" for name, _ in headers
        ):
            return None
        return KeptAnswer(response.status, tuple(headers), body)


def read_key(field: str) -> str:
    """Read the field ``Idempotency-Key``.

    Args:
        field: The field.

    Returns:
        The key.

    Raises:
        InvalidRequest: It is malformed.
    """
    if _WORD.fullmatch(field) is not None:
        return field
    try:
        key = parse_item(field).value
    except ValueError:
        key = None
    if (
        not isinstance(key, str)
        or isinstance(key, Token)
        or _VISIBLE.fullmatch(key) is None
    ):
        raise InvalidRequest(
            f"Idempotency-Key: got {field[:70]!r}, expected 1 to 255 visible "
            "characters in quotes"
        )
    return key


def _digest(*parts: str | bytes) -> bytes:
    """What stands for several parts; others have another one."""
    found = hashlib.sha256()
    for part in parts:
        data = (
            part.encode("utf-8", "surrogateescape") if isinstance(part, str) else part
        )
        found.update(len(data).to_bytes(8, "big"))
        found.update(data)
    return found.digest()


def _fingerprint(request: Request, essence: bytes | None, context: Context) -> bytes:
    # What somebody was answered who has proved more is not for who proves less.
    rights = (context.auth_type, unlocked(), scope())
    return _digest(
        repr(rights),
        request.method,
        request.raw_path,
        request.query_string,
        request.headers.get("content-type", ""),
        request.body if essence is None else essence,
    )


def _is_idempotent(target: Target | None) -> bool:
    return target is not None and (
        target.spec.is_idempotent or target.spec.is_read_only
    )


def _respond(answer: KeptAnswer, revise: Callable[[bytes], bytes] | None) -> Response:
    body = answer.body if revise is None else revise(answer.body)
    response = Response(body, status=answer.status)
    response.headers = [*answer.headers, _REPLAYED]
    return response
