"""The status page: what the server is doing just now.

It is whole without scripts; with them it is renewed as long as somebody looks at it.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from toolserver import __version__
from toolserver.jobs.telling import JobInfo
from toolserver.markup.content import Child
from toolserver.markup.pages import html
from toolserver.message import Response
from toolserver.pages.frame import page
from toolserver.serverstatus import RunningCall, ServerStatus

__all__ = ["JobFacts", "status_page"]

#: Seconds after which the page is renewed.
_AGAIN = "2"
#: Calls that are shown, and from how many seconds on they are called slow.
_CALLS, _SLOW_S = 100, 1.0


@dataclass(frozen=True)
class JobFacts:
    """What is shown of jobs.

    Attributes:
        states: How many there are in each state.
        waiting: How many wait in each queue; None is for those in none.
        running: Those that run.
        failed: Those that failed last.
    """

    states: Mapping[str, int]
    waiting: Mapping[str | None, int]
    running: Sequence[JobInfo]
    failed: Sequence[JobInfo]


def status_page(
    status: ServerStatus, calls: Sequence[RunningCall], jobs: JobFacts, *, root: str
) -> Response:
    """Show how the server is.

    Args:
        status: How this process is.
        calls: Its calls that are shown, the longest first.
        jobs: How its jobs are, which all processes share.
        root: Path of the API pages, with slashes around it.

    Returns:
        The page.
    """
    workers = status.workers()
    return page(
        "Status",
        html.h1("Status"),
        html.p(
            "The server does not answer: this is how it was.",
            class_="problem",
            hidden=True,
            data_stale="",
        ),
        _facts(status, is_one_of_many=bool(workers)),
        *_calls(calls),
        *_jobs(jobs),
        *_table(
            "Worker processes",
            ("Process", "Since", "Died before"),
            [
                (str(each.pid), _moment(each.started), str(each.restarts))
                for each in workers
            ],
            "",
        ),
        *_table(
            "Last errors",
            ("When", "What"),
            [(_moment(each.moment), each.message) for each in status.errors],
            "None since this process began.",
        ),
        root=root,
        renewed_every=_AGAIN,
    )


def _facts(status: ServerStatus, *, is_one_of_many: bool) -> Child:
    rows: list[tuple[str, Child]] = [
        ("Version", __version__),
        ("Process", f"{os.getpid()}{', one of several' if is_one_of_many else ''}"),
        ("Since", _moment(status.began)),
        ("Event loop", f"late by {1000 * status.loop_lag():.1f} ms"),
        *status.numbers().items(),
    ]
    return html.table(
        *(html.tr(html.th(name, scope="row"), html.td(text)) for name, text in rows),
        class_="addresses facts",
    )


def _calls(calls: Sequence[RunningCall]) -> Iterable[Child]:
    slow = sum((each.seconds or 0.0) >= _SLOW_S for each in calls)
    told = f"{len(calls)} run in this process, {slow} of them for more than a second."
    if len(calls) > _CALLS:
        told += f" The longest {_CALLS} are shown."
    return [
        *_table(
            "Running calls",
            ("Seconds", "Method", "Caller", "Request", "Stands at"),
            [
                (
                    "" if each.seconds is None else f"{each.seconds:.1f}",
                    html.code(
                        f"{each.method} → {each.inside}" if each.inside else each.method
                    ),
                    " ".join(filter(None, [each.client or "anonymous", each.protocol])),
                    each.request_id,
                    html.code(each.at),
                )
                for each in calls[:_CALLS]
            ],
            told,
        )
    ]


def _jobs(jobs: JobFacts) -> Iterable[Child]:
    told = ", ".join(f"{count} {state}" for state, count in jobs.states.items())
    running = {each.queue: each for each in jobs.running}
    queues = sorted({*jobs.waiting, *running} - {None}, key=str)
    return [
        html.h2("Jobs"),
        html.p(told, class_="note"),
        *_table(
            "Queues",
            ("Queue", "Waiting", "Running"),
            [
                (
                    html.code(str(queue)),
                    str(jobs.waiting.get(queue, 0)),
                    running[queue].method if queue in running else "",
                )
                for queue in queues
            ],
            "",
        ),
        *_table(
            "Failed last",
            ("When", "Method", "Error"),
            [
                (
                    "" if each.finished is None else _written(each.finished),
                    html.code(each.method),
                    ""
                    if each.error is None
                    else f"{each.error.type}: {each.error.message}",
                )
                for each in jobs.failed
            ],
            "",
        ),
    ]


def _table(
    title: str, heads: Sequence[str], rows: Sequence[Sequence[Child]], told: str
) -> Iterable[Child]:
    if rows or told:
        yield html.h2(title)
    if told and not (rows and title == "Last errors"):
        yield html.p(told, class_="note")
    if rows:
        yield html.div(
            html.table(
                html.thead(html.tr(*(html.th(head, scope="col") for head in heads))),
                html.tbody(*(html.tr(*map(html.td, row)) for row in rows)),
            ),
            class_="scroll",
            tabindex="0",
            role="region",
            aria_label=title,
        )


def _moment(seconds: float) -> Child:
    return _written(datetime.fromtimestamp(seconds, UTC))


def _written(moment: datetime) -> Child:
    text = moment.isoformat(sep=" ", timespec="seconds")
    return html.time(text, datetime=moment.isoformat(timespec="seconds"))
