"""Rules as of cron: when a call is made again and again.

Rules go by the clock on the wall of a zone. Where that is set forward, calls of the
hour that is left out come at its end; where it is set back, calls at an hour come once,
and those of every few minutes go on evenly. So does the cron of Debian.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim, CronSimError

__all__ = ["Rule"]


@dataclass(frozen=True)
class Rule:
    """When a method is called again and again.

    Attributes:
        expression: The rule, as of cron: minute, hour, day of month, month and day of
            week; with six fields the first one is the second.
        tz: The zone whose clock is meant.
        priority: The priority in the queue of the tool.

    Raises:
        ValueError: The rule cannot be read, never comes true, or there is no such zone.
    """

    expression: str
    tz: str = "UTC"
    priority: int = 0

    def __post_init__(self) -> None:
        first = self.next_tick(datetime.now(UTC).timestamp())
        if first is None:  # pragma: no cover - found out already as the rule was read
            raise ValueError(f"rule {self.expression!r}: never comes true")

    def next_tick(self, after: float) -> float | None:
        """When it comes true next.

        Args:
            after: Seconds since the epoch.

        Returns:
            Seconds since the epoch, later than that; None for never.
        """
        moment = datetime.fromtimestamp(after, self._zone())
        try:
            ticks = CronSim(self.expression, moment)
        except CronSimError as error:
            raise ValueError(
                f"rule {self.expression!r}: {error}; expected minute, hour, day of "
                "month, month and day of week, as '*/5 * * * *'"
            ) from None
        # In the hour that comes twice it begins with the first one again.
        return next((t.timestamp() for t in ticks if t.timestamp() > after), None)

    def _zone(self) -> tzinfo:
        if self.tz == "UTC":
            return UTC
        try:
            return ZoneInfo(self.tz)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise ValueError(
                f"tz: got {self.tz!r}, expected the name of a zone such as "
                "'Europe/Berlin'"
            ) from None
