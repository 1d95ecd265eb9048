"""XML-RPC, as clients speak it.

Spec: http://xmlrpc.com/spec.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from toolserver.client.codecs import (
    Answer,
    Outgoing,
    Style,
    bad_answer,
    refusal,
    sendable,
)
from toolserver.client.faults import make_error
from toolserver.errors import ToolserverError
from toolserver.plain import to_plain
from toolserver.protocols.xmlrpc_reader import Fault, read_response
from toolserver.protocols.xmlrpc_writer import write_call
from toolserver.settings import Limits

__all__ = ["XMLRPCCodec"]

_HEADERS = {"Content-Type": "text/xml", "Accept": "text/xml"}


class XMLRPCCodec:
    """One call in each request.

    Args:
        limits: Bounds for the XML of answers.
    """

    style = Style.POSITIONAL

    def __init__(self, limits: Limits) -> None:
        self._limits = limits

    def write(
        self, name: str, args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> Outgoing:
        """Write a methodCall; None among members of structs is sent."""
        body = sendable(lambda: write_call(name, map(to_plain, args), keeps_none=True))
        return Outgoing("/RPC2", body, _HEADERS)

    def read(self, answer: Answer) -> Any:
        """Read a methodResponse."""
        if answer.status != 200 or answer.media_type != "text/xml":
            raise refusal(answer)
        try:
            return read_response(answer.body, answer.content_type, self._limits)
        except Fault as fault:
            error = make_error(fault.message, code=fault.code)
        except ToolserverError as broken:
            raise bad_answer(answer, broken.message) from broken
        raise error
