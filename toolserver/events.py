"""Waiting for events that may be set already.

gevent 26.9 forgets who begins to wait for an event that is set, while those who waited
before are yet to be told of it, if the time of the last of these ends just then; and
no time-out ends that wait.
"""

from __future__ import annotations

from gevent.event import Event

__all__ = ["wait_for"]


def wait_for(event: Event, timeout: float | None = None) -> bool:
    """Wait until an event is set.

    Args:
        event: The event.
        timeout: Seconds to wait at most; None for no bound.

    Returns:
        Whether it was set in time.
    """
    return event.is_set() or bool(event.wait(timeout))
