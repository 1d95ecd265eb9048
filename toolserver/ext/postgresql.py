"""PostgreSQL by psycopg 3: what its driver leaves open to those who kill greenlets.

psycopg 3 waits for its sockets by the patched functions of the standard library, so
other greenlets run meanwhile.
"""

from __future__ import annotations

import logging
from typing import Any

import gevent
from sqlalchemy import Connection, Engine, event
from sqlalchemy.exc import DBAPIError

from toolserver.ext.errors import RolledBack

__all__ = ["is_collision", "is_unreachable", "prepare"]

log = logging.getLogger("toolserver.ext.postgresql")

#: Seconds in which a server has to take the request to stop a query.
_CANCEL_TIMEOUT_S = 5.0
#: SQLSTATEs: a serialization failure, and a deadlock that the server has ended.
_COLLISIONS = ("40001", "40P01")
#: Beginnings of SQLSTATEs: connections, a lack of resources, a stop or start.
_UNREACHABLE = ("08", "53", "57P")


def prepare(engine: Engine) -> None:
    """Let the connections of an engine do as this module says.

    Args:
        engine: An engine that uses psycopg.
    """
    psycopg: Any = engine.dialect.dbapi
    status = psycopg.pq.TransactionStatus

    def commits(connection: Connection) -> None:
        driver: Any = connection.connection.driver_connection
        # PostgreSQL answers the COMMIT of a failed transaction with success, and with
        # the word ROLLBACK, which the driver does not look at.
        if driver.info.transaction_status == status.INERROR:
            # SQLAlchemy takes a transaction whose commit was refused for ended.
            try:
                driver.rollback()
            except BaseException as failure:
                connection.invalidate()
                if isinstance(failure, psycopg.Error):
                    # As SQLAlchemy does it where it asks for something itself.
                    raise DBAPIError(
                        "ROLLBACK", None, failure, connection_invalidated=True
                    ) from failure
                raise  # pragma: no cover - the call is ended just then
            raise RolledBack(
                "nothing was kept: a statement failed, and after that a transaction "
                "can only be undone; use session.begin_nested() around what may fail"
            )

    def invalidated(driver: Any, record: Any, error: BaseException | None) -> None:
        if driver.closed or driver.info.transaction_status != status.ACTIVE:
            return
        # The server looks at its client only after the query: until then it would
        # work for nobody, and hold its locks.
        try:
            request = driver.pgconn.cancel_conn()
            request.start()
        except psycopg.Error as failure:
            log.warning("a query could not be stopped: %s", failure)
            return
        # In a greenlet of its own: this one may be killed again at any moment.
        gevent.spawn(_send, psycopg, request)

    event.listen(engine, "commit", commits)
    event.listen(engine, "invalidate", invalidated)


def is_collision(cause: BaseException | None) -> bool:
    """Whether an error says that two transactions cannot both be kept.

    Args:
        cause: The driver's error.
    """
    return getattr(cause, "sqlstate", None) in _COLLISIONS


def is_unreachable(cause: BaseException | None) -> bool:
    """Whether an error says that the server does not serve.

    Args:
        cause: The driver's error.
    """
    state = getattr(cause, "sqlstate", None)
    if state is None:
        # What the server has not said, the client has: it has no connection.
        return type(cause).__name__ in ("OperationalError", "ConnectionTimeout")
    return bool(state.startswith(_UNREACHABLE))


def _send(psycopg: Any, request: Any) -> None:
    try:
        psycopg.waiting.wait_conn(
            psycopg.generators.cancel(request), timeout=_CANCEL_TIMEOUT_S
        )
    except psycopg.Error as failure:
        log.warning("a query could not be stopped: %s", failure)
    finally:
        request.finish()
