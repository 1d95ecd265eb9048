"""JSON-RPC 2.0: requests, notifications, batches.

Spec: https://www.jsonrpc.org/specification. Version 1.0 is not spoken: a request
without ``"jsonrpc": "2.0"`` is refused. ``"params": null``, which some clients send
for no parameters, is accepted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from toolserver import strictjson
from toolserver.calls import Call, Outcome
from toolserver.errors import (
    ApplicationError,
    InternalError,
    InvalidRequest,
    ToolserverError,
)
from toolserver.message import Request, Response
from toolserver.protocols.jsonnumbers import essence_of, renumbered
from toolserver.settings import Limits

__all__ = ["JSONRPC"]

#: Where a request notes that it is a batch: its answer is an array then.
_BATCH = "jsonrpc.batch"


class JSONRPC:
    """The codec of JSON-RPC 2.0.

    Errors are sent with HTTP status 200, notifications are answered with 204.

    Args:
        limits: Bounds for the depth and the values of JSON and the size of a batch.
    """

    prefix = "JSONRPC"
    content_type = "application/json"
    content_types = ("application/json-rpc", "application/jsonrequest")

    def __init__(self, limits: Limits) -> None:
        self._max_depth = limits.json_depth
        self._max_values = limits.json_values
        self._max_batch = limits.batch

    def decode(self, request: Request) -> list[Call]:
        """Read a call or a batch of calls.

        Args:
            request: The request.

        Returns:
            The calls; one that is not valid carries its error.

        Raises:
            ParseError: The body is not JSON, or ambiguous, or passes a bound.
            InvalidRequest: A batch is empty or too large.
        """
        message = strictjson.decode(
            request.body, max_depth=self._max_depth, max_values=self._max_values
        )
        if type(message) is not list:
            return [_read_call(message)]
        if not message:
            raise InvalidRequest("batch: got an empty array, expected calls")
        if len(message) > self._max_batch:
            raise InvalidRequest(
                f"batch: got {len(message)} calls, expected at most {self._max_batch}"
            )
        request.notes[_BATCH] = True
        return list(map(_read_call, message))

    def encode(self, request: Request, outcomes: list[Outcome]) -> bytes | Response:
        """Write the response of a call, or the responses of a batch.

        Args:
            request: The request that is answered.
            outcomes: What became of the calls.

        Returns:
            The body, or an empty response where no call wants an answer.

        Raises:
            ApplicationError: JSON cannot carry the result of a single call. In a
                batch that is the error of this call alone.
        """
        if _BATCH not in request.notes:
            (outcome,) = outcomes
            if outcome.call.notify:
                return Response("", status=204)
            return _write_response(outcome)
        responses = [
            _write_batched(outcome) for outcome in outcomes if not outcome.call.notify
        ]
        if not responses:
            return Response("", status=204)
        return b"[" + b",".join(responses) + b"]"

    def essence(self, request: Request) -> bytes:
        """What tells calls from others; see `toolserver.web.rpc.NumberedProtocol`."""
        return essence_of(
            strictjson.decode(
                request.body, max_depth=self._max_depth, max_values=self._max_values
            )
        )

    def renumber(self, body: bytes, calls: Sequence[Call]) -> bytes:
        """Number an answer anew; see `toolserver.web.rpc.NumberedProtocol`."""
        numbers = [call.id for call in calls if not call.notify]
        return renumbered(body, numbers)


def _read_call(message: Any) -> Call:
    if type(message) is not dict:
        return _invalid(None, "request", message, "an object")
    id_ = message.get("id")
    if not (id_ is None or type(id_) in (str, int, float)):
        return _invalid(None, "id", id_, "a string, a number or null")
    if message.get("jsonrpc") != "2.0":
        return _invalid(id_, "jsonrpc", message.get("jsonrpc"), "'2.0'")
    name = message.get("method")
    if type(name) is not str:
        return _invalid(id_, "method", name, "a string")
    notify = "id" not in message
    params = message.get("params")
    if type(params) is list:
        return Call(name, params, id=id_, notify=notify)
    if type(params) is dict:
        return Call(name, (), params, id=id_, notify=notify)
    if params is None:
        return Call(name, id=id_, notify=notify)
    return _invalid(id_, "params", params, "an array or an object")


def _invalid(id_: Any, what: str, got: Any, expected: str) -> Call:
    shown = type(got).__name__ if isinstance(got, (dict, list)) else repr(got)[:60]
    error = InvalidRequest(f"{what}: got {shown}, expected {expected}")
    return Call("", id=id_, error=error)


def _write_response(outcome: Outcome) -> bytes:
    error = outcome.error
    if error is not None:
        return _write_error(outcome.call.id, error)
    return strictjson.encode(
        {"jsonrpc": "2.0", "result": outcome.value, "id": outcome.call.id}
    )


def _write_batched(outcome: Outcome) -> bytes:
    try:
        return _write_response(outcome)
    except BaseException as error:  # reading what is told runs a tool's own code
        return _write_error(outcome.call.id, outcome.fail(error))


def _write_error(id_: Any, error: ToolserverError) -> bytes:
    kind = type(error).__name__
    data = {"type": kind}
    if isinstance(error.data, Mapping):
        data.update(error.data)
    elif error.data is not None:
        data["detail"] = error.data
    if isinstance(error, InternalError):
        data["reference"] = error.reference
    told = {"code": error.code, "message": error.message, "data": data}
    try:
        return strictjson.encode({"jsonrpc": "2.0", "error": told, "id": id_})
    except ApplicationError:
        # An error has to arrive, be it without what JSON cannot carry.
        text = error.message.encode("utf-8", "backslashreplace").decode()
        told.update(message=text, data={"type": kind})
        return strictjson.encode({"jsonrpc": "2.0", "error": told, "id": id_})
