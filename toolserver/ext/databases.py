"""The databases of a server: engines that tools share, and pools that greenlets share.

There is one engine for each URL, however many tools name it. An engine is made when
the first tool asks for it and disposed of when the server stops; no tool has to do
either.
"""

from __future__ import annotations

import dataclasses
import logging
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from gevent.lock import BoundedSemaphore
from msgspec import Meta
from sqlalchemy import URL, Engine, create_engine, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError
from sqlalchemy.pool import ConnectionPoolEntry, QueuePool

from toolserver.errors import Conflict, Overload, ToolserverError
from toolserver.ext import postgresql, sqlite
from toolserver.ext.errors import DatabaseUnavailable

__all__ = ["Database", "DatabaseSettings", "Databases"]

log = logging.getLogger("toolserver.ext.databases")

#: Drivers that let other greenlets run while they wait, or that never wait long.
_COOPERATIVE = frozenset({"asyncmy", "pg8000", "psycopg", "pymysql", "pysqlite"})


@dataclass(frozen=True)
class DatabaseSettings:
    """Settings of a tool with a database; a tool adds its own in a subclass.

    Tools that give the same URL have to agree in the others, too.

    Attributes:
        url: The database in SQLAlchemy's form: ``"sqlite:///shop.db"`` is a file in the
            home's ``var`` folder, ``"postgresql+psycopg://user:password@host/shop"``
            a server's. It is not shown by `repr`, because of the password.
        pool_size: Connections that are kept open. SQLite has always one.
        max_overflow: Connections beyond these while there is much to do.
        pool_timeout: Seconds to wait for a free connection, for a new one, or for
            another process that locks a file of SQLite.
        pre_ping: Whether connections are tried before they are used, so that calls
            do not notice that the database was started anew.
        echo: Whether statements are logged, with their parameters.
    """

    url: str = field(repr=False)
    pool_size: Annotated[int, Meta(ge=1)] = 10
    max_overflow: Annotated[int, Meta(ge=0)] = 20
    pool_timeout: Annotated[float, Meta(gt=0)] = 10.0
    pre_ping: bool = True
    echo: bool = False


class GreenletPool(QueuePool):
    """A pool whose waiting greenlets may be killed.

    The queue of `QueuePool` wakes one waiter for each connection. If that waiter is
    killed at the same moment, as by the time-out of its call, the others sleep on
    beside a free connection. gevent's semaphore wakes the next one. It also wakes one
    after a connection that could not be made.
    """

    # It has nothing to log that the operator of a server has to know.
    _sqla_logger_namespace = "sqlalchemy.pool.impl.QueuePool"

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._slots = BoundedSemaphore(self.size() + self._max_overflow)

    def _do_get(self) -> ConnectionPoolEntry:
        if not self._slots.acquire(timeout=self._timeout):
            raise Overload(
                f"no database connection was free for {self._timeout:g} seconds"
            )
        try:
            return super()._do_get()
        except BaseException:
            self._slots.release()
            raise

    def _do_return_conn(self, record: ConnectionPoolEntry) -> None:
        try:
            super()._do_return_conn(record)
        finally:
            self._slots.release()


class Database:
    """One database and its engine.

    Args:
        url: Where it is, complete.
        settings: The other settings.

    Attributes:
        engine: SQLAlchemy's engine.
        is_sqlite: Whether it is SQLite, where one transaction runs at a time.

    Raises:
        ValueError: The URL names a driver that is not installed.
    """

    def __init__(self, url: URL, settings: DatabaseSettings) -> None:
        self.settings = settings
        self.is_sqlite = url.get_backend_name() == "sqlite"
        options: dict[str, Any] = {
            "pool_size": 1 if self.is_sqlite else settings.pool_size,
            "max_overflow": 0 if self.is_sqlite else settings.max_overflow,
            "pool_pre_ping": settings.pre_ping and not self.is_sqlite,
        }
        if self.is_sqlite:
            options["connect_args"] = sqlite.CONNECT_ARGUMENTS
        elif url.get_driver_name() == "psycopg" and "connect_timeout" not in url.query:
            # Without a bound a call waits for a host that is gone for minutes.
            seconds = max(2, math.ceil(settings.pool_timeout))
            options["connect_args"] = {"connect_timeout": seconds}
        try:
            self.engine: Engine = create_engine(
                url,
                poolclass=GreenletPool,
                pool_timeout=settings.pool_timeout,
                echo=settings.echo,
                # Errors go to callers and to the log.
                hide_parameters=not settings.echo,
                **options,
            )
        except ImportError as error:
            raise ValueError(f"url: {_shown(url)}: {error}") from error
        driver = self.engine.dialect.driver
        if driver not in _COOPERATIVE:
            log.warning(
                "%s: the driver %s is not known to let other calls run while it waits",
                _shown(url),
                driver,
            )
        if self.is_sqlite:
            sqlite.prepare(self.engine, settings.pool_timeout)
        elif driver == "psycopg":
            postgresql.prepare(self.engine)

    def __repr__(self) -> str:
        return f"<Database {_shown(self.engine.url)}>"

    def told(self, error: Exception) -> ToolserverError | None:
        """What a caller is told of a failure that is not the call's own.

        Args:
            error: What the database or its driver raised.

        Returns:
            An error, or None where it is best told as it is.
        """
        if not isinstance(error, DBAPIError):
            return None
        cause = error.orig
        is_unreachable = error.connection_invalidated
        if self.is_sqlite:
            is_unreachable = sqlite.is_unreachable(cause)
        elif self.engine.dialect.driver == "psycopg":
            if postgresql.is_collision(cause):
                return Conflict("collided with another call; it may be tried again")
            is_unreachable = is_unreachable or postgresql.is_unreachable(cause)
        if not is_unreachable:
            return None
        return DatabaseUnavailable("the database is unavailable")


class Databases:
    """The databases of one server; a part of its services."""

    def __init__(self) -> None:
        self._open: dict[URL, Database] = {}

    def open(self, settings: DatabaseSettings, folder: Path | None) -> Database:
        """Find the database of some settings, or make its engine.

        Args:
            settings: Its settings.
            folder: Where relative files of SQLite are; None for the current folder.

        Returns:
            The same database for each of the same URL.

        Raises:
            ValueError: The URL cannot be used, or another tool gave the same one
                with other settings.
        """
        try:
            url = sqlite.located(make_url(settings.url), folder)
        except ArgumentError:
            # The text itself may hold a password.
            raise ValueError(
                'url: no URL of a database, expected one like "sqlite:///shop.db" or '
                '"postgresql+psycopg://host/shop"'
            ) from None
        found = self._open.get(url)
        if found is None:
            found = self._open[url] = Database(url, settings)
            return found
        for setting in dataclasses.fields(DatabaseSettings):
            ours = getattr(settings, setting.name)
            theirs = getattr(found.settings, setting.name)
            if setting.name != "url" and ours != theirs:
                raise ValueError(
                    f"{setting.name}: got {ours!r}, but another tool with the same "
                    f"database has {theirs!r}, and they share its connections"
                )
        return found

    def close(self) -> None:
        """Close the connections of all databases that are not in use."""
        while self._open:
            _, database = self._open.popitem()
            database.engine.dispose()


def _shown(url: URL) -> str:
    return url.render_as_string(hide_password=True)
