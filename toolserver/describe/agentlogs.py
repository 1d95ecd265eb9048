"""Levels of logs as agents name them, and which of them follow what is logged.

Spec: Model Context Protocol, revisions 2024-11-05 to 2026-07-28, logging, which is
deprecated since then; RFC 5424, section 6.2.1, for the levels.
"""

from __future__ import annotations

import logging
import re

from toolserver.errors import InvalidParams

__all__ = ["LOG_LEVEL_CHANGED", "LogLevels", "level_name", "level_number"]

#: Topic of the bus: a session, and the level from which on it follows.
LOG_LEVEL_CHANGED = "mcp.loglevel"

_LEVELS = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "notice": 25,
    "warning": logging.WARNING,
    "error": logging.ERROR,
    "critical": logging.CRITICAL,
    "alert": 60,
    "emergency": 70,
}
#: Sessions whose levels are kept.
_MOST = 10_000
_SESSION = re.compile(r"[0-9a-f]{32}")


def level_number(name: object) -> int:
    """The level of a name, as `logging` numbers it.

    Args:
        name: The name, as an agent has sent it.

    Raises:
        InvalidParams: There is no such level.
    """
    found = _LEVELS.get(name) if isinstance(name, str) else None
    if found is None:
        expected = ", ".join(_LEVELS)
        raise InvalidParams(f"level: got {name!r:.70}, expected one of {expected}")
    return found


def level_name(number: int) -> str:
    """What agents call a level.

    Args:
        number: The level, as `logging` numbers it.
    """
    fitting = [name for name, least in _LEVELS.items() if least <= number]
    return fitting[-1] if fitting else "debug"


class LogLevels:
    """From which level on the sessions of a server follow what their calls log.

    Of many sessions the levels that were set last are kept.
    """

    def __init__(self) -> None:
        self._levels: dict[str, int] = {}

    def set(self, session: str, level: int) -> None:
        """Set the level of a session.

        Args:
            session: Its id, which the server has made; any other is forgotten at once.
            level: The level, as `logging` numbers it.
        """
        if _SESSION.fullmatch(session) is None:
            return
        self._levels.pop(session, None)
        self._levels[session] = level
        if len(self._levels) > _MOST:
            del self._levels[next(iter(self._levels))]

    def get(self, session: str) -> int | None:
        """The level of a session; None where it has set none.

        Args:
            session: Its id, as an agent has sent it.
        """
        return self._levels.get(session)
