"""The trace that a call is a part of, over all servers that take part in it.

What came with a request goes on in the jobs that it starts, in the requests that its
call sends to other servers, and in the log. Nothing is traced that came without.

Spec: W3C Trace Context, https://www.w3.org/TR/trace-context/.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping
from contextvars import ContextVar
from typing import Any

from toolserver.contexts import current

__all__ = [
    "current_trace",
    "incoming",
    "outgoing",
    "running_span",
    "trace_id",
    "trace_of",
]

#: The trace context of the span that runs, where somebody makes spans; else empty.
running_span: ContextVar[str] = ContextVar("toolserver.running_span", default="")

#: Version, trace, parent and flags. A later version may add to it.
_TRACEPARENT = re.compile(
    r"(?!ff)([0-9a-f]{2})-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})"
    r"-([0-9a-f]{2})(-.*)?"
)
#: Characters of either field that are read and passed on.
_LONGEST = 512
_SAMPLED = 1


def trace_of(headers: Mapping[str, str]) -> str:
    """The trace context of a request.

    Args:
        headers: The fields of its head.

    Returns:
        What its field ``traceparent`` says; empty where it is missing or malformed.
    """
    found = headers.get("traceparent", "")
    return found if _parts(found) else ""


def current_trace() -> str:
    """The trace context of the running call or job; empty where there is none."""
    span = running_span.get()
    context = current()
    if span or context is None:
        return span
    if context.request is not None:
        return trace_of(context.request.headers)
    job: Any = context.job
    return "" if job is None else str(job.trace)


def trace_id(trace: str) -> str:
    """The 32 digits of a trace context that are the same in all that take part.

    Args:
        trace: The trace context; empty for none.
    """
    return trace[3:35]


def outgoing() -> dict[str, str]:
    """The fields by which a request to another server goes on with the trace.

    Returns:
        ``traceparent``, with a parent of its own, and ``tracestate``, as far as there
        are any.
    """
    fields = incoming()
    parts = _parts(fields.get("traceparent", ""))
    if parts is not None and not running_span.get():
        trace, flags = parts
        parent = secrets.token_hex(8)
        fields["traceparent"] = f"00-{trace}-{parent}-{flags:02x}"
    return fields


def incoming() -> dict[str, str]:
    """The fields of the trace that the running call or job is a part of.

    Returns:
        ``traceparent`` and ``tracestate``, as far as there are any.
    """
    trace = current_trace()
    if not trace:
        return {}
    fields = {"traceparent": trace}
    context = current()
    if context is not None and context.request is not None:
        state = context.request.headers.get("tracestate", "")
        if state and len(state) <= _LONGEST and state.isascii() and state.isprintable():
            fields["tracestate"] = state
    return fields


def _parts(trace: str) -> tuple[str, int] | None:
    """The id of a trace and its flags; None where it is malformed."""
    found = _TRACEPARENT.fullmatch(trace) if len(trace) <= _LONGEST else None
    if found is None or (found[1] == "00" and found[5] is not None):
        return None
    return found[2], int(found[4], 16) & _SAMPLED
