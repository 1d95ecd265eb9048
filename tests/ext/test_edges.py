"""Databases of other kinds, and connections that break at the worst moment."""

from __future__ import annotations

import sqlite3
from types import SimpleNamespace

import pytest
from sqlalchemy import text
from sqlalchemy.dialects import registry
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError

import toolserver.testing
from toolserver import StandardTool, register
from toolserver.errors import Conflict
from toolserver.ext import postgresql as on_postgresql
from toolserver.ext import sqlite
from toolserver.ext.databases import Database
from toolserver.ext.sqlalchemy import (
    DatabaseSettings,
    DatabaseUnavailable,
    SQLAlchemyMixin,
)


class Elsewhere(PGDialect_psycopg):
    driver = "elsewhere"


registry.register("postgresql.elsewhere", __name__, "Elsewhere")


def database(url):
    return Database(make_url(url), DatabaseSettings(url))


def test_a_driver_that_is_not_known(caplog):
    found = database("postgresql+elsewhere://ann:secret@host/shop")
    assert "the driver elsewhere is not known to let other calls run" in caplog.text
    assert "secret" not in caplog.text + repr(found)
    assert "postgresql+elsewhere://ann:***@host/shop" in repr(found)
    lost = DBAPIError("SELECT 1", {}, Exception(), connection_invalidated=True)
    assert isinstance(found.told(lost), DatabaseUnavailable)
    assert found.told(DBAPIError("SELECT 1", {}, Exception())) is None
    assert found.told(ValueError()) is None


def test_a_driver_that_is_not_installed():
    with pytest.raises(ValueError, match=r"url: mysql\+mysqldb://h/d: No module named"):
        database("mysql+mysqldb://h/d")


@pytest.mark.parametrize(
    ("sqlstate", "kind"),
    [
        ("40001", Conflict),
        ("40P01", Conflict),
        ("08006", DatabaseUnavailable),
        ("57P01", DatabaseUnavailable),
        ("23505", None),
    ],
)
def test_what_postgresql_says_is_told_to_callers(sqlstate, kind):
    found = database("postgresql+psycopg://host/shop")
    cause = Exception()
    cause.sqlstate = sqlstate
    told = found.told(DBAPIError("SELECT 1", {}, cause))
    assert told is None if kind is None else isinstance(told, kind)


def test_files_may_be_named_by_uris(tmp_path):
    url = make_url("sqlite:///file:shop.db?mode=ro&uri=true")
    assert sqlite.located(url, tmp_path) == url


def test_what_sqlite_does_not_understand_is_not_taken_for_a_lock():
    with pytest.raises(sqlite3.OperationalError, match="syntax error"):
        sqlite._patiently(sqlite3.connect(":memory:"), "nonsense", 1.0)


@register("breaking")
class Breaking(SQLAlchemyMixin, StandardTool):
    settings = DatabaseSettings("sqlite:///breaking.db")

    def on_setup(self) -> None:
        self.other = self.engine.connect()

    def on_close(self) -> None:
        self.other.close()

    def fails_and_is_cut_off(self) -> None:
        """A statement fails, which is passed over; then the connection is cut."""
        session = self.session
        own = session.scalar(text("SELECT pg_backend_pid()"))
        with pytest.raises(DBAPIError):
            session.execute(text("SELECT 1 / 0"))
        self.other.execute(
            text("SELECT pg_terminate_backend(:own, 5000)"), {"own": own}
        )

    def cannot_be_ended(self) -> str:
        def close() -> None:
            raise ValueError("it stays")

        self.session.close = close
        return "done"

    def answer(self) -> int:
        return self.session.scalar(text("SELECT 42"))


def test_a_connection_that_is_cut_before_it_can_be_undone(postgresql):
    settings = {"breaking": {"url": postgresql.new_database()}}
    with toolserver.testing.serve(Breaking, settings=settings) as server:
        with pytest.raises(DatabaseUnavailable):
            server.call("breaking.fails_and_is_cut_off")
        assert server.call("breaking.answer") == 42


def test_a_session_that_cannot_be_ended_in_order(tmp_path, caplog):
    settings = {"breaking": {"url": f"sqlite:///{tmp_path}/shop.db"}}
    with toolserver.testing.serve(Breaking, settings=settings) as server:
        server.tool("breaking").other.close()
        assert server.call("breaking.cannot_be_ended") == "done"
        assert "undoing failed" in caplog.text


def test_queries_that_cannot_be_stopped(postgresql, caplog):
    found = database(postgresql.new_database())
    psycopg = found.engine.dialect.dbapi

    class Request:
        """Asks the server to stop a query, which fails."""

        def start(self):
            raise psycopg.OperationalError("out of sockets")

    driver = SimpleNamespace(
        closed=False,
        info=SimpleNamespace(transaction_status=psycopg.pq.TransactionStatus.ACTIVE),
        pgconn=SimpleNamespace(cancel_conn=Request),
    )
    found.engine.pool.dispatch.invalidate(driver, None, None)
    assert "a query could not be stopped: out of sockets" in caplog.text
    with found.engine.connect() as connection:
        # One that was not even begun fails as soon as it is asked for.
        request = connection.connection.driver_connection.pgconn.cancel_conn()
        on_postgresql._send(psycopg, request)
    found.engine.dispose()
    assert "a query could not be stopped: cancellation failed" in caplog.text
