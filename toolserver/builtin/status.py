"""How the server is just now, at ``/system/status/``: for its operators."""

from __future__ import annotations

from toolserver.auth.operators import Networks, check_operator
from toolserver.builtin.api import API
from toolserver.errors import NotFound
from toolserver.jobs.records import JobState
from toolserver.jobs.scheduler import Scheduler
from toolserver.jobs.telling import describe_job
from toolserver.message import Request, Response
from toolserver.pages.status import JobFacts, status_page
from toolserver.serverstatus import ServerStatus
from toolserver.services import services
from toolserver.tools import InternalTool
from toolserver.wrappers import rest

__all__ = ["StatusTool"]

#: Jobs of each kind that are shown.
_SHOWN = 20


class StatusTool(InternalTool):
    """Shows operators what the server is doing."""

    def on_start(self) -> None:
        """Read from where one may ask."""
        self._networks = Networks("ops.allow", services().settings.ops.allow)

    @rest("GET")
    def index(self, request: Request) -> Response:
        """Running calls, queues, jobs, errors and workers.

        Raises:
            NotFound: The settings have it off.
            Unauthenticated: It is for operators.
            Forbidden: Likewise.
        """
        offered = services()
        if not offered.settings.ops.status:
            raise NotFound("there is no status page: ops.status is not set")
        check_operator(self._networks)
        pages = offered.registry.of_class(API)
        status = offered.part(ServerStatus)
        # Others who look at this page would be told of each other, and of nothing else.
        own = f"{self.namespace}.index"
        made = status_page(
            status,
            [each for each in status.calls() if each.method != own],
            _jobs(offered.part(Scheduler)),
            root=pages.path if pages is not None else "/",
        )
        made.headers.append(("Cache-Control", "no-store"))
        return made


def _jobs(scheduler: Scheduler) -> JobFacts:
    engine, clock = scheduler.engine, scheduler.clock
    counts = engine.counts()
    running, failed = (
        [describe_job(each, clock) for each in engine.find(state=state, limit=_SHOWN)]
        for state in (JobState.RUNNING, JobState.FAILED)
    )
    return JobFacts(
        states={state.value: counts.states.get(state, 0) for state in JobState},
        waiting=counts.waiting,
        running=running,
        failed=failed,
    )
