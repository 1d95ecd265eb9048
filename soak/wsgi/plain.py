"""A WSGI application beside the tools, which sends back what it gets."""

from __future__ import annotations

from typing import Any

from toolserver import register_wsgi


def application(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    """Send back the body, in pieces."""
    body = environ["wsgi.input"].read()
    fields = [("Content-Type", "application/octet-stream")]
    start_response("200 OK", [*fields, ("X-Path", ascii(environ["PATH_INFO"]))])
    return [body[:100], body[100:]]


register_wsgi("plain", application)
