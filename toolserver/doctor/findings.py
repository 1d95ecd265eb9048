"""What an examination has found, and what it is about."""

from __future__ import annotations

from dataclasses import dataclass

from toolserver.configuration import Configuration
from toolserver.home import Home
from toolserver.pidfile import State

__all__ = ["Case", "Finding", "problem", "warning"]


@dataclass(frozen=True)
class Finding:
    """Something that is wrong, or may become so.

    Attributes:
        is_problem: Whether the server does not work as it should; else it is a warning.
        message: What is wrong, and where.
        advice: What to do.
    """

    is_problem: bool
    message: str
    advice: str


def problem(message: str, advice: str) -> Finding:
    """Something that keeps the server from working as it should.

    Args:
        message: What is wrong, and where.
        advice: What to do.
    """
    return Finding(True, message, advice)


def warning(message: str, advice: str) -> Finding:
    """Something that may do harm, or is unusual.

    Args:
        message: What it is, and where.
        advice: What to do.
    """
    return Finding(False, message, advice)


@dataclass(frozen=True)
class Case:
    """What is examined.

    Attributes:
        home: The folders of the server.
        configuration: The settings that a server would have that is started now.
        running: What the running server tells of itself, or None where none runs.
    """

    home: Home
    configuration: Configuration
    running: State | None
