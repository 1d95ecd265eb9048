"""What the server has counted, at ``/metrics``."""

from __future__ import annotations

from collections.abc import Iterator

from toolserver.auth.operators import Networks, check_operator
from toolserver.errors import NotFound
from toolserver.jobs.records import JobState
from toolserver.jobs.scheduler import Scheduler
from toolserver.message import Request, Response
from toolserver.metrics.counting import Metrics
from toolserver.metrics.sheets import GAUGE, Series
from toolserver.services import Services, services
from toolserver.tools import InternalTool
from toolserver.wrappers import rest

__all__ = ["MetricsTool"]


class MetricsTool(InternalTool):
    """Tells Prometheus, and who reads its words, what the server has counted."""

    def on_start(self) -> None:
        """Read from where one may ask."""
        self._networks = Networks("ops.allow", services().settings.ops.allow)

    @rest("GET", name="/metrics")
    def _as_text(self, request: Request) -> Response:
        """All that was counted since the server began.

        Raises:
            NotFound: Nothing is counted, by the settings.
            Unauthenticated: It is for operators.
            Forbidden: Likewise.
        """
        offered = services()
        if not offered.settings.ops.metrics:
            raise NotFound("nothing is counted: ops.metrics is not set")
        check_operator(self._networks)
        # Only who has the extra can import it.
        from toolserver.metrics.exposition import expose_metrics

        series = [*offered.part(Metrics).series(), *_jobs(offered)]
        accept = request.headers.get("accept") or ""
        body, content_type = expose_metrics(series, accept)
        fields = {"Cache-Control": "no-store", "Vary": "Accept"}
        return Response(body, content_type=content_type, headers=fields)


def _jobs(offered: Services) -> Iterator[Series]:
    """What the store of jobs holds, which is the same for all processes."""
    scheduler = offered.part(Scheduler)
    states = scheduler.engine.counts().states
    for state in JobState:
        yield Series((GAUGE, "jobs", state.value), [float(states.get(state, 0))])
    now = scheduler.clock.now()
    due = scheduler.engine.oldest_due(now)
    late = 0.0 if due is None else max(0.0, now - due)
    yield Series((GAUGE, "jobs_overdue_seconds"), [late])
