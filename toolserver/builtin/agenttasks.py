"""What agents ask of the tasks that they have started, which are jobs.

Spec: Model Context Protocol, revision 2025-11-25, utilities, tasks; extension
``io.modelcontextprotocol/tasks`` (SEP-2663) of revision 2026-07-28.
"""

from __future__ import annotations

import math
from typing import Any

from toolserver.calls import Call
from toolserver.contexts import context
from toolserver.describe.agentcontent import failure, result_of
from toolserver.describe.agenttasks import describe_task
from toolserver.entries import Target
from toolserver.errors import (
    Conflict,
    InvalidParams,
    JobExpired,
    JobUnknown,
    ToolserverError,
)
from toolserver.jobs import outside
from toolserver.jobs.records import JobStatus
from toolserver.marks import expose, limit, read_only
from toolserver.services import services
from toolserver.tools import InternalTool

__all__ = ["AgentTasks", "tasks_offered"]

#: Seconds in which a job that is cancelled mostly ends.
_SOON = 2.0
#: Tasks that are listed at most.
_LISTED = 1000
_RELATED = "io.modelcontextprotocol/related-task"


class AgentTasks(InternalTool):
    """Starts tasks and tells of them; a task is a job, with the same owner."""

    @expose
    def start_task(
        self, name: str, arguments: dict[str, Any], stateless: bool
    ) -> dict[str, Any]:
        """Have a method called while the agent does something else.

        Args:
            name: Full name of the method.
            arguments: Its arguments.
            stateless: Whether the agent speaks a stateless revision.

        Returns:
            What tells of the task.
        """
        prepared = services().dispatcher.prepare(Call(name, (), arguments))
        status = outside.find_job(outside.start_job(prepared))
        task = _described(status, stateless)
        # An agent takes no task that has ended already (tasks, status lifecycle).
        task["status"] = "working"
        return {**task, "resultType": "task"} if stateless else {"task": task}

    @expose
    @read_only
    def get_task(self, id: str, stateless: bool) -> dict[str, Any]:
        """Tell of a task, to stateless agents with its result.

        Args:
            id: Its id.
            stateless: Whether the agent speaks a stateless revision.

        Raises:
            InvalidParams: There is none, or it is somebody else's.
        """
        status = _found(id)
        task = _described(status, stateless)
        if stateless and task["status"] == "completed":
            task["result"] = _result(status)
        elif stateless and task["status"] == "failed":
            error = outside.result_of(status, hands_out=False).error
            if error is not None:  # pragma: no branch - what has failed has one
                task["error"] = {"code": error.code, "message": error.message}
        return task

    @expose
    @limit(timeout=0)
    def task_result(self, id: str) -> dict[str, Any]:
        """Wait for the end of a task and hand out what a call would have.

        Args:
            id: Its id.

        Raises:
            InvalidParams: There is none, or it is somebody else's.
            Conflict: The server stops before it has ended.
        """
        _found(id)
        status = outside.await_end(id, math.inf, most=math.inf)
        if not status.state.is_final:
            raise Conflict(f"task {id}: {status.state}, without a result so far")
        result = _result(status)
        meta = {**result.get("_meta", {}), _RELATED: {"taskId": id}}
        return {**result, "_meta": meta}

    @expose
    def cancel_task(self, id: str, stateless: bool) -> dict[str, Any]:
        """Cancel a task.

        Args:
            id: Its id.
            stateless: Whether the agent speaks a stateless revision.

        Returns:
            Nothing to stateless agents, to others what tells of the task.

        Raises:
            InvalidParams: There is none, it is somebody else's, or it has ended.
        """
        status = _found(id)
        if not stateless and status.state.is_final:
            raise InvalidParams(f"task {id}: got one that has ended: {status.state}")
        outside.cancel_job(id)
        if stateless:
            return {}
        return _described(outside.await_end(id, _SOON), stateless)

    @expose
    @read_only
    def update_task(self, id: str) -> dict[str, Any]:
        """Take answers for a task, which has asked for nothing: none is expected.

        Args:
            id: Its id.

        Raises:
            InvalidParams: There is none, or it is somebody else's.
        """
        _found(id)
        return {}

    @expose
    @read_only
    def list_tasks(self, cursor: str = "") -> dict[str, Any]:
        """List the caller's tasks, the newest first; an anonymous caller has none.

        Args:
            cursor: Where to go on; there are no further pages.

        Raises:
            InvalidParams: There is no such cursor.
        """
        if cursor:
            raise InvalidParams(f"cursor: got {cursor!r:.70}, expected one of ours")
        ttl = services().settings.jobs.result_ttl
        jobs = outside.list_jobs(limit=_LISTED)
        return {"tasks": [describe_task(job, ttl, stateless=False) for job in jobs]}


def tasks_offered() -> dict[str, Any]:
    """What the caller may do with tasks, as a capability of the server."""
    found: dict[str, Any] = {"cancel": {}, "requests": {"tools": {"call": {}}}}
    if context.client is not None:
        # Those of anonymous callers are nobody's to list.
        found["list"] = {}
    return found


def _found(id: str) -> JobStatus:
    try:
        return outside.find_job(id)
    except (JobUnknown, JobExpired) as error:
        raise InvalidParams(f"unknown task: {error.message}") from error


def _described(status: JobStatus, stateless: bool) -> dict[str, Any]:
    ttl = status.job.result_ttl
    return describe_task(outside.told_of(status), ttl, stateless=stateless)


def _result(status: JobStatus) -> dict[str, Any]:
    """What a call of the method would have answered."""
    outcome = outside.result_of(status)
    if isinstance(outcome.error, JobExpired):  # pragma: no cover - a race
        raise InvalidParams(f"unknown task: {outcome.error.message}")
    if outcome.error is not None:
        return failure(outcome.error)
    target: Target | None
    try:
        target = services().registry.target(status.job.method)
    except ToolserverError:
        target = None
    return result_of(target, outcome.value)
