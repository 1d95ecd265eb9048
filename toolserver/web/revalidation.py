"""Only as much of an answer as the caller lacks: 304, or parts of a file.

Spec: RFC 9110, sections 13 (conditional requests) and 14 (ranges).
"""

from __future__ import annotations

from toolserver.message import FileBody, Request, Response
from toolserver.web.conditional import (
    check_preconditions,
    matching_etag,
    parse_date,
    requested_ranges,
)
from toolserver.web.partial import partial_response

__all__ = ["without_known_parts"]

#: Fields that an answer without a body still carries (RFC 9110, section 15.4.5).
_KEPT_BY_304 = frozenset(
    {"cache-control", "content-location", "date", "expires", "vary", "set-cookie"}
)


def without_known_parts(request: Request, response: Response) -> Response:
    """Leave out what the caller has already or does not ask for.

    Args:
        request: The request, a GET or HEAD.
        response: The whole answer, with status 200; closed if it is not sent.

    Returns:
        304, 206, 416 or the whole.
    """
    get = request.headers.get
    if get("if-none-match") or get("if-modified-since"):
        fields = {name.lower(): value for name, value in response.headers}
        etag = fields.get("etag", "")
        status = check_preconditions(
            request.method, request.headers, etag=etag, modified=_modified(fields)
        )
        if status == 304:
            response.close()
            return _not_modified(request, response, etag)
    if isinstance(response.body, FileBody) and get("range"):
        return _in_parts(request, response, response.body)
    return response


def _modified(fields: dict[str, str]) -> int | None:
    sent = fields.get("last-modified")
    return parse_date(sent) if sent else None


def _not_modified(request: Request, response: Response, etag: str) -> Response:
    kept = [pair for pair in response.headers if pair[0].lower() in _KEPT_BY_304]
    if etag:
        # The tag that the caller has: it may be that of a compressed form.
        known = request.headers.get("if-none-match")
        matched = matching_etag(known, etag, weak=True) if known else ""
        kept.append(("ETag", matched or etag))
    return Response(status=304, headers=kept)


def _in_parts(request: Request, response: Response, body: FileBody) -> Response:
    fields = {name.lower(): value for name, value in response.headers}
    if fields.get("accept-ranges") != "bytes":
        return response
    spans = requested_ranges(
        request.method,
        request.headers,
        body.length,
        etag=fields.get("etag", ""),
        modified=_modified(fields),
    )
    if spans is None:
        return response
    content_type = fields.get("content-type", "application/octet-stream")
    return partial_response(body, body.length, spans, response.headers, content_type)
