"""The page of one job, for people; it works without scripts."""

from __future__ import annotations

from toolserver.jobs.telling import JobInfo
from toolserver.markup.content import Child
from toolserver.markup.pages import html
from toolserver.message import Response
from toolserver.pages.frame import page

__all__ = ["job_page"]

#: Seconds after which a browser looks again at a job that has not ended.
_AGAIN = "2"


def job_page(job: JobInfo, *, root: str, path: str) -> Response:
    """Tell of a job on a page, which a browser loads again until the job has ended.

    Args:
        job: What is told of it.
        root: Path of the API pages, with slashes around it.
        path: Path of the job's own URL.

    Returns:
        The page.
    """
    facts: list[tuple[str, Child]] = [
        ("Method", html.code(job.method)),
        ("State", job.state),
    ]
    if job.fraction is not None:
        facts.append(("Progress", html.progress(value=f"{job.fraction:g}")))
    if job.text:
        facts.append(("Says", job.text))
    if job.error is not None:
        facts.append(("Error", f"{job.error.type}: {job.error.message}"))
    for name, when in (
        *(("Created", job.created), ("Due", job.due)),
        *(("Started", job.started), ("Finished", job.finished)),
    ):
        if when is not None:
            text = when.isoformat(sep=" ", timespec="seconds")
            facts.append((name, html.time(text, datetime=when.isoformat())))
    rows = [html.tr(html.th(name, scope="row"), html.td(fact)) for name, fact in facts]
    made = page(
        f"Job {job.id}",
        html.h1("Job"),
        html.p(html.code(job.id)),
        html.table(*rows),
        html.p(html.a("Result", href=f"{path}/result")) if job.state == "done" else "",
        root=root,
    )
    if job.finished is None:
        made.headers.append(("Refresh", _AGAIN))
    return made
