"""MCP, the Model Context Protocol, as clients speak it over Streamable HTTP.

Each request stands by itself, as in revision 2026-07-28. A server that knows only
revisions with a handshake is greeted when it refuses the first request, and all further
requests speak the revision that it has chosen.

Spec: https://modelcontextprotocol.io/specification/2026-07-28, basic, versioning.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from toolserver import __version__, strictjson
from toolserver.client.codecs import (
    JSON_DEPTH,
    Answer,
    Outgoing,
    Style,
    bad_answer,
    refusal,
    sendable,
)
from toolserver.client.jsonrpc import read_error
from toolserver.client.mcpresults import read_result
from toolserver.errors import InvalidParams, MethodNotFound, ParseError
from toolserver.protocols.mcp_envelope import HANDSHAKE, STATELESS, routing_headers

__all__ = ["MCPCodec"]

_CALL = "tools/call"
_EVENTS, _PROBLEM = "text/event-stream", "application/problem+json"
_META = "io.modelcontextprotocol/"
_CLIENT = {"name": "toolserver", "version": __version__}
#: How servers refuse a request whose revision they do not know, and those of them that
#: refuse it for another reason: a header, a capability, the revision, the parameters.
_REFUSALS = frozenset({400, 404, 405, 406, 409, 422})
_UNSUPPORTED = -32022
_OWN = frozenset({-32020, -32021, _UNSUPPORTED})
_KNOWING = _OWN | {-32602}
_LINE_END = re.compile(rb"\r\n|\r|\n")
_UNKNOWN = re.compile("unknown tool", re.IGNORECASE)


@dataclass(frozen=True)
class _Agreed:
    """What a handshake has led to: a revision, and the session if there is one."""

    version: str
    session: str | None


class MCPCodec:
    """One call in each request.

    Attributes:
        takes_streams: Whether an answer may come as a stream of events.
    """

    style = Style.NAMED

    def __init__(self) -> None:
        self.takes_streams = True
        self._ids = itertools.count(1)
        self._agreed: _Agreed | None = None

    def write(
        self, name: str, args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> Outgoing:
        """Write a call."""
        params = {"name": name, "arguments": dict(kwargs)}
        return sendable(lambda: self._request(_CALL, params))

    def read(self, answer: Answer) -> Any:
        """Read the result of a call."""
        result = _result(answer)
        kind = result.get("resultType", "complete")
        if kind != "complete":
            raise bad_answer(answer, f"got a result of type {kind!r:.70}")
        try:
            return read_result(result)
        except ValueError as error:
            raise bad_answer(answer, str(error)) from error

    def asks_for_handshake(self, answer: Answer) -> bool:
        """Whether a server has done nothing but ask for a handshake.

        Args:
            answer: Its answer to a call.
        """
        if answer.status not in _REFUSALS or answer.media_type == _PROBLEM:
            return False
        agreed = self._agreed
        if agreed is not None:
            # The server has forgotten the session.
            return answer.status == 404 and agreed.session is not None
        told = (_response(answer) or {}).get("error")
        code = told.get("code") if isinstance(told, dict) else None
        if not isinstance(told, dict) or code != _UNSUPPORTED:
            return code not in _KNOWING
        data = told.get("data")
        spoken = data.get("supported") if isinstance(data, dict) else None
        return not isinstance(spoken, list) or any(each in HANDSHAKE for each in spoken)

    def handshake(self, send: Callable[[Outgoing], Answer]) -> None:
        """Agree with the server on a revision.

        Args:
            send: Sends a request and waits for its answer.

        Raises:
            AnswerError: There is none that both speak.
        """
        self._agreed = None
        offer = {"capabilities": {}, "clientInfo": _CLIENT}
        greeting = {"protocolVersion": HANDSHAKE[-1], **offer}
        answer = send(self._message("initialize", greeting, {}))
        version = _result(answer).get("protocolVersion")
        if version not in HANDSHAKE:
            expected = " or ".join(HANDSHAKE)
            raise bad_answer(answer, f"got revision {version!r:.70}, not {expected}")
        agreed = _Agreed(version, answer.headers.get("mcp-session-id"))
        self._agreed = agreed
        initialized = {"jsonrpc": "2.0", "method": "notifications/initialized"}
        send(self._outgoing(initialized, _agreed_headers(agreed)))

    def _request(self, method: str, params: dict[str, Any]) -> Outgoing:
        agreed = self._agreed
        if agreed is not None:
            return self._message(method, params, _agreed_headers(agreed))
        meta = {
            f"{_META}protocolVersion": STATELESS[-1],
            f"{_META}clientCapabilities": {},
            f"{_META}clientInfo": _CLIENT,
        }
        params = {**params, "_meta": meta}
        return self._message(method, params, routing_headers(method, params))

    def _message(
        self, method: str, params: dict[str, Any], headers: Mapping[str, str]
    ) -> Outgoing:
        # One step of C: no other thread gets the same number.
        number = next(self._ids)
        message = {"jsonrpc": "2.0", "id": number, "method": method, "params": params}
        return self._outgoing(message, headers)

    def _outgoing(
        self, message: dict[str, Any], headers: Mapping[str, str]
    ) -> Outgoing:
        accept = f"application/json, {_EVENTS}"
        own = {
            "Content-Type": "application/json",
            "Accept": accept if self.takes_streams else "application/json",
        }
        return Outgoing("/MCP", strictjson.encode(message), {**own, **headers})


def _agreed_headers(agreed: _Agreed) -> dict[str, str]:
    headers = {"MCP-Protocol-Version": agreed.version}
    if agreed.session is not None:
        headers["Mcp-Session-Id"] = agreed.session
    return headers


def _result(answer: Answer) -> dict[str, Any]:
    """The result of an answer, whatever was asked."""
    response = _response(answer)
    if response is None:
        raise refusal(answer)
    told = response.get("error")
    if told is not None:
        raise _failure(answer, told)
    result = response.get("result")
    if not isinstance(result, dict):
        raise bad_answer(answer)
    return result


def _response(answer: Answer) -> dict[str, Any] | None:
    """The response in an answer; None where it holds none, whatever else it is."""
    if answer.media_type == "application/json":
        messages = [answer.body]
    elif answer.media_type == _EVENTS:
        messages = _events(answer.body)
    else:
        return None
    for text in messages:
        try:
            message = strictjson.decode(text, max_depth=JSON_DEPTH)
        except ParseError as error:
            raise bad_answer(answer, error.message) from error
        if isinstance(message, dict) and message.keys() & {"result", "error"}:
            return message
    return None


def _events(body: bytes) -> list[bytes]:
    """The messages in a stream of events (HTML standard, section 9.2.6)."""
    found, lines, kind = [], [], b""
    for line in _LINE_END.split(body):
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if name == b"data":
            lines.append(value)
        elif name == b"event":
            kind = value
        elif not line:
            # Other types tell of the stream, such as that the server stops.
            if any(lines) and kind in (b"", b"message"):
                found.append(b"\n".join(lines))
            lines, kind = [], b""
    # One that is not closed by an empty line has not arrived as a whole.
    return found


def _failure(answer: Answer, told: Any) -> Exception:
    error = read_error(told)
    if error is None or error.code in _OWN:
        return bad_answer(answer, "" if error is None else error.message)
    if isinstance(error, InvalidParams) and _UNKNOWN.match(error.message):
        # Servers have no number of its own for it (server features, tools, errors).
        return MethodNotFound(error.message)
    return error
