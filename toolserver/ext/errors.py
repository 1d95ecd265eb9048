"""What callers are told when a database does not do what it should."""

from __future__ import annotations

from toolserver.errors import ApplicationError

__all__ = ["DatabaseUnavailable", "RolledBack"]


class DatabaseUnavailable(ApplicationError):
    """The database cannot be reached; ask again later."""

    code = -32071
    status = 503


class RolledBack(ApplicationError):
    """The work was undone, because a part of it failed although nobody said so."""

    code = -32070
    status = 500
