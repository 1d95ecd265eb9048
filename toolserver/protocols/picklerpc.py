"""PickleRPC: the values of Python as they are, sealed, between those who have keys.

A request is signed, and the key that opens it is wrapped for this server alone. In this
order: the signature holds (which the server has seen to before any codec is asked), the
field with the key is covered by it, the key is unwrapped, the body opened, unpacked
within a bound, and only then unpickled, by names of classes from a list.

A signed request may ask for a session, in which later ones are sealed under a key of
both sides and need no signature: see `toolserver.auth.sessionkeys`. Those were opened
before any codec is asked, because that is what proves whose they are.

The content of a request is a dict with ``method``, ``args`` and ``kwargs``; that of an
answer has ``value``, or ``error`` with ``code``, ``type``, ``message`` and ``data``,
and where its class is known the ``exception`` itself.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from toolserver.auth.profile import authority, read_label
from toolserver.auth.sealing import KEY_FIELD, Sealed, associated_data, open_request
from toolserver.auth.sessionkeys import SESSION_FIELD, read_ask
from toolserver.auth.sessions import OpenedBody, Sessions
from toolserver.auth.signatures import SIGNED_BY
from toolserver.auth.structured import InnerList, Item
from toolserver.calls import Call, Outcome
from toolserver.contexts import current
from toolserver.errors import (
    InvalidRequest,
    ParseError,
    ToolFault,
    ToolserverError,
    Unauthenticated,
)
from toolserver.failures import LENGTH
from toolserver.message import Request, Response
from toolserver.nativethreads import offload
from toolserver.plain import to_plain
from toolserver.protocols.pickles import Classes, read_pickle, write_pickle

if TYPE_CHECKING:
    from toolserver.auth.keys import PrivateKey, PublicKey

__all__ = ["PickleRPC"]

_ANSWERING = "picklerpc"


@dataclass(frozen=True, slots=True)
class _Answering:
    """How a request that could be opened is answered.

    Attributes:
        sealed: Seals the answer; None in a session, where that is done for all answers.
        asked_by: Who asks for a session, and the key by which it has signed.
    """

    sealed: Sealed | None = None
    asked_by: tuple[str, PublicKey] | None = None


_IN_SESSION = _Answering()


class PickleRPC:
    """Reads calls out of sealed pickles and writes their outcomes.

    Args:
        find_key: Tells the server's private key.
        known: The classes that pickles may name.
        max_size: Bytes that a pickle may have.
        is_unlimited: Whether callers may name any class, and so run whatever they want.
        sessions: Opens sessions; None where each call has to be signed.
    """

    prefix = "PYRPC"
    #: Each body is sealed anew, so that none can be seen to be the same.
    is_sealed = True
    content_type = "application/vnd.toolserver.pickle"

    def __init__(
        self,
        find_key: Callable[[], PrivateKey | None],
        known: Classes,
        *,
        max_size: int,
        is_unlimited: bool = False,
        sessions: Sessions | None = None,
    ) -> None:
        self._find_key = find_key
        self._known = known
        self._max_size = max_size
        self._is_unlimited = is_unlimited
        self._sessions = sessions

    def decode(self, request: Request) -> list[Call]:
        """Read the call out of a request.

        Args:
            request: The request, whose signature holds or whose session is proven.

        Returns:
            The call.

        Raises:
            Unauthenticated: The request is not signed, or the key not covered.
            ParseError: It was sealed for somebody else, or is no allowed pickle.
            InvalidRequest: It is no call.
            Conflict: It says that it was refused in a session, and was not.
        """
        content: bytes
        if isinstance(request.content, OpenedBody):
            content = request.content
            request.notes[_ANSWERING] = _IN_SESSION
        else:
            content = self._open(request)
        known = None if self._is_unlimited else self._known
        message = read_pickle(content, known, self._max_size)
        if isinstance(message, dict):
            name, args = message.get("method"), message.get("args")
            kwargs = message.get("kwargs", {})
            if (
                isinstance(name, str)
                and isinstance(args, (list, tuple))
                and isinstance(kwargs, dict)
                and (not kwargs or all(isinstance(key, str) for key in kwargs))
            ):
                return [Call(name, args, kwargs)]
        raise InvalidRequest("expected a dict with method, args and kwargs")

    def _open(self, request: Request) -> bytes:
        """Open a request that is signed, and note how it is answered."""
        covered = self._covered(request)
        nonce = str(covered.params["nonce"])
        client = str(covered.params["keyid"])
        parts = (
            request.method,
            authority(request.host, request.scheme),
            request.raw_path,
            request.query_string,
            client,
            nonce,
        )
        key = self._find_key()
        if not isinstance(key, RSAPrivateKey):
            raise ParseError("body: nothing can be sealed for this server")
        try:
            content, sealed = offload(
                open_request,
                request.headers[KEY_FIELD],
                request.body,
                key,
                nonce,
                associated_data(parts),
            )
        except ValueError as error:
            raise ParseError(f"body: {error}") from error
        request.notes[_ANSWERING] = _Answering(sealed)
        signed_by: PublicKey | None = request.notes.get(SIGNED_BY)
        asked = request.headers.get(SESSION_FIELD)
        if asked is not None and self._sessions is not None and signed_by is not None:
            if Item(SESSION_FIELD) not in covered.items:
                raise Unauthenticated(
                    f"signature: {SESSION_FIELD} is not covered", challenge="Signature"
                )
            try:
                refused = read_ask(asked)
            except ValueError as error:
                raise InvalidRequest(str(error)) from error
            if refused is not None:
                self._sessions.withdraw(client, refused)
            request.notes[_ANSWERING] = _Answering(sealed, (client, signed_by))
        return content

    def _covered(self, request: Request) -> InnerList:
        """What the signature covers, among it the key of the body."""
        context = current()
        if context is None or context.auth_type != "Signature":
            raise Unauthenticated("a signature is needed", challenge="Signature")
        headers = request.headers
        covered, _ = read_label((headers["signature-input"], headers["signature"]))
        if Item(KEY_FIELD) not in covered.items or KEY_FIELD not in headers:
            raise Unauthenticated(
                f"signature: {KEY_FIELD} is not covered", challenge="Signature"
            )
        return covered

    def encode(self, request: Request, outcomes: list[Outcome]) -> bytes | Response:
        """Write the outcome of the call.

        Args:
            request: The request that is answered.
            outcomes: One.

        Returns:
            The sealed answer; a plain one where the request could not be opened.

        Raises:
            ApplicationError: The result cannot be pickled.
        """
        (outcome,) = outcomes
        error = outcome.error
        answering: _Answering | None = request.notes.get(_ANSWERING)
        if answering is None:
            text = error.message if error is not None else "no call"
            status = error.status if error is not None else 400
            return Response(f"{text}\n", status=status)
        content = {"value": outcome.value} if error is None else self._told(error)
        body = write_pickle(content, self._known)
        if answering.sealed is None:
            return body
        sealed = answering.sealed.seal(body)
        if answering.asked_by is None or self._sessions is None:
            return sealed
        grant = self._sessions.open(
            *answering.asked_by, answering.sealed.session_secret()
        )
        if grant is None:
            return sealed
        return Response(
            sealed,
            content_type=self.content_type,
            headers={SESSION_FIELD.title(): str(grant)},
        )

    def _told(self, error: ToolserverError) -> dict[str, Any]:
        told = {
            "code": error.code,
            "type": type(error).__name__,
            "message": error.message,
            "data": to_plain(error.data),
        }
        if not isinstance(error, ToolFault):
            return {"error": told}
        exception = error.exception
        # A tool's own exceptions are told by reference only, where that is wanted.
        if isinstance(error.data, dict) and "type" in error.data:
            told["type"] = error.data["type"]
            if type(exception) in self._known and _is_plain(exception.args):
                return {"error": told, "exception": exception}
        return {"error": told}


def _is_plain(args: tuple[Any, ...]) -> bool:
    return all(
        isinstance(each, (int, float, type(None)))
        or (isinstance(each, (str, bytes)) and len(each) <= LENGTH)
        for each in args
    )
