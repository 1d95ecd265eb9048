"""Failures as OpenAPI describes them: which statuses a method may answer, and how.

Spec: RFC 9457 for the document; RFC 9110 for the statuses.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import Any

from toolserver.describe.answers import Answers, answers_of, result_type
from toolserver.describe.definitions import Schema
from toolserver.describe.jsonschema import Schemas
from toolserver.describe.raises import raised_by
from toolserver.endpoints import Endpoint
from toolserver.errors import NotModified, Redirect, Signal, ToolserverError

__all__ = [
    "COMPONENTS",
    "PROBLEM",
    "failures_of",
    "functions_of",
    "phrase",
    "statuses_raised",
]

#: Name of the schema of a problem document.
PROBLEM = "Problem"
_REFERENCE = {"$ref": f"#/components/schemas/{PROBLEM}"}
_CONTENT: dict[str, Schema] = {
    "application/problem+json": _REFERENCE,
    "text/plain": {"type": "string"},
    "text/html": {"type": "string"},
}
_SECONDS = {
    "description": "Seconds after which to ask again.",
    "schema": {"type": "integer", "minimum": 1},
}
_TEXT_FIELD = {"schema": {"type": "string"}}
_FIELDS: dict[str, dict[str, Any]] = {
    "401": {
        "WWW-Authenticate": {"description": "How to say who you are.", **_TEXT_FIELD}
    },
    "409": {"Retry-After": _SECONDS},
    "429": {"Retry-After": _SECONDS},
    "503": {"Retry-After": _SECONDS},
}
#: What tells of a failure beside its body.
_ALWAYS = {
    "X-REST-Errorobject": {"description": "The class of the error.", **_TEXT_FIELD},
    "X-REST-Errordetail": {"description": "What went wrong.", **_TEXT_FIELD},
}
_USUAL = {
    "400": "The request, or an argument, is malformed, missing or unknown.",
    "401": "The tool wants to know who calls.",
    "403": "The caller may not do this.",
    "404": "What was asked for does not exist.",
    "408": "The body did not arrive in time.",
    "409": "The first request with the same key still runs, or has left no answer.",
    "410": "The method is gone for good.",
    "413": "The body is too large.",
    "414": "The URL is too long.",
    "415": "The body is of a kind that is not understood.",
    "416": "The file has no such part.",
    "422": "A precondition does not hold, or the key came with another request.",
    "429": "The caller has called too often.",
    "500": "The tool, or the server, failed.",
    "503": "The server has too much to do, or the call took too long.",
    "default": "The server refuses the request, or the tool fails in a way of its own.",
}
_BODY = ("408", "413", "415")


def _response(status: str, text: str) -> dict[str, Any]:
    return {
        "description": text,
        "headers": {
            **{name: {"$ref": f"#/components/headers/{name}"} for name in _ALWAYS},
            **_FIELDS.get(status, {}),
        },
        "content": {kind: {"schema": schema} for kind, schema in _CONTENT.items()},
    }


def _name(status: str) -> str:
    return f"Problem{status.capitalize()}"


#: What all documents have in common, by kind of component.
COMPONENTS: dict[str, dict[str, Any]] = {
    "schemas": {
        PROBLEM: {
            "description": "What went wrong (RFC 9457). The error may add members.",
            "type": "object",
            "properties": {
                "type": {"type": "string", "format": "uri-reference"},
                "title": {"type": "string", "description": "What the status means."},
                "status": {"type": "integer", "description": "The HTTP status."},
                "detail": {"type": "string", "description": "What went wrong."},
                "instance": {
                    "type": "string",
                    "format": "uri-reference",
                    "description": "The reference under which the log knows it.",
                },
                "code": {
                    "type": "integer",
                    "description": "The number of the error in RPC protocols.",
                },
                "error": {"type": "string", "description": "The class of the error."},
            },
            "required": [
                *("type", "title", "status", "detail", "instance", "code", "error")
            ],
        }
    },
    "headers": _ALWAYS,
    "responses": {
        _name(status): _response(status, text) for status, text in _USUAL.items()
    },
}


def failures_of(
    schemas: Schemas,
    endpoint: Endpoint,
    *,
    has_body: bool,
    has_key: bool,
    takes_key: bool,
    has_accounts: bool,
    has_own: bool,
    raised: dict[str, list[str]],
) -> dict[str, Any]:
    """The failures that a method may answer.

    Args:
        schemas: Makes the schemas of the document.
        endpoint: What answers.
        has_body: Whether requests have a body.
        has_key: Whether the path holds a key, which may not exist.
        takes_key: Whether requests may carry a key by which they are known again.
        has_accounts: Whether callers may say who they are, and be wrong in that.
        has_own: Whether the method may make a response of its own.
        raised: What the method says that it raises: texts by status.

    Returns:
        Responses by status.
    """
    target = endpoint.target
    statuses = {"400", "414", "500", "503", "default"}
    if has_body:
        statuses.update(_BODY)
    if target.tool_validators or target.method_validators:
        statuses |= {"401", "403"}
    if not endpoint.is_safe:
        statuses.add("403")
    if has_key:
        statuses.add("404")
    if has_accounts:
        statuses.add("401")
    if takes_key:
        statuses |= {"409", "422"}
    if target.spec.requires:
        statuses.add("422")
    if target.throttle is not None:
        statuses.add("429")
    rendered: Answers = {}
    if endpoint.on_error is not None:
        rendered = answers_of(schemas, result_type(endpoint.on_error))
    if has_own:
        rendered = {**rendered, "200": {**rendered.get("200", {}), "*/*": {}}}
    found: dict[str, Any] = {}
    for status in sorted({*statuses, *raised}):
        texts = raised.get(status, [])
        if not texts and not rendered and status in _USUAL:
            found[status] = {"$ref": f"#/components/responses/{_name(status)}"}
            continue
        usual = [_USUAL[status]] if status in statuses or not texts else []
        response = _response(status, "\n\n".join([*usual, *texts]))
        for media_type, schema in rendered.get("200", {}).items():
            response["content"].setdefault(
                media_type, {"schema": schema} if schema else {}
            )
        found[status] = response
    for status, contents in rendered.items():
        # A response of the error handler's own, or an error that it makes good.
        if status != "200" and status not in found:
            kinds = {kind: {"schema": schema} for kind, schema in contents.items()}
            text = "What the tool answers to an error."
            found[status] = {
                "description": text,
                **({"content": kinds} if kinds else {}),
            }
    return found


def statuses_raised(functions: Iterable[Callable[..., Any]]) -> dict[str, list[str]]:
    """The statuses to which lead what functions say that they raise.

    Args:
        functions: The functions, with the doc strings.

    Returns:
        Texts by status; ``"3XX"`` where it depends on what is raised.
    """
    found: dict[str, list[str]] = {}
    for error, text in raised_by(functions):
        status = _status_of(error)
        if status and text not in found.setdefault(status, []):
            found[status].append(text)
    return found


def functions_of(endpoint: Endpoint) -> list[Callable[..., Any]]:
    """All functions of a tool that take part in an answer.

    Args:
        endpoint: What answers.
    """
    target = endpoint.target
    own = target.function if endpoint.is_rest else None
    found = [own or getattr(type(target.tool), target.spec.attribute, None)]
    found.append(endpoint.parser)
    found += [each.function for each in endpoint.generators]
    found += [each.function for each in target.tool_validators]
    found += [each.function for each in target.method_validators]
    return [function for function in found if function is not None]


def _status_of(error: type[BaseException]) -> str:
    """The status that an exception leads to; empty for one that is no failure."""
    if issubclass(error, Redirect):
        return "3XX"
    if issubclass(error, NotModified):
        return "304"
    if issubclass(error, Signal):
        return ""
    return str(error.status) if issubclass(error, ToolserverError) else "500"


def phrase(status: str) -> str:
    """What a status means, in words.

    Args:
        status: The status, or a range such as ``"3XX"``.
    """
    try:
        return HTTPStatus(int(status)).phrase
    except ValueError:
        return {"2XX": "Success", "3XX": "Redirection"}.get(status, "Answer")
