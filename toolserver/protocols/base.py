"""The plug point for RPC protocols.

A protocol is an object with a URL prefix, a content type and two functions that
touch no socket: `decode` makes calls out of a request, `encode` makes an answer out
of their outcomes. Everything else, from limits to the call path, is the server's.
"""

from __future__ import annotations

import re
from typing import Protocol, runtime_checkable

from toolserver.calls import Call, Outcome
from toolserver.message import Request, Response

__all__ = ["IDEMPOTENCY_KEY", "RPCProtocol", "register_protocol", "registered"]

#: Where a codec notes the idempotency key that a message itself carries, as the field
#: of that name would.
IDEMPOTENCY_KEY = "idempotency.key"


@runtime_checkable
class RPCProtocol(Protocol):
    """What a protocol has to offer; see `toolserver.register_protocol`.

    Attributes:
        prefix: First element of the path under which it is reached, such as
            ``"RPC2"``.
        content_type: Media type of its requests and answers, without parameters.
            A codec that understands further ones lists them in an optional
            attribute ``content_types``; further prefixes in ``aliases``.

    A codec may also have ``describe(request, namespace, make)``, which answers who asks
    by GET instead of calling: with a response, or with None for the usual 405. ``make``
    makes a `Call` and gives its `Outcome`.
    """

    prefix: str
    content_type: str

    def decode(self, request: Request) -> list[Call]:
        """Read the calls out of a request.

        Args:
            request: A POST request with its whole body.

        Returns:
            The calls in the order in which they are to be made.

        Raises:
            ParseError: The body is not well-formed. Any `ToolserverError` comes
                back to `encode` as the only outcome, of a call without a name.
            InvalidRequest: The body is not a request of this protocol.
        """
        ...

    def encode(self, request: Request, outcomes: list[Outcome]) -> bytes | Response:
        """Write the answer.

        Args:
            request: The request that is answered.
            outcomes: One per call, in the same order.

        Returns:
            A body to be sent with status 200 and the protocol's content type, or
            a whole response.

        Raises:
            ToolserverError: A result cannot be expressed. The server then calls
                `encode` again with that error as the outcome of each call that
                had none.
        """
        ...


#: The protocols that were registered in this process, in order.
registered: list[RPCProtocol] = []


def register_protocol(codec: RPCProtocol) -> None:
    """Offer a protocol of your own under ``/<PREFIX>``.

    Args:
        codec: The protocol. A later one with the same prefix takes the place of an
            earlier one, also of one that comes with the server.

    Raises:
        TypeError: It lacks something that `RPCProtocol` asks for.
    """
    if not isinstance(codec, RPCProtocol):
        raise TypeError(
            f"register_protocol: got {codec!r}, expected an object with prefix, "
            "content_type, decode and encode"
        )
    if re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]*", codec.prefix) is None:
        raise TypeError(
            f"register_protocol: got prefix {codec.prefix!r}, expected a word"
        )
    registered.append(codec)
