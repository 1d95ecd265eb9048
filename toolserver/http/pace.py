"""How fast a request body comes."""

from __future__ import annotations

from toolserver.settings import Limits

__all__ = ["Pace"]

#: Seconds that a body gets to come up to speed before its rate is looked at.
_GRACE = 5.0


class Pace:
    """The bytes of one body, and the time that was spent waiting for them.

    Args:
        now: The server's clock.
        received: Bytes that are here already.
    """

    __slots__ = ("_received", "_since", "_waited")

    def __init__(self, now: float, received: int = 0) -> None:
        self._received = received
        self._since = now
        self._waited = 0.0

    def note(self, size: int, now: float) -> None:
        """Take note of bytes that have arrived."""
        self._received += size
        self._waited += now - self._since
        self._since = now

    def restart(self, now: float) -> None:
        """Begin to wait: what has passed since the last bytes was not the client's."""
        self._since = now

    def is_late(self, now: float, limits: Limits) -> bool:
        """Whether the body stalls or trickles while it is waited for."""
        elapsed = now - self._since
        if elapsed > limits.body_idle:
            return True
        waited = self._waited + elapsed
        return (
            waited > min(_GRACE, limits.body_idle)
            and self._received < waited * limits.body_rate
        )
