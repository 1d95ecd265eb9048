"""Requests that may be sent again, in the words of OpenAPI.

Spec: draft-ietf-httpapi-idempotency-key-header-07.
"""

from __future__ import annotations

from typing import Any

from toolserver.endpoints import Endpoint
from toolserver.tools import ObsoleteTool

__all__ = ["KEY", "PARAMETERS", "takes_key"]

#: What an operation refers to.
KEY = {"$ref": "#/components/parameters/IdempotencyKey"}

#: The component behind it, which is the same in every document.
PARAMETERS: dict[str, dict[str, Any]] = {
    "IdempotencyKey": {
        "name": "Idempotency-Key",
        "in": "header",
        "description": "Names the request, so that it is carried out once however "
        "often it is sent: each further time its first answer is given again, with "
        "`Idempotency-Replayed: true`. A key in quotes, up to 255 visible characters.",
        # A key may hold quotes and backslashes, too, where these are escaped.
        "schema": {"type": "string", "pattern": r'^"[!#-\[\]-~]{1,255}"$'},
        "example": '"8e03978e-40d5-43dd-bc93-6894a57f9324"',
    }
}


def takes_key(endpoint: Endpoint, verb: str) -> bool:
    """Whether a document tells that requests may carry a key.

    Args:
        endpoint: What answers.
        verb: The verb.
    """
    return not (
        endpoint.is_safe
        or verb in ("GET", "HEAD")
        or isinstance(endpoint.target.tool, ObsoleteTool)
    )
