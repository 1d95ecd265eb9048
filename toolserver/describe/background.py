"""Calls that go on without their callers, in the words of OpenAPI.

Spec: RFC 7240, section 4.1 (respond-async).
"""

from __future__ import annotations

from typing import Any

from toolserver.endpoints import Endpoint
from toolserver.jobs.outside import can_be_job
from toolserver.tools import ObsoleteTool

__all__ = ["ACCEPTED", "BACKGROUND", "PREFER", "may_go_on"]

#: What an operation refers to.
PREFER = {"$ref": "#/components/parameters/Prefer"}
ACCEPTED = {"$ref": "#/components/responses/Job"}

_TEXT = {"type": "string"}

#: The components behind it, which are the same in every document.
BACKGROUND: dict[str, dict[str, Any]] = {
    "parameters": {
        "Prefer": {
            "name": "Prefer",
            "in": "header",
            "description": "`respond-async` has the call made without its caller, "
            "`respond-async, wait=5` after five seconds.",
            "schema": _TEXT,
            "example": "respond-async",
        }
    },
    "responses": {
        "Job": {
            "description": "The call goes on; its result will be found.",
            "headers": {
                "Location": {
                    "description": "Where to ask for it.",
                    "schema": {"type": "string", "format": "uri-reference"},
                },
                "Preference-Applied": {"schema": _TEXT},
            },
            "content": {
                "application/json": {
                    "schema": {
                        "type": "object",
                        "properties": {"id": _TEXT, "state": _TEXT},
                        "required": ["id", "state"],
                    }
                }
            },
        }
    },
}


def may_go_on(endpoint: Endpoint) -> bool:
    """Whether a document tells that calls may go on without their callers.

    Calls that change nothing rarely take so long that somebody would want it.

    Args:
        endpoint: What answers.
    """
    target = endpoint.target
    return not (
        endpoint.is_rest
        or target.spec.is_read_only
        or isinstance(target.tool, ObsoleteTool)
    ) and can_be_job(target)
