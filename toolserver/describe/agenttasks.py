"""Jobs as agents are told of them: tasks of MCP.

In revision 2025-11-25 an agent asks for a task, from 2026-07-28 on the server decides.

Spec: Model Context Protocol, revision 2025-11-25, utilities, tasks; extension
``io.modelcontextprotocol/tasks`` (SEP-2663) of revision 2026-07-28.
"""

from __future__ import annotations

from typing import Any

from toolserver.entries import Target
from toolserver.jobs.outside import can_be_job
from toolserver.jobs.records import JobState
from toolserver.jobs.telling import JobInfo

__all__ = ["EXTENSION", "describe_task", "is_long", "may_be_task"]

#: The name of the extension among the capabilities.
EXTENSION = "io.modelcontextprotocol/tasks"
#: Seconds that a method may take by its own limit, from which on it is a long one.
_LONG = 60.0
#: Milliseconds after which an agent may ask again.
_POLL_MS = 1000

_STATUS = {
    JobState.DONE: "completed",
    JobState.FAILED: "failed",
    JobState.CANCELLED: "cancelled",
    JobState.LOST: "failed",
}


def may_be_task(target: Target) -> bool:
    """Whether a method may be called as a task.

    Args:
        target: The method.
    """
    return can_be_job(target)


def is_long(target: Target) -> bool:
    """Whether a method takes long, by the limit that it has set itself.

    Args:
        target: The method.
    """
    own = target.spec.limit.timeout
    return own is not None and (own == 0 or own >= _LONG)


def describe_task(
    info: JobInfo, result_ttl: float, *, stateless: bool
) -> dict[str, Any]:
    """Describe a job as a task.

    Args:
        info: What is told of the job.
        result_ttl: Seconds for which what became of it is kept after its end.
        stateless: Whether the agent speaks a stateless revision.

    Returns:
        A Task object, without its result.
    """
    status = _STATUS.get(JobState(info.state), "working")
    text = info.text
    if info.error is not None:
        text = ": ".join(filter(None, (info.error.type, info.error.message)))
    if stateless and info.state == JobState.FAILED:
        # What a tool raises is a result there; only what keeps it from one is not.
        status = "completed"
    if not stateless and status == "working" and info.is_cancelling:
        status = "cancelled"
    ttl = None
    if info.finished is not None:
        kept = info.finished - info.created
        ttl = round((kept.total_seconds() + result_ttl) * 1000)
    found: dict[str, Any] = {
        "taskId": info.id,
        "status": status,
        "createdAt": info.created.isoformat(),
        "lastUpdatedAt": (info.finished or info.started or info.created).isoformat(),
        "ttlMs" if stateless else "ttl": ttl,
        "pollIntervalMs" if stateless else "pollInterval": _POLL_MS,
    }
    if text:
        found["statusMessage"] = text
    return found
