"""Calls that go on without their callers: ``Prefer: respond-async``.

Spec: RFC 7240, sections 3 (Preference-Applied), 4.1 (respond-async) and 4.3 (wait);
RFC 9110, section 15.3.3 (202).
"""

from __future__ import annotations

from toolserver import strictjson
from toolserver.calls import Outcome
from toolserver.dispatcher import Prepared
from toolserver.errors import Overload
from toolserver.jobs.outside import await_end, find_job, result_of, start_job
from toolserver.message import Response
from toolserver.web.preferences import Preferences

__all__ = ["run_in_background"]


def run_in_background(
    prepared: Prepared, preferences: Preferences, path: str
) -> Outcome | Response:
    """Have a call made as a job, and wait for it as long as its caller likes.

    Args:
        prepared: The call.
        preferences: What the caller prefers.
        path: Path below which jobs are found, with a slash at its end.

    Returns:
        What became of the call, where it has ended in time; else the answer that tells
        where the job is found.

    Raises:
        Overload: There are too many jobs.
    """
    id = start_job(prepared)
    try:
        status = await_end(id, preferences.wait or 0.0)
    except Overload:
        # Too many wait already: this one learns at once where to ask.
        status = find_job(id)
    if status.state.is_final and preferences.wait:
        return result_of(status)
    body = strictjson.encode({"id": id, "state": status.state.value})
    return Response(
        body,
        status=202,
        content_type="application/json",
        headers=[
            ("Location", f"{path}{id}"),
            ("Preference-Applied", preferences.applied),
            ("Cache-Control", "no-store"),
        ],
    )
