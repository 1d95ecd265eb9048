"""What those who wait for a running call hear of it, and may ask of it."""

from __future__ import annotations

from collections.abc import Callable

from toolserver.contexts import Var, current
from toolserver.jobs.pool import running_job
from toolserver.nativethreads import in_loop

__all__ = ["CANCEL_CALL", "Listener", "listener", "progress"]

Listener = Callable[[float, str], None]

#: Who is told of the progress of calls that are no jobs; None for nobody.
listener: Var[Listener | None] = Var("progress_listener", default=None)
#: Topic of the bus: the key of a call that shall be ended.
CANCEL_CALL = "calls.cancel"
_LONGEST = 1000


@in_loop
def progress(fraction: float, text: str = "") -> None:
    """Tell how much of the running call is done.

    A job tells it to who asks for its status, a call over MCP to the agent that waits
    for it; otherwise nobody hears it.

    Args:
        fraction: How much, from 0 to 1.
        text: What it is doing.

    Raises:
        ValueError: The fraction is out of range.
    """
    if not 0 <= fraction <= 1:
        raise ValueError(f"fraction: got {fraction!r}, expected 0 to 1")
    told = float(fraction), str(text)[:_LONGEST]
    job = running_job()
    if job is not None:
        job.tell(*told)
        return
    tell = listener.get() if current() is not None else None
    if tell is not None:
        tell(*told)
