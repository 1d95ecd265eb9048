"""What agents ask of the logs of their calls.

Spec: Model Context Protocol, revisions 2024-11-05 to 2025-11-25, logging.
"""

from __future__ import annotations

from typing import Any

from toolserver.bus import Bus
from toolserver.describe.agentlogs import (
    LOG_LEVEL_CHANGED,
    LogLevels,
    level_number,
)
from toolserver.marks import expose
from toolserver.services import services
from toolserver.tools import InternalTool

__all__ = ["AgentLogging"]


class AgentLogging(InternalTool):
    """Notes from which level on the sessions of agents follow what is logged."""

    def on_start(self) -> None:
        """Hear of the levels that agents set, in whichever process."""
        offered = services()
        levels = offered.part(LogLevels)
        offered.part(Bus).subscribe(
            LOG_LEVEL_CHANGED, lambda told: levels.set(told[0], told[1])
        )

    @expose
    def set_log_level(self, level: str, session: str) -> dict[str, Any]:
        """Follow what is logged from a level on.

        Args:
            level: The name of the level.
            session: The id of the agent's session.

        Raises:
            InvalidParams: There is no such level.
        """
        number = level_number(level)
        services().part(LogLevels).set(session, number)
        services().part(Bus).publish(LOG_LEVEL_CHANGED, [session, number])
        return {}
