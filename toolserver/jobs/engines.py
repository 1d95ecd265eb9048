"""The engine that the settings name."""

from __future__ import annotations

from toolserver.home import Home
from toolserver.jobs.engine import Engine
from toolserver.jobs.memory import MemoryEngine
from toolserver.jobs.sqlite import SQLiteEngine
from toolserver.settings import JobSettings

__all__ = ["make_engine"]


def make_engine(settings: JobSettings, home: Home) -> Engine:
    """Make the engine that the settings name; it is not open yet.

    Args:
        settings: Which it is.
        home: Where it may have its files.
    """
    if settings.engine == "memory":
        return MemoryEngine(settings.max_stored)
    return SQLiteEngine(
        home.var / "jobs.db",
        survives_power=settings.durability == "power",
        max_stored=settings.max_stored,
    )
