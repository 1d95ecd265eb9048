"""JSON-RPC 2.0, as clients speak it.

Spec: https://www.jsonrpc.org/specification.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from toolserver import strictjson
from toolserver.client.codecs import (
    JSON_DEPTH,
    Answer,
    Outgoing,
    Style,
    bad_answer,
    refusal,
    sendable,
)
from toolserver.client.faults import make_error
from toolserver.errors import ParseError, ToolserverError

__all__ = ["JSONRPCCodec", "read_error"]

_HEADERS = {"Content-Type": "application/json", "Accept": "application/json"}


class JSONRPCCodec:
    """One call in each request."""

    style = Style.EITHER

    def write(
        self, name: str, args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> Outgoing:
        """Write a call."""
        params = dict(kwargs) if kwargs else list(args)
        call = {"jsonrpc": "2.0", "method": name, "params": params, "id": 1}
        body = sendable(lambda: strictjson.encode(call))
        return Outgoing("/JSONRPC", body, _HEADERS)

    def read(self, answer: Answer) -> Any:
        """Read a response."""
        if answer.status != 200 or answer.media_type != "application/json":
            raise refusal(answer)
        try:
            response = strictjson.decode(answer.body, max_depth=JSON_DEPTH)
        except ParseError as error:
            raise bad_answer(answer, error.message) from error
        if not isinstance(response, dict) or response.get("jsonrpc") != "2.0":
            raise bad_answer(answer)
        told = response.get("error")
        if told is not None:
            raise read_error(told) or bad_answer(answer)
        if "result" not in response:
            raise bad_answer(answer)
        return response["result"]


def read_error(error: Any) -> ToolserverError | None:
    """Read what a response tells of a failure.

    Args:
        error: Its member ``error``.

    Returns:
        The error; None where it tells none.
    """
    if not isinstance(error, dict) or type(error.get("code")) is not int:
        return None
    data = error.get("data")
    kind = ""
    if isinstance(data, dict):
        facts = dict(data)
        kind = str(facts.pop("type", ""))
        data = facts or None
    return make_error(
        str(error.get("message", "")), code=error["code"], kind=kind, data=data
    )
