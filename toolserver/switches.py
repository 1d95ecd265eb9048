"""The switches of the command line that stand for settings.

``tsctl start`` offers them and the server process understands them, so that each
setting's origin can be told.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

__all__ = ["SET", "SWITCHES", "Given", "Switch", "arguments"]


@dataclass(frozen=True)
class Switch:
    """A switch that stands for one setting.

    Attributes:
        name: As it is typed.
        key: ``"section.name"`` of the setting.
        text: What it does.
        metavar: What its value is called; empty for a switch without one.
        value: The value that a switch without one stands for.
    """

    name: str
    key: str
    text: str
    metavar: str = ""
    value: str = ""


SWITCHES = (
    Switch("--host", "server.host", "Address to listen on.", "ADDRESS"),
    Switch("--port", "server.port", "Port; 0 for any free one.", "PORT"),
    Switch("--workers", "server.workers", "Number of worker processes.", "NUMBER"),
    Switch("--contracts", "server.contracts", "Check contracts.", value="true"),
    Switch("--verbose", "log.level", "Log more: level debug.", value="debug"),
    Switch("--debug-rpc", "log.rpc", "Log each RPC call and outcome.", value="true"),
)
#: Sets any setting: ``--set SECTION.NAME=VALUE``.
SET = "--set"


@dataclass(frozen=True)
class Given:
    """A setting that was given by a switch.

    Attributes:
        name: The switch.
        key: ``"section.name"`` of the setting.
        value: Its value, as text.
    """

    name: str
    key: str
    value: str


def arguments(given: Iterable[Given]) -> list[str]:
    """The switches as arguments of a process.

    Args:
        given: What was given.

    Returns:
        Arguments.
    """
    valued = {switch.name for switch in SWITCHES if switch.metavar}
    found = []
    for each in given:
        if each.name == SET:
            found.append(f"{SET}={each.key}={each.value}")
        else:
            found.append(
                f"{each.name}={each.value}" if each.name in valued else each.name
            )
    return found
