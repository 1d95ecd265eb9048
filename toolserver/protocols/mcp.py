"""MCP, the Model Context Protocol, over Streamable HTTP: tools for AI agents.

Revisions 2024-11-05 to 2025-11-25, with their handshake, and 2026-07-28, in which each
request stands by itself. Nothing is kept between requests for either, but for the level
from which on a session follows logs.

What agents ask of the server itself are calls of the tool ``mcp``; what they call are
the methods of all tools.

Spec: https://modelcontextprotocol.io/specification/2026-07-28
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from typing import Any

from toolserver import strictjson
from toolserver.calls import Call, Outcome
from toolserver.describe.agentcatalog import AgentCatalog
from toolserver.describe.agentcontent import failure, result_of
from toolserver.describe.agentlogs import LogLevels, level_name, level_number
from toolserver.describe.agenttasks import EXTENSION as TASKS
from toolserver.describe.agenttasks import is_long, may_be_task
from toolserver.entries import Target
from toolserver.errors import (
    Forbidden,
    InvalidParams,
    InvalidRequest,
    MethodNotFound,
    ParseError,
    ToolFault,
    ToolserverError,
)
from toolserver.message import Request, Response
from toolserver.protocols.base import IDEMPOTENCY_KEY
from toolserver.protocols.jsonnumbers import essence_of, renumbered
from toolserver.protocols.mcp_envelope import (
    HANDSHAKE,
    LOG_LEVEL,
    STATELESS,
    HeaderMismatch,
    MissingCapability,
    UnsupportedVersion,
    check_stateless,
    has_extension,
    is_stateless,
    version_of,
)
from toolserver.protocols.mcp_messages import (
    dressed,
    write_error,
    write_log,
    write_progress,
    write_result,
)
from toolserver.protocols.mcp_methods import SET_LEVEL, kwargs_of, method_of
from toolserver.settings import Limits

__all__ = ["MCP"]

#: Errors that stateless revisions tell by HTTP, too.
_BAD_REQUESTS = (
    ParseError,
    InvalidRequest,
    InvalidParams,
    HeaderMismatch,
    MissingCapability,
    UnsupportedVersion,
)
#: What is called, at once or as a task.
_CALL, _TASK = "tools/call", "tools/call as a task"
#: The member of ``_meta`` with the key of a call that may be sent again.
_KEY = "toolserver/idempotencyKey"
#: Where a request notes its revision, that it is a batch, and its progress token.
_VERSION, _BATCH, _PROGRESS = "mcp.version", "mcp.batch", "mcp.progress"
#: Where it notes from which level on its caller follows the log.
_LOG = "mcp.log"


class MCP:
    """The codec of MCP.

    Args:
        limits: Bounds for the depth and the values of JSON and the size of a batch.
        catalog: The methods that agents are offered.
        namespace: Under which name the tool of the protocol is registered.
        levels: What sessions follow of the logs of their calls; None where nobody may
            follow them.
    """

    prefix = "MCP"
    aliases = ("mcp",)
    content_type = "application/json"

    def __init__(
        self,
        limits: Limits,
        catalog: AgentCatalog,
        namespace: str,
        levels: LogLevels | None = None,
    ) -> None:
        self._max_depth = limits.json_depth
        self._max_values = limits.json_values
        self._max_batch = limits.batch
        self._catalog = catalog
        self._namespace = namespace
        self._levels = levels

    def decode(self, request: Request) -> list[Call]:
        """Read a request, a notification, or a batch of an early revision.

        Args:
            request: The request.

        Returns:
            The calls; one that is not valid carries its error.

        Raises:
            ParseError: The body is not JSON, or ambiguous, or passes a bound.
            InvalidRequest: The body is no message.
            UnsupportedVersion: The server does not speak the revision.
        """
        message = strictjson.decode(
            request.body, max_depth=self._max_depth, max_values=self._max_values
        )
        if _names_version(message):
            # It is judged by its envelope, whatever its headers say.
            request.notes[_VERSION] = STATELESS[-1]
            return [self._read(request, message)]
        request.notes[_VERSION] = version = version_of(request)
        if type(message) is not list:
            return [self._read(request, message)]
        # Batches came with revision 2025-03-26 and went with the next one.
        if version != "2025-03-26" or not message:
            raise InvalidRequest("batch: got an array, expected one message")
        if len(message) > self._max_batch:
            raise InvalidRequest(
                f"batch: got {len(message)} calls, expected at most {self._max_batch}"
            )
        request.notes[_BATCH] = True
        return [self._read(request, each) for each in message]

    def encode(self, request: Request, outcomes: list[Outcome]) -> bytes | Response:
        """Write the answer to a message, or the answers to a batch.

        Args:
            request: The request that is answered.
            outcomes: What became of the calls.

        Returns:
            The body, or an empty response with status 202 where nothing wants an
            answer.
        """
        answers = [
            self._answer(request, outcome)
            for outcome in outcomes
            if not outcome.call.notify
        ]
        if not answers:
            return Response("", status=202)
        if _BATCH in request.notes:
            return b"[" + b",".join(answers) + b"]"
        (answer,) = answers
        status = self._status(request, outcomes[0])
        response = Response(answer, status=status, content_type=self.content_type)
        scope = _wanted_scope(outcomes[0].error)
        if scope:
            # By this status clients know that another token would do.
            response.status = Forbidden.status
            response.headers.append(("WWW-Authenticate", scope))
        if outcomes[0].call.id and outcomes[0].call.id[1] == "initialize":
            # Nothing is kept under it: it tells requests of one client from those of
            # others, for when it cancels one.
            response.headers.append(("Mcp-Session-Id", secrets.token_hex(16)))
        return response

    def stream_key(self, request: Request, call: Call) -> str | None:
        """By what a caller may ask for the end of a call; see `StreamingProtocol`."""
        if call.error is not None or not call.id or call.id[1] != _CALL:
            return None
        if "text/event-stream" not in request.headers.get("accept", ""):
            return None
        session = request.headers.get("mcp-session-id", "")
        return f"{session}:{call.id[0]}" if session else ""

    def encode_progress(
        self, request: Request, call: Call, fraction: float, text: str
    ) -> str | None:
        """What is told of progress; see `StreamingProtocol`."""
        token = request.notes.get(_PROGRESS)
        if not isinstance(token, (str, int)) or isinstance(token, bool):
            return None
        return write_progress(token, fraction, text)

    def log_level(self, request: Request, call: Call) -> int | None:
        """What the caller follows of the log; see `StreamingProtocol`."""
        if self._levels is None:
            return None
        if is_stateless(request.notes[_VERSION]):
            level: int | None = request.notes.get(_LOG)
            return level
        return self._levels.get(request.headers.get("mcp-session-id", ""))

    def encode_log(self, level: int, logger: str, text: str) -> str:
        """What is told of a line of a log; see `StreamingProtocol`."""
        return write_log(level_name(level), logger, text)

    def essence(self, request: Request) -> bytes:
        """What tells calls from others; see `toolserver.web.rpc.NumberedProtocol`."""
        message = strictjson.decode(
            request.body, max_depth=self._max_depth, max_values=self._max_values
        )
        return essence_of(message, has_meta=True)

    def renumber(self, body: bytes, calls: Sequence[Call]) -> bytes:
        """Number an answer anew; see `toolserver.web.rpc.NumberedProtocol`."""
        numbers = [(call.id or (None,))[0] for call in calls if not call.notify]
        return renumbered(body, numbers)

    def _read(self, request: Request, message: Any) -> Call:
        if type(message) is not dict:
            raise InvalidRequest("message: expected a JSON-RPC request")
        id_, name = message.get("id"), message.get("method")
        if message.get("jsonrpc") != "2.0":
            return _invalid("jsonrpc: expected '2.0'")
        if name is None and ("result" in message or "error" in message):
            # An answer to nothing that was asked.
            return Call("", notify=True, error=InvalidRequest("nothing was asked"))
        if type(name) is not str:
            return _invalid("method: expected a string")
        if "id" not in message:
            return self._notification(request, name, message.get("params"))
        if type(id_) not in (str, int):
            return _invalid("id: expected a string or a whole number")
        params = message.get("params")
        if params is None:
            params = {}
        if type(params) is not dict:
            return Call("", id=(id_, name), error=_no_object("params"))
        try:
            version = request.notes[_VERSION]
            if is_stateless(version):
                check_stateless(request, message)
            meta = params.get("_meta")
            if type(meta) is dict:
                request.notes[_PROGRESS] = meta.get("progressToken")
                if is_stateless(version) and LOG_LEVEL in meta:
                    request.notes[_LOG] = level_number(meta[LOG_LEVEL])
                if name == _CALL and _KEY in meta and _BATCH not in request.notes:
                    request.notes[IDEMPOTENCY_KEY] = _key_field(meta[_KEY])
            if name == _CALL:
                return self._call_tool(version, id_, params)
            return self._call(request, name, id_, params)
        except ToolserverError as error:
            return Call("", id=(id_, name), error=error)

    def _notification(self, request: Request, name: str, params: Any) -> Call:
        session = request.headers.get("mcp-session-id", "")
        if name == "notifications/cancelled" and session and type(params) is dict:
            # A client of a stateless revision hangs up instead.
            key = f"{session}:{params.get('requestId')}"
            return Call(f"{self._namespace}.cancel", (key,), notify=True)
        # All others are taken, and tell nothing that would matter here.
        return Call("", notify=True, error=InvalidRequest("a notification"))

    def _call(
        self, request: Request, name: str, id_: Any, params: dict[str, Any]
    ) -> Call:
        version = request.notes[_VERSION]
        found = method_of(name, version)
        if found is None or (name == SET_LEVEL and self._levels is None):
            raise MethodNotFound(f"no method {name!r:.70}")
        if name.startswith("tasks/") and is_stateless(version):
            _check_extension(params, TASKS)
        method, parameters = found
        kwargs = kwargs_of(name, version)
        if name == SET_LEVEL:
            kwargs["session"] = request.headers.get("mcp-session-id", "")
        for key, parameter in parameters.items():
            if key in params:
                kwargs[parameter] = params[key]
        return Call(f"{self._namespace}.{method}", kwargs=kwargs, id=(id_, name))

    def _call_tool(self, version: str, id_: Any, params: dict[str, Any]) -> Call:
        name, arguments = params.get("name"), params.get("arguments")
        if type(name) is not str:
            raise InvalidParams("params.name: expected a string")
        if arguments is not None and type(arguments) is not dict:
            raise _no_object("params.arguments")
        target = self._catalog.find(name)
        if target is None:
            raise InvalidParams(f"unknown tool: {name!r:.130}")
        if _becomes_task(target, version, params):
            args = target.name, arguments or {}, is_stateless(version)
            return Call(f"{self._namespace}.start_task", args, id=(id_, _TASK))
        return Call(target.name, kwargs=arguments or {}, id=(id_, _CALL))

    def _answer(self, request: Request, outcome: Outcome) -> bytes:
        id_, method = outcome.call.id or (None, "")
        error, version = outcome.error, request.notes.get(_VERSION)
        has_handshake = version in HANDSHAKE
        try:
            if method == _CALL and outcome.call.error is None:
                result = self._result(outcome)
            elif method == _TASK and error is not None and not has_handshake:
                # Agents that are given tasks may be given results just as well.
                result = failure(error)
            elif error is not None:
                return write_error(id_, error)
            else:
                result = outcome.plain
            return write_result(
                id_, result if has_handshake else dressed(method, result)
            )
        except BaseException as failed:  # reading a result runs a tool's own code
            # What JSON cannot carry; of an error, what goes with its message.
            found = error or outcome.fail(failed)
            is_raised = error is None and isinstance(found, ToolFault)
            told = failure(found, tells_data=is_raised)
            return write_result(id_, told if has_handshake else dressed(method, told))

    def _result(self, outcome: Outcome) -> dict[str, Any]:
        if outcome.error is not None:
            return failure(outcome.error)
        return result_of(self._catalog.find(outcome.call.name), outcome.value)

    def _status(self, request: Request, outcome: Outcome) -> int:
        error = outcome.error
        if error is None or (outcome.call.name and outcome.call.error is None):
            return 200
        if isinstance(error, (ParseError, InvalidRequest, UnsupportedVersion)):
            return 400
        if request.notes.get(_VERSION) in HANDSHAKE:
            return 200
        if isinstance(error, MethodNotFound):
            return 404
        return 400 if isinstance(error, _BAD_REQUESTS) else 200


def _names_version(message: Any) -> bool:
    """Whether a message has the envelope of a stateless revision."""
    params = message.get("params") if type(message) is dict else None
    meta = params.get("_meta") if type(params) is dict else None
    return type(meta) is dict and "io.modelcontextprotocol/protocolVersion" in meta


def _wanted_scope(error: ToolserverError | None) -> str:
    """The challenge of who has to ask for a token of more scope; empty for none."""
    challenge = error.challenge if isinstance(error, Forbidden) else ""
    return challenge if "scope=" in challenge else ""


def _becomes_task(target: Target, version: str, params: Mapping[str, Any]) -> bool:
    """Whether a call is made as a task."""
    if is_stateless(version):
        return has_extension(params, TASKS) and is_long(target) and may_be_task(target)
    if version != HANDSHAKE[-1] or params.get("task") is None:
        return False
    if type(params["task"]) is not dict:
        raise _no_object("params.task")
    if not may_be_task(target):
        raise MethodNotFound(f"{target.name} cannot be called as a task")
    return True


def _check_extension(params: Mapping[str, Any], extension: str) -> None:
    if not has_extension(params, extension):
        raise MissingCapability({"extensions": {extension: {}}})


def _key_field(key: Any) -> str:
    """An idempotency key as the HTTP field would carry it."""
    if type(key) is not str or len(key) > 255:
        raise InvalidParams(f"_meta.{_KEY}: expected 1 to 255 visible characters")
    escaped = key.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _invalid(text: str) -> Call:
    return Call("", error=InvalidRequest(text))


def _no_object(what: str) -> InvalidParams:
    return InvalidParams(f"{what}: expected an object")
