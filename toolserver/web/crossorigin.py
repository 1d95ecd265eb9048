"""Answers for web pages of other origins.

A browser asks before it lets a page make a call that no form could have made (the
preflight), and does not show the page an answer that does not name the page's origin.

Spec: Fetch standard, section 3.2 (CORS protocol).
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterable

from toolserver.cors import CORS
from toolserver.message import Request, Response
from toolserver.web.negotiation import add_vary

__all__ = ["answer_preflight", "is_preflight", "share"]

_ASKED_METHOD = "access-control-request-method"
_ASKED_FIELDS = "access-control-request-headers"
_FIELD_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_PREFIX = "access-control-"


def is_preflight(request: Request) -> bool:
    """Whether a browser asks if a page may make a call.

    Args:
        request: The request.
    """
    headers = request.headers
    return (
        request.method == "OPTIONS" and "origin" in headers and _ASKED_METHOD in headers
    )


def answer_preflight(request: Request, cors: CORS, verbs: Iterable[str]) -> Response:
    """Tell a browser whether a page may make a call.

    Args:
        request: The preflight.
        cors: Who may call the tool.
        verbs: The verbs that are answered.

    Returns:
        The answer; for an origin that may not call it says nothing of it.
    """
    allowed = ", ".join(sorted(verbs))
    response = Response(status=204, headers={"Allow": allowed})
    if cors.allows(request.headers.get("origin")):
        asked = re.split(r"[\s,]+", request.headers.get(_ASKED_FIELDS, ""))
        # Pages that may call may say what they like: nothing is trusted for its name.
        fields = ", ".join(name for name in asked if _FIELD_NAME.fullmatch(name))
        response.headers += [
            ("Access-Control-Allow-Methods", allowed),
            ("Access-Control-Max-Age", str(cors.max_age)),
        ]
        if fields:
            response.headers.append(("Access-Control-Allow-Headers", fields))
        response.headers += _origin_fields(request, cors)
    for name in ("Origin", "Access-Control-Request-Method", _ASKED_FIELDS.title()):
        response.headers = add_vary(response.headers, name)
    return response


def share(request: Request, cors: CORS, response: Response) -> Response:
    """Let a browser show an answer to the page that asked for it.

    Args:
        request: The request.
        cors: Who may call the tool.
        response: The answer, which is not changed.

    Returns:
        The answer with the fields that browsers look for.
    """
    shared = copy.copy(response)
    headers = [
        pair for pair in response.headers if not pair[0].lower().startswith(_PREFIX)
    ]
    if cors.allows(request.headers.get("origin")):
        headers += _origin_fields(request, cors)
        if cors.expose:
            headers.append(("Access-Control-Expose-Headers", ", ".join(cors.expose)))
    # Also without an origin: what a cache keeps may be asked for with one.
    shared.headers = headers if cors.is_open else add_vary(headers, "Origin")
    return shared


def _origin_fields(request: Request, cors: CORS) -> list[tuple[str, str]]:
    origin = "*" if cors.is_open else request.headers["origin"]
    fields = [("Access-Control-Allow-Origin", origin)]
    if cors.credentials:
        fields.append(("Access-Control-Allow-Credentials", "true"))
    return fields
