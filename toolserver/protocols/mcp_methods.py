"""Which methods MCP has in which revision, and what is called for them.

Each is a method of the tool ``mcp``, with its arguments by the names that they have in
the protocol.

Spec: Model Context Protocol, revisions 2024-11-05 to 2026-07-28, schema; extension
``io.modelcontextprotocol/tasks`` (SEP-2663).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from toolserver.protocols.mcp_envelope import HANDSHAKE, STATELESS

__all__ = ["CACHEABLE", "SET_LEVEL", "kwargs_of", "method_of"]

#: Sets what a session follows of the log.
SET_LEVEL = "logging/setLevel"

_Method = tuple[str, Mapping[str, str]]

_COMMON: dict[str, _Method] = {
    "tools/list": ("list_tools", {"cursor": "cursor"}),
    "resources/list": ("list_resources", {"cursor": "cursor"}),
    "resources/templates/list": ("list_resource_templates", {"cursor": "cursor"}),
    "resources/read": ("read_resource", {"uri": "uri"}),
    "prompts/list": ("list_prompts", {"cursor": "cursor"}),
    "prompts/get": ("get_prompt", {"name": "name", "arguments": "arguments"}),
    "completion/complete": (
        "complete",
        {"ref": "ref", "argument": "argument", "context": "context"},
    ),
}
_HANDSHAKE: dict[str, _Method] = {
    "initialize": ("initialize", {"protocolVersion": "protocol_version"}),
    "ping": ("ping", {}),
    SET_LEVEL: ("set_log_level", {"level": "level"}),
}
_TASKS: dict[str, _Method] = {
    "tasks/get": ("get_task", {"taskId": "id"}),
    "tasks/cancel": ("cancel_task", {"taskId": "id"}),
}
#: Tasks came with the last revision that has a handshake, and became an extension.
_BY_VERSION: dict[str, dict[str, _Method]] = {
    **dict.fromkeys(HANDSHAKE, _COMMON | _HANDSHAKE),
    HANDSHAKE[-1]: _COMMON
    | _HANDSHAKE
    | _TASKS
    | {
        "tasks/result": ("task_result", {"taskId": "id"}),
        "tasks/list": ("list_tasks", {"cursor": "cursor"}),
    },
    **dict.fromkeys(
        STATELESS,
        _COMMON
        | _TASKS
        | {
            "server/discover": ("discover", {}),
            "tasks/update": ("update_task", {"taskId": "id"}),
        },
    ),
}
#: Results that clients of stateless revisions may keep.
CACHEABLE = frozenset(
    {*_COMMON, "server/discover"} - {"prompts/get", "completion/complete"}
)


def method_of(name: str, version: str) -> _Method | None:
    """Find what is called for a method of the protocol.

    Args:
        name: The method, ``"tools/list"``.
        version: The revision.

    Returns:
        The method of the tool, and its parameters by what they are called in the
        protocol; None if the revision has no such method.
    """
    return _BY_VERSION[version].get(name)


def kwargs_of(name: str, version: str) -> dict[str, Any]:
    """What a method of the tool has to know of the revision.

    Args:
        name: The method of the protocol.
        version: The revision.
    """
    found: dict[str, Any] = {}
    if name in ("tools/list", "prompts/list"):
        # Names may have no dots for clients of early revisions.
        found["dotted"] = version not in HANDSHAKE[:-1]
    if name == "tools/list":
        found["tasks"] = version == HANDSHAKE[-1]
    if name in _TASKS or name == "resources/read":
        found["stateless"] = version in STATELESS
    return found
