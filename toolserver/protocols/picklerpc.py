"""PickleRPC: the values of Python as they are, sealed, between those who have keys.

A request is signed, and the key that opens it is wrapped for this server alone. In this
order: the signature holds (which the server has seen to before any codec is asked), the
field with the key is covered by it, the key is unwrapped, the body opened, unpacked
within a bound, and only then unpickled, by names of classes from a list.

The content of a request is a dict with ``method``, ``args`` and ``kwargs``; that of an
answer has ``value``, or ``error`` with ``code``, ``type``, ``message`` and ``data``,
and where its class is known the ``exception`` itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from toolserver.auth.profile import authority, read_label
from toolserver.auth.sealing import KEY_FIELD, Sealed, associated_data, open_request
from toolserver.auth.structured import Item
from toolserver.calls import Call, Outcome
from toolserver.contexts import current
from toolserver.errors import (
    InvalidRequest,
    ParseError,
    ToolFault,
    ToolserverError,
    Unauthenticated,
)
from toolserver.message import Request, Response
from toolserver.nativethreads import offload
from toolserver.plain import to_plain
from toolserver.protocols.pickles import Classes, read_pickle, write_pickle

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

__all__ = ["PickleRPC"]

_SEALED = "picklerpc"


class PickleRPC:
    """Reads calls out of sealed pickles and writes their outcomes.

    Args:
        key: The server's private key.
        known: The classes that pickles may name.
        max_size: Bytes that a pickle may have.
        is_unlimited: Whether callers may name any class, and so run whatever they want.
    """

    prefix = "PYRPC"
    content_type = "application/vnd.toolserver.pickle"

    def __init__(
        self,
        key: RSAPrivateKey,
        known: Classes,
        *,
        max_size: int,
        is_unlimited: bool = False,
    ) -> None:
        self._key = key
        self._known = known
        self._max_size = max_size
        self._is_unlimited = is_unlimited

    def decode(self, request: Request) -> list[Call]:
        """Read the call out of a request.

        Args:
            request: The request, whose signature holds.

        Returns:
            The call.

        Raises:
            Unauthenticated: The request is not signed, or the key not covered.
            ParseError: It was sealed for somebody else, or is no allowed pickle.
            InvalidRequest: It is no call.
        """
        salt, associated = self._bound_to(request)
        try:
            content, sealed = offload(
                open_request,
                request.headers[KEY_FIELD],
                request.body,
                self._key,
                salt,
                associated,
            )
        except ValueError as error:
            raise ParseError(f"body: {error}") from error
        request.notes[_SEALED] = sealed
        known = None if self._is_unlimited else self._known
        message = read_pickle(content, known, self._max_size)
        match message:
            case {"method": str(name), "args": list() | tuple() as args, **others}:
                kwargs = others.get("kwargs", {})
                if isinstance(kwargs, dict) and all(
                    isinstance(key, str) for key in kwargs
                ):
                    return [Call(name, args, kwargs)]
        raise InvalidRequest("expected a dict with method, args and kwargs")

    def _bound_to(self, request: Request) -> tuple[str, bytes]:
        """The nonce of the request and what its body is bound to."""
        context = current()
        if context is None or context.auth_type != "Signature":
            raise Unauthenticated("a signature is needed", challenge="Signature")
        headers = request.headers
        covered, _ = read_label((headers["signature-input"], headers["signature"]))
        if Item(KEY_FIELD) not in covered.items or KEY_FIELD not in headers:
            raise Unauthenticated(
                f"signature: {KEY_FIELD} is not covered", challenge="Signature"
            )
        nonce = str(covered.params["nonce"])
        parts = (
            request.method,
            authority(request.host, request.scheme),
            request.raw_path,
            request.query_string,
            str(covered.params["keyid"]),
            nonce,
        )
        return nonce, associated_data(parts)

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
        sealed: Sealed | None = request.notes.get(_SEALED)
        if sealed is None:
            text = error.message if error is not None else "no call"
            status = error.status if error is not None else 400
            return Response(f"{text}\n", status=status)
        content = {"value": outcome.value} if error is None else self._told(error)
        return sealed.seal(write_pickle(content, self._known))

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
    return all(isinstance(each, (str, int, float, bytes, type(None))) for each in args)
