"""Jobs by their URLs: ``/jobs/<id>`` tells of one, ``/jobs/<id>/result`` its result.

Spec: RFC 9110; RFC 7240, section 4.1, for the jobs that are started over HTTP; HTML
standard, section 9.2, for their events; RFC 9457 for failures.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from hashlib import blake2b

from toolserver import strictjson
from toolserver.builtin.api import API
from toolserver.errors import Conflict, DirectResponse, InvalidParams, NotFound
from toolserver.eventstreams import (
    CONTENT_TYPE,
    ServerEvent,
    event_stream,
    last_event_id,
)
from toolserver.jobs.outside import (
    await_end,
    cancel_job,
    follow_job,
    list_jobs,
    result_of,
    told_of,
)
from toolserver.jobs.records import JobState, JobStatus
from toolserver.jobs.rendering import Rendering
from toolserver.jobs.telling import JobInfo
from toolserver.marks import destructive, limit
from toolserver.message import Request, Response
from toolserver.pages.jobs import job_page
from toolserver.plain import to_plain
from toolserver.services import Services, services
from toolserver.subscribers import Subscriber, Subscribers
from toolserver.tools import InternalTool
from toolserver.wrappers import generator, rest

__all__ = ["JobsTool"]

_HEADERS = (("Cache-Control", "no-store"), ("Vary", "Accept"))
_SECONDS = re.compile(r"[0-9]{1,9}(\.[0-9]{1,9})?")


class JobsTool(InternalTool):
    """Tells of jobs, and lets those who started them cancel them.

    A job belongs to the client who started it, and to the members of the group
    ``admin``; one that an anonymous caller started to whoever has its id.
    """

    # What asking for a result once may use up is not for pages of strangers to ask.
    @destructive
    @rest("GET")
    def index(self, request: Request) -> Response:
        """List the caller's jobs, the newest first; ``?state=`` and ``?limit=``."""
        query = request.query
        state = query.get("state")
        try:
            found = list_jobs(
                state=None if state is None else JobState(state),
                queue=query.get("queue"),
                limit=int(query.get("limit", 100)),
            )
        except ValueError as error:
            raise InvalidParams(f"query: {error}") from error
        return _json(found)

    @limit(timeout=0)
    @destructive
    @rest("GET", name="*")
    def job(self, request: Request) -> JobStatus:
        """Tell of a job; ``?wait=seconds`` waits for its end, a minute at most.

        Raises:
            JobUnknown: There is no such job, or it is somebody else's.
            JobExpired: It has ended and was forgotten.
        """
        id, *further = request.rest
        if further == ["result"]:
            raise DirectResponse(self._result(request, id))
        if further:
            raise NotFound(f"nothing here: {request.path!r}")
        return await_end(id, _wait(request))

    @generator(job, "GET", content_type="text/html")
    def _page(self, request: Request, status: JobStatus) -> Response:
        registry = services().registry
        pages = registry.of_class(API)
        own = registry.entry(self.namespace).path
        page = job_page(
            told_of(status),
            root=pages.path if pages is not None else "/",
            path=f"{own}{status.job.id}",
        )
        page.headers += _HEADERS
        return page

    @generator(job, "GET", content_type=CONTENT_TYPE)
    def _events(self, request: Request, status: JobStatus) -> Response:
        seen = last_event_id(request)
        if status.state.is_final and seen == _event_id(status):
            # HTML standard, section 9.2.3: this keeps a browser from coming again.
            return Response(status=204)
        offered = services()
        subscriber = offered.part(Subscribers).admit(request, offered.settings)
        return event_stream(
            _changes(offered, status.job.id, seen, subscriber), subscriber
        )

    @generator(job, "GET", content_type="application/json")
    def _document(self, request: Request, status: JobStatus) -> Response:
        return _json(told_of(status))

    @rest("DELETE", name="*")
    def cancel(self, request: Request) -> Response:
        """Cancel a job: at once if it waits, else as soon as it lets itself be ended.

        Raises:
            JobUnknown: There is no such job, or it is somebody else's.
            Conflict: It has ended already.
        """
        id, *further = request.rest
        if further:
            raise NotFound(f"nothing here: {request.path!r}")
        status = cancel_job(id)
        if status.state is JobState.CANCELLED:
            return _json(told_of(status))
        if status.state.is_final:
            raise Conflict(f"job {id}: {status.state} already")
        return _json(told_of(status), status=202)

    def _result(self, request: Request, id: str) -> Response:
        status = await_end(id, _wait(request))
        if not status.state.is_final:
            raise Conflict(
                f"job {id}: {status.state}, without a result so far",
                data={"id": id, "state": status.state.value},
            )
        outcome = result_of(status, hands_out=request.method != "HEAD")
        response = services().part(Rendering).render(request, outcome)
        response.headers.append(("Cache-Control", "no-store"))
        return response


def _json(found: JobInfo | list[JobInfo], status: int = 200) -> Response:
    body = strictjson.encode(to_plain(found))
    return Response(
        body, status=status, content_type="application/json", headers=_HEADERS
    )


def _wait(request: Request) -> float:
    """The seconds that a request asks to wait."""
    sent = request.query.get("wait", "0")
    if _SECONDS.fullmatch(sent) is None:
        raise InvalidParams(f"wait: got {sent[:20]!r}, expected seconds")
    return float(sent)


def _changes(
    offered: Services, id: str, seen: str, subscriber: Subscriber
) -> Iterator[ServerEvent | None]:
    """Each new state of a job, and None where nothing has changed for a while."""
    for status in follow_job(offered, id, subscriber):
        event_id = _event_id(status)
        if event_id == seen:
            yield None
            continue
        seen = event_id
        document = strictjson.encode(to_plain(told_of(status, offered))).decode()
        kind = "end" if status.state.is_final else "status"
        yield ServerEvent(document, event=kind, id=event_id)


def _event_id(status: JobStatus) -> str:
    """What names all that an event tells, also after a new start of the server."""
    told = (
        *(status.state, status.fraction, status.text),
        *(status.attempts, status.is_cancelling),
    )
    return blake2b(repr(told).encode(), digest_size=8).hexdigest()
