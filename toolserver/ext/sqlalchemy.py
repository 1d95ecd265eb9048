"""A database transaction around each call, by SQLAlchemy.

    @register("shop.stock")
    class Stock(SQLAlchemyMixin, StandardTool):
        settings = DatabaseSettings("sqlite:///shop.db")

        def count(self, article: str) -> int:
            return self.session.get_one(Article, article).pieces

A session begins with the call and is committed when the call succeeds. It is kept in
the context of the call: one tool serves many calls at once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from functools import cached_property
from types import MappingProxyType
from typing import ClassVar, Literal

from sqlalchemy import Engine
from sqlalchemy.orm import Session

from toolserver.contexts import Var, context
from toolserver.ext.databases import Database, Databases, DatabaseSettings
from toolserver.ext.errors import DatabaseUnavailable, RolledBack
from toolserver.factories import TransientTool
from toolserver.services import services
from toolserver.tools import Tool
from toolserver.transactions import stop_clock

__all__ = [
    "DatabaseSettings",
    "DatabaseUnavailable",
    "RolledBack",
    "SQLAlchemyMixin",
]


class _Work:
    """What is committed or undone as a whole: a transaction, or a savepoint in it."""

    __slots__ = ("failed", "session")

    def __init__(self, session: Session) -> None:
        self.session = session
        #: The first call inside that failed; a text, for the exception leads back here.
        self.failed = ""

    def check(self, name: str) -> None:
        """Refuse to keep work of which a part has failed."""
        if self.failed:
            raise RolledBack(
                f"{name}: nothing was kept, because {self.failed} failed inside of it"
            )


_works: Var[Mapping[Database, _Work]] = Var(
    "database sessions", default=MappingProxyType({})
)


class SQLAlchemyMixin(Tool, framework=True):
    """Gives a tool's calls a session; its ``settings`` are `DatabaseSettings`.

    What a call inside another call does to the same database, when it comes through the
    call path, depends on the tool that is called:

    - ``"join"``: both are one transaction. If the inner call fails, the outer one can
      only be undone, also if it goes on as if nothing had happened.
    - ``"savepoint"``: if the inner call fails, its part is undone, and the outer one
      may go on.
    - ``"new"``: the inner call has a transaction and a connection of its own, whose
      outcome does not depend on the other. SQLite has one connection, which the outer
      call must not have used yet.

    Attributes:
        nested: Which of them.
    """

    nested: ClassVar[Literal["join", "savepoint", "new"]] = "join"

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if cls.nested not in ("join", "savepoint", "new"):
            raise TypeError(
                f"{cls.__name__}.nested: got {cls.nested!r}, expected 'join', "
                "'savepoint' or 'new'"
            )

    @cached_property
    def _database(self) -> Database:
        tool: Tool = self
        while isinstance(tool, TransientTool) and tool.settings is None:
            tool = tool.parent
        settings = tool.settings
        if not isinstance(settings, DatabaseSettings):
            raise TypeError(
                f"{type(self).__name__}.settings: got {settings!r}, expected an "
                "instance of DatabaseSettings or of a subclass"
            )
        offered = services()
        home = offered.home
        folder = home.var if home is not None else None
        return offered.part(Databases).open(settings, folder)

    @property
    def engine(self) -> Engine:
        """The engine, for `on_setup`, as in ``Base.metadata.create_all(self.engine)``.

        Inside of a call it knows nothing of the call's transaction.
        """
        return self._database.engine

    @property
    def session(self) -> Session:
        """The session of the running call, until its end.

        Objects that were read stay usable after it, as far as they were read.

        Raises:
            RuntimeError: No transaction of this database is running here.
        """
        work = _works.get().get(self._database)
        if work is None:
            raise RuntimeError(
                f"{self.namespace}: no session here: there is one while a call of the "
                "tool runs that came through the call path, in its own greenlet; or "
                "inside of `with self.transaction():`"
            )
        return work.session

    def on_setup(self) -> None:
        """Find out early whether the settings can be used; needs no `super` call."""
        _ = self._database

    def transaction(self) -> AbstractContextManager[None]:
        """A transaction, or a part of the one that is running, as `nested` says."""
        outer = _works.get().get(self._database)
        if outer is None or self.nested == "new":
            return self._transaction(outer)
        if self.nested == "savepoint":
            return self._savepoint(outer)
        return self._joined(outer)

    @contextmanager
    def _transaction(self, outer: _Work | None) -> Iterator[None]:
        database = self._database
        if outer is not None and database.is_sqlite and outer.session.in_transaction():
            raise RuntimeError(
                f"{self.namespace}: nested is 'new', but the call around this one has "
                "begun a transaction, and SQLite has one at a time: it would wait for "
                "itself"
            )
        # Results are written after the commit; what a generator does with the session
        # after the call is an error, not a transaction that nobody ends.
        session = Session(
            database.engine, expire_on_commit=False, close_resets_only=False
        )
        is_killed = False
        try:
            with _bound(database, _Work(session)) as work:
                yield
            work.check(self.namespace)
            session.flush()
            # Who is told that the call took too long may rely on its being undone.
            stop_clock()
            session.commit()
        except Exception as error:
            told = database.told(error)
            if told is None:
                raise
            self.log.exception("%s", told)
            raise told from error
        except BaseException:
            is_killed = True
            raise
        finally:
            self._end(session, is_killed)

    def _end(self, session: Session, is_killed: bool) -> None:
        try:
            if is_killed and not self._database.is_sqlite:
                # It may have been in the middle of a query: the next one to have this
                # connection would read the answer. SQLite is never left so.
                session.invalidate()
            else:
                session.close()
        except Exception:
            self.log.warning("undoing failed", exc_info=True)

    @contextmanager
    def _savepoint(self, outer: _Work) -> Iterator[None]:
        session = outer.session
        with session.begin_nested(), _bound(self._database, _Work(session)) as work:
            yield
            work.check(self.namespace)

    @contextmanager
    def _joined(self, outer: _Work) -> Iterator[None]:
        try:
            yield
            # What the database refuses is the failure of the call that asked for it.
            outer.session.flush()
        except BaseException:
            outer.failed = outer.failed or f"{self.namespace}.{context.method}"
            raise


@contextmanager
def _bound(database: Database, work: _Work) -> Iterator[_Work]:
    before = _works.get()
    _works.set({**before, database: work})
    try:
        yield work
    finally:
        _works.set(before)
