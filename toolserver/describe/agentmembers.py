"""Names in the results of MCP tools that the protocol leaves to servers.

Agents may overlook them; the client makes the same values and errors of them as over
other protocols.

Spec: Model Context Protocol, revision 2026-07-28, basic, ``_meta``.
"""

from __future__ import annotations

__all__ = ["ERROR", "LIST", "RESULT"]

#: The member of the structured content that holds a result which is no object.
RESULT = "result"
#: In ``_meta`` of a failure: the error, as JSON-RPC tells of it.
ERROR = "toolserver/error"
#: In ``_meta`` where blocks of content are the members of a list, even a single one.
LIST = "toolserver/list"
