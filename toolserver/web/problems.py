"""Failures over HTTP: a problem document, or a sentence for people.

Spec: RFC 9457 (problem details); RFC 9110 for the fields that go with a status.
"""

from __future__ import annotations

import traceback
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

from markupsafe import Markup

from toolserver import strictjson
from toolserver.contexts import context
from toolserver.errors import (
    CallTimeout,
    Forbidden,
    KeyInUse,
    Overload,
    ToolFault,
    ToolserverError,
    TooMany,
    Unauthenticated,
)
from toolserver.message import Request, Response
from toolserver.plain import to_plain
from toolserver.web.negotiation import choose_media_type

__all__ = ["error_fields", "exception_of", "forget_frames", "problem"]

_PROBLEM = "application/problem+json"
_OFFERED = (_PROBLEM, "application/json", "text/plain", "text/html")
_PAGE = Markup(
    "<!doctype html>\n"
    '<html lang="en">\n'
    "<title>{0} {1}</title>\n"
    "<h1>{1}</h1>\n"
    "<p>{2}</p>\n"
    "<p><small>{0}, reference {3}</small></p>\n"
    "<pre>{4}</pre>\n"
    "</html>\n"
)
_PAGE_FIELDS = (
    ("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'"),
    ("Referrer-Policy", "no-referrer"),
)
#: Seconds after which to ask again when the server has too much to do.
_RETRY_AFTER = 1
#: Characters of a message that fit into a header field.
_DETAIL_SIZE = 500
_STANDARD = frozenset({"type", "title", "status", "detail", "instance"})


def problem(
    request: Request, error: ToolserverError, *, debug: bool = False
) -> Response:
    """Tell a caller over HTTP what went wrong.

    Args:
        request: The request that failed.
        error: Why.
        debug: Whether the traceback is told, too.

    Returns:
        A problem document, or plain text or a page for who prefers that.
    """
    status = error.status
    title = _title(status)
    # Paths that are not UTF-8 are told in messages, and no body can hold them.
    detail = (error.message or title).encode("utf-8", "backslashreplace").decode()
    trace = "".join(traceback.format_exception(exception_of(error))) if debug else ""
    headers = error_fields(error)
    accept = request.headers.get("accept")
    if accept is not None and accept != "*/*":
        headers.append(("Vary", "Accept"))
        match choose_media_type(accept, _OFFERED):
            case "text/plain":
                text = f"{status} {title}: {detail}\n{trace}"
                return Response(text, status=status, headers=headers)
            case "text/html":
                page = _PAGE.format(status, title, detail, context.request_id, trace)
                return Response(page, status=status, headers=[*headers, *_PAGE_FIELDS])
    document: dict[str, Any] = {
        "type": "about:blank",
        "title": title,
        "status": status,
        "detail": detail,
        "instance": f"urn:toolserver:request:{quote(context.request_id, safe='')}",
        "code": error.code,
        "error": _kind(error),
    }
    if isinstance(error.data, dict):
        document.update(
            (str(key), value)
            for key, value in error.data.items()
            if key not in _STANDARD and key not in document
        )
    elif error.data is not None:
        document["data"] = error.data
    if debug:
        document["traceback"] = trace.splitlines()
    try:
        body = strictjson.encode(to_plain(document))
    except ToolserverError:
        # What the tool added cannot be sent; the rest of it can.
        body = strictjson.encode({key: document[key] for key in list(document)[:7]})
    return Response(body, status=status, content_type=_PROBLEM, headers=headers)


def error_fields(error: ToolserverError) -> list[tuple[str, str]]:
    """The header fields that go with a failure.

    Args:
        error: The failure.

    Returns:
        Names and values.
    """
    headers = [
        ("X-REST-Errorobject", _field_value(_kind(error))),
        ("X-REST-Errordetail", _field_value(error.message)),
        ("X-Content-Type-Options", "nosniff"),
    ]
    if isinstance(error, (Unauthenticated, Forbidden)) and error.challenge:
        headers.append(("WWW-Authenticate", error.challenge))
    elif isinstance(error, TooMany) and error.retry_after is not None:
        headers.append(("Retry-After", str(max(1, round(error.retry_after)))))
    elif isinstance(error, (Overload, CallTimeout, KeyInUse)):
        headers.append(("Retry-After", str(_RETRY_AFTER)))
    return headers


def exception_of(error: ToolserverError) -> BaseException:
    """What was raised in the first place.

    Args:
        error: A failure as callers see it.

    Returns:
        The tool's own exception, or the error itself.
    """
    return error.exception if isinstance(error, ToolFault) else error


def forget_frames(error: ToolserverError) -> None:
    """Let go of the frames of a failure that has been told.

    They hold the failure themselves, and the request: its files would stay open until
    the garbage collector comes.

    Args:
        error: The failure.
    """
    pending: list[BaseException | None] = [error, exception_of(error)]
    while pending:
        found = pending.pop()
        if found is not None and found.__traceback__ is not None:
            found.__traceback__ = None
            pending += [found.__cause__, found.__context__]


def _kind(error: ToolserverError) -> str:
    """The name of the error's class, as far as the caller may know it."""
    data = error.data
    if isinstance(error, ToolFault) and isinstance(data, dict) and "type" in data:
        return str(data["type"])
    return type(error).__name__


def _field_value(text: str) -> str:
    """A text as a header field can carry it: printable ASCII, and not too long."""
    text = text[:_DETAIL_SIZE].encode("ascii", "backslashreplace").decode()
    printable = "".join(c if c.isprintable() else " " for c in text)
    return printable[:_DETAIL_SIZE].strip()


def _title(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Error"
