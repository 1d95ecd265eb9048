"""The switches of the command line that stand for settings.

``tsctl start`` offers them and the server process understands them, so that each
setting's origin can be told.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

__all__ = ["SWITCHES", "Switch", "arguments"]


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
    Switch("--verbose", "log.level", "Log more: level debug.", value="debug"),
    Switch("--debug-rpc", "log.rpc", "Log each RPC call and outcome.", value="true"),
)
#: Sets any setting: ``--set SECTION.NAME=VALUE``.
SET = "--set"


def arguments(given: Iterable[tuple[str, str, str]]) -> list[str]:
    """The switches as arguments of a process.

    Args:
        given: Switch, key and value of each.

    Returns:
        Arguments.
    """
    found = []
    for name, key, value in given:
        if name == SET:
            found.append(f"{SET}={key}={value}")
        elif any(switch.name == name and switch.metavar for switch in SWITCHES):
            found.append(f"{name}={value}")
        else:
            found.append(name)
    return found
