"""Database transactions around calls, on SQLite and on PostgreSQL alike."""

from __future__ import annotations

import contextlib
import dataclasses
import gc
import sqlite3
import subprocess
import sys
import time
import uuid

import gevent
import psycopg
import pytest
from sqlalchemy import ForeignKey, String, func, select, text
from sqlalchemy.exc import IntegrityError, InvalidRequestError, PendingRollbackError
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

import toolserver.declarations
import toolserver.testing
from toolserver import (
    FactoryTool,
    Redirect,
    StandardTool,
    TransientTool,
    call,
    limit,
    register,
    threaded,
    tool,
)
from toolserver.errors import CallTimeout, Overload, StartError
from toolserver.ext.databases import Databases
from toolserver.ext.sqlalchemy import (
    DatabaseSettings,
    DatabaseUnavailable,
    RolledBack,
    SQLAlchemyMixin,
)

#: A query of some seconds for SQLite, which has no other way to wait.
COUNTING = (
    "WITH RECURSIVE numbers(n) AS "
    "(SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < :limit) "
    "SELECT max(n) FROM numbers"
)


class Base(DeclarativeBase):
    pass


class Note(Base):
    __tablename__ = "note"

    id: Mapped[int] = mapped_column(primary_key=True)
    text: Mapped[str] = mapped_column(String(50), unique=True)
    # Checked at the commit only.
    parent: Mapped[int | None] = mapped_column(
        ForeignKey("note.id", deferrable=True, initially="DEFERRED")
    )


class Notes(SQLAlchemyMixin, StandardTool):
    settings = DatabaseSettings("sqlite:///notes.db")

    def on_setup(self) -> None:
        Base.metadata.create_all(self.engine)

    def add(self, text: str) -> int:
        note = Note(text=text)
        self.session.add(note)
        self.session.flush()
        return note.id

    def add_unflushed(self, text: str) -> None:
        self.session.add(Note(text=text))

    def all(self) -> list[str]:
        return sorted(self.session.scalars(select(Note.text)))

    def fail(self, text: str) -> None:
        self.add(text)
        raise ValueError("no")

    def orphan(self, text: str) -> None:
        self.session.add(Note(text=text, parent=4711))
        self.session.flush()

    def go(self, text: str) -> None:
        self.add(text)
        raise Redirect("/there")

    def whole(self, text: str) -> Note:
        note = Note(text=text)
        self.session.add(note)
        return note

    def lazily(self, text: str):
        self.add(text)
        session = self.session
        return lambda: session.scalars(select(Note.text)).all()

    def around(self, inner: str, text: str, caught: bool = True) -> str:
        """Add a note, then call another method with it; survive its failure."""
        self.add(text)
        try:
            call(inner, f"{text} inside")
        except Exception as error:
            if not caught:
                raise
            return type(error).__name__
        return "fine"

    def fail_around(self, inner: str, text: str) -> None:
        self.add(text)
        call(inner, f"{text} inside")
        raise ValueError("after it")

    def around_fail(self, text: str) -> str:
        return self.around("notes.fail", text)

    def new_first(self, text: str) -> None:
        call("notes.new.add", f"{text} inside")
        self.add(text)
        raise ValueError("after it")

    def twice(self, text: str) -> str:
        """Add the same note twice, and go on after the failure."""
        self.add(text)
        try:
            self.session.execute(text_insert(text))
        except IntegrityError:
            return "went on"
        return "no failure"

    @threaded
    def add_in_thread(self, text: str) -> int:
        return self.add(text)

    def in_greenlet(self) -> str:
        return gevent.spawn(lambda: self.session).get()

    def sleep(self, text: str, seconds: float = 30) -> None:
        self.add(text)
        gevent.sleep(seconds)

    @limit(timeout=0.1)
    def sleep_too_long(self, text: str) -> None:
        self.sleep(text)

    @limit(timeout=0.1)
    def query_too_long(self, text: str) -> None:
        self.add(text)
        self.query()

    def query(self, seconds: float = 30) -> None:
        if self.engine.name == "postgresql":
            self.session.execute(select(func.pg_sleep(seconds)))
        else:
            self.session.execute(text(COUNTING), {"limit": int(3_000_000 * seconds)})

    @limit(timeout=0.1)
    def write_too_long(self, text: str) -> None:
        self.write_long(text)

    def write_long(self, name: str) -> None:
        self.session.execute(
            text(f"INSERT INTO note (text) {COUNTING}"), {"limit": 90_000_000}
        )

    def write_impatiently(self, text: str) -> None:
        self.add(text)
        with gevent.Timeout(0.05, False):
            self.write_long(text)
        self.add(f"{text} after it")

    @limit(timeout=0.3)
    def in_time(self, text: str) -> str:
        self.add(text)
        return "in time"

    @limit(timeout=0.3)
    def around_in_time(self, text: str) -> None:
        call("notes.new.add", text)

    def backend(self) -> int:
        return self.session.scalar(text("SELECT pg_backend_pid()"))

    def impatient(self, text: str) -> str:
        """Give a query up oneself, and go on as if nothing had happened."""
        self.add(text)
        with gevent.Timeout(0.05, False):
            self.query()
        return "went on"


def text_insert(value):
    return Note.__table__.insert().values(text=value)


@register("notes")
class Joining(Notes):
    pass


@register("notes.savepoint")
class Saving(Notes):
    nested = "savepoint"


@register("notes.new")
class Apart(Notes):
    nested = "new"


@register("notes.plain")
class Plain(StandardTool):
    """A tool without a database."""

    def borrow(self, text: str) -> None:
        notes = tool("notes", Joining)
        with notes.transaction():
            notes.add(text)
            notes.session.flush()
        with pytest.raises(RuntimeError, match="no session here"):
            _ = notes.session

    def ping(self) -> None: ...

    def use(self, text: str) -> None:
        tool("notes", Joining).add(text)

    def both(self, first: str, second: str) -> None:
        call("notes.add", first)
        call("notes.fail", second)


@register("notes.elsewhere")
class Elsewhere(Notes):
    settings = DatabaseSettings("sqlite:///elsewhere.db")


class ShelfNote(SQLAlchemyMixin, TransientTool):
    def rename(self, text: str) -> None:
        self.session.scalars(select(Note).filter_by(text=self.key)).one().text = text


@register("notes.shelf")
class Shelf(SQLAlchemyMixin, FactoryTool):
    """A factory; what it makes uses its transactions."""

    settings = DatabaseSettings("sqlite:///notes.db")
    children = (ShelfNote,)

    def child_exists(self, key: str) -> bool:
        return self.session.scalar(select(Note).filter_by(text=key)) is not None


TOOLS = (Joining, Saving, Apart, Plain, Elsewhere, Shelf)
SHARING = ("notes", "notes.savepoint", "notes.new", "notes.shelf")


#: For what only one of them can do.
on_postgresql = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
on_sqlite = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


@contextlib.contextmanager
def serving(url, *tools, **settings):
    tools = tools or TOOLS
    names = [name for name in SHARING if any(name == d for d in _names(tools))]
    given = {name: {"url": url, **settings} for name in names}
    with toolserver.testing.serve(*tools, settings=given) as running:
        yield running


def _names(tools):
    return [
        declaration.namespace
        for declaration in toolserver.declarations.declared
        if declaration.cls in tools
    ]


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def database_url(request, tmp_path_factory):
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path_factory.mktemp('sqlite')}/notes.db"
    return request.getfixturevalue("postgresql").new_database()


@pytest.fixture(scope="module")
def shared_server(database_url):
    with serving(database_url) as running:
        yield running


@pytest.fixture
def server(shared_server):
    yield shared_server
    assert_nothing_is_checked_out(shared_server)


@pytest.fixture
def name():
    return uuid.uuid4().hex[:12]


@pytest.fixture
def kept(server, name):
    """What the database holds of this test's notes, as a new transaction sees it."""

    def kept():
        found = [n for n in server.call("notes.all") if n.startswith(name)]
        return [n.removeprefix(name).strip() or "it" for n in found]

    return kept


def assert_nothing_is_checked_out(server):
    database = server.tool("notes")._database
    pool = database.engine.pool
    assert pool.checkedout() == 0, pool.status()
    assert pool._slots.counter == pool.size() + pool._max_overflow


def test_success_commits(server, kept, name):
    assert server.call("notes.add", name) > 0
    assert kept() == ["it"]


def test_what_was_not_flushed_is_committed(server, kept, name):
    server.call("notes.add_unflushed", name)
    assert kept() == ["it"]


def test_failure_undoes(server, kept, name, caplog):
    with pytest.raises(ValueError, match="no"):
        server.call("notes.fail", name)
    assert kept() == []


def test_a_redirect_commits(server, kept, name):
    answer = server.http.get(f"/notes/go?text={name}", allow_redirects=False)
    assert answer.status_code == 303
    assert kept() == ["it"]


def test_a_failing_commit_is_the_failure_of_the_call(server, kept, name, caplog):
    with pytest.raises(IntegrityError):
        server.call("notes.orphan", name)
    answer = server.http.get(f"/notes/orphan?text={name}")
    assert answer.status_code == 500
    assert "IntegrityError" in answer.text
    assert kept() == []


def test_values_do_not_reach_callers_in_messages(server, name, caplog):
    server.call("notes.add", name)
    answer = server.http.get(f"/notes/add?text={name}")
    assert answer.status_code == 500
    assert "SQL parameters hidden" in answer.text


def test_what_was_read_stays_usable(server, name):
    note = server.call("notes.whole", name)
    assert note.text == name
    assert note.id > 0


def test_a_session_ends_with_its_call(server, name):
    later = server.call("notes.lazily", name)
    with pytest.raises(InvalidRequestError, match="closed"):
        later()


def test_a_plain_call_uses_the_session_of_its_caller(server, kept, name):
    with pytest.raises(RuntimeError, match=r"notes: no session here"):
        server.call("notes.plain.use", name)
    with pytest.raises(RuntimeError, match="no session here"):
        _ = server.tool("notes").session
    with pytest.raises(RuntimeError, match="no session here"):
        server.call("notes.in_greenlet")
    assert kept() == []


def test_a_tool_without_a_database_has_one_transaction_for_each_call(
    server, kept, name, caplog
):
    with pytest.raises(ValueError, match="no"):
        server.call("notes.plain.both", f"{name} a", f"{name} b")
    assert kept() == ["a"]


def test_a_transaction_can_be_had_without_a_call(server, kept, name):
    server.call("notes.plain.borrow", name)
    assert kept() == ["it"]


def test_joined_calls_are_kept_together(server, kept, name):
    assert server.call("notes.around", "notes.add", name) == "fine"
    assert kept() == ["it", "inside"]


def test_joined_calls_are_undone_together(server, kept, name, caplog):
    with pytest.raises(ValueError, match="after it"):
        server.call("notes.fail_around", "notes.add", name)
    assert kept() == []


@pytest.mark.parametrize("inner", ["notes.fail", "notes.orphan"])
def test_a_failure_inside_undoes_all_that_was_joined(server, kept, name, inner, caplog):
    with pytest.raises((RolledBack, IntegrityError)) as caught:
        server.call("notes.around", inner, name)
    if inner == "notes.fail":
        assert str(caught.value) == (
            "notes: nothing was kept, because notes.fail failed inside of it"
        )
    assert kept() == []


def test_a_broken_rule_of_the_database_is_the_failure_of_the_inner_call(
    server, kept, name, caplog
):
    server.call("notes.add", f"{name} inside")
    with pytest.raises(IntegrityError):
        server.call("notes.around", "notes.add_unflushed", name, caught=False)
    # Caught, it cannot be made up for either.
    with pytest.raises((RolledBack, PendingRollbackError)):
        server.call("notes.around", "notes.add_unflushed", name)
    assert kept() == ["inside"]


def test_a_savepoint_is_kept_with_the_outer_call(server, kept, name, caplog):
    assert server.call("notes.around", "notes.savepoint.add", name) == "fine"
    assert kept() == ["it", "inside"]
    with pytest.raises(ValueError, match="after it"):
        server.call("notes.fail_around", "notes.savepoint.add", f"{name} 2")
    assert kept() == ["it", "inside"]


def test_a_savepoint_undoes_the_inner_part_only(server, kept, name, caplog):
    assert server.call("notes.around", "notes.savepoint.fail", name) == "ValueError"
    assert kept() == ["it"]


def test_what_joins_a_savepoint_undoes_no_more_than_that(server, kept, name, caplog):
    answer = server.call("notes.around", "notes.savepoint.around_fail", name)
    assert answer == "RolledBack"
    assert kept() == ["it"]


def test_a_new_transaction_is_apart(server, kept, name, database_url, caplog):
    if database_url.startswith("sqlite"):
        # It would wait for itself, and is told so at once.
        began = time.monotonic()
        with pytest.raises(RuntimeError, match="SQLite has one at a time"):
            server.call("notes.around", "notes.new.add", name, caught=False)
        assert time.monotonic() - began < 5
        return
    with pytest.raises(ValueError, match="after it"):
        server.call("notes.fail_around", "notes.new.add", name)
    assert kept() == ["inside"]
    answer = server.call("notes.around", "notes.new.fail", f"{name} 2")
    assert answer == "ValueError"
    assert kept() == ["2", "inside"]


def test_a_new_transaction_may_come_first(server, kept, name, caplog):
    with pytest.raises(ValueError, match="after it"):
        server.call("notes.new_first", name)
    assert kept() == ["inside"]


def test_another_url_is_another_database(server, kept, name, caplog):
    with pytest.raises(ValueError, match="after it"):
        server.call("notes.fail_around", "notes.elsewhere.add", name)
    assert kept() == []
    assert f"{name} inside" in server.call("notes.elsewhere.all")


def test_the_same_url_is_the_same_engine(server):
    engines = {server.tool(each).engine for each in SHARING}
    assert len(engines) == 1
    assert server.tool("notes.elsewhere").engine not in engines


def test_a_factory_shares_its_transactions(server, kept, name):
    server.call("notes.add", name)
    server.call(f"notes.shelf.{name}.rename", f"{name} new")
    assert kept() == ["new"]


def test_a_failed_statement_is_not_taken_for_a_success(
    server, kept, name, database_url, caplog
):
    if database_url.startswith("sqlite"):
        # Here a failed statement alone is undone.
        assert server.call("notes.twice", name) == "went on"
        assert kept() == ["it"]
        return
    with pytest.raises(RolledBack, match="nothing was kept"):
        server.call("notes.twice", name)
    assert kept() == []


def test_a_call_past_its_time_is_undone(server, kept, name):
    with pytest.raises(CallTimeout):
        server.call("notes.sleep_too_long", name)
    assert kept() == []


def test_a_killed_call_is_undone(server, kept, name):
    running = gevent.spawn(server.call, "notes.sleep", name)
    wait_for(lambda: server.tool("notes").engine.pool.checkedout() == 1)
    running.kill(timeout=5)
    assert_nothing_is_checked_out(server)
    assert kept() == []


def test_a_query_past_its_time_is_ended(server, kept, name):
    began = time.monotonic()
    with pytest.raises(CallTimeout):
        server.call("notes.query_too_long", name)
    assert time.monotonic() - began < 10
    assert kept() == []
    if server.tool("notes").engine.name == "postgresql":
        wait_for(lambda: not sleeping_queries(server))


@on_sqlite
def test_a_change_past_its_time_is_ended(server, kept, name, caplog):
    with pytest.raises(CallTimeout):
        server.call("notes.write_too_long", name)
    # SQLite has undone the whole transaction by itself: nothing may follow in it.
    with pytest.raises(PendingRollbackError):
        server.call("notes.write_impatiently", name)
    assert kept() == []


@on_postgresql
def test_no_connection_comes_back_in_the_middle_of_a_query(server, kept, name):
    for number in range(20):
        before = server.call("notes.backend")
        running = gevent.spawn(server.call, "notes.query")
        wait_for(lambda: sleeping_queries(server))
        running.kill(timeout=5)
        assert_nothing_is_checked_out(server)
        # Each answer is that of its own question.
        assert server.call("notes.add", f"{name} {number}") > 0
        wait_for(lambda: not sleeping_queries(server))
        assert server.call("notes.backend") != before or number
    assert len(kept()) == 20


@on_postgresql
def test_a_query_given_up_by_its_own_method_keeps_nothing(server, kept, name, caplog):
    with pytest.raises(PendingRollbackError):
        server.call("notes.impatient", name)
    assert kept() == []


@on_postgresql
def test_a_commit_that_has_begun_is_carried_through(server, kept, name):
    """Otherwise nobody would know whether a call that took too long was undone."""
    with serving_slow_commits(server):
        assert server.call("notes.in_time", name) == "in time"
        assert kept() == ["it"]
        # The time of the call around it goes on.
        with pytest.raises(CallTimeout):
            server.call("notes.around_in_time", f"{name} 2")
    wait_for(lambda: not sleeping_queries(server))


@contextlib.contextmanager
def serving_slow_commits(server):
    with server.tool("notes").engine.begin() as connection:
        connection.exec_driver_sql(
            "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS "
            "'BEGIN PERFORM pg_sleep(0.6); RETURN NULL; END'"
        )
        connection.exec_driver_sql(
            "CREATE CONSTRAINT TRIGGER slow AFTER INSERT ON note DEFERRABLE INITIALLY "
            "DEFERRED FOR EACH ROW EXECUTE FUNCTION slow()"
        )
    yield
    with server.tool("notes").engine.begin() as connection:
        connection.exec_driver_sql("DROP TRIGGER slow ON note")
        connection.exec_driver_sql("DROP FUNCTION slow")


def test_other_calls_run_while_one_waits_for_the_database(server):
    running = gevent.spawn(server.call, "notes.query", 1.0)
    wait_for(lambda: server.tool("notes").engine.pool.checkedout() == 1)
    answers = 0
    while not running.ready():
        server.http.get("/notes/plain/ping").raise_for_status()
        answers += 1
    running.get()
    assert answers > 3


def test_many_calls_at_the_same_time(server, kept, name):
    with gevent.Timeout(30):
        calls = [
            gevent.spawn(server.call, "notes.sleep", f"{name} {number}", 0.001)
            for number in range(100)
        ]
        gevent.joinall(calls, raise_error=True)
    assert len(kept()) == 100


def test_a_killed_waiter_hands_its_turn_on(tmp_path):
    databases = Databases()
    engine = databases.open(
        DatabaseSettings("sqlite:///turns.db", pool_timeout=20.0), tmp_path
    ).engine
    connection = engine.connect()
    first, second = (gevent.spawn(engine.raw_connection) for _ in range(2))
    gevent.sleep(0.01)
    # It is dead already, but nobody knows yet: it is still the first in the queue.
    first.kill(block=False)
    connection.close()
    second.get(timeout=5).close()
    assert isinstance(first.value, gevent.GreenletExit)
    databases.close()


def test_calls_are_killed_while_they_connect(server, kept, name):
    server.tool("notes").engine.dispose()
    calls = [gevent.spawn(server.call, "notes.add", f"{name} {n}") for n in range(60)]
    for number, running in enumerate(calls):
        gevent.sleep(0.0001 * (number % 10))
        running.kill(block=False)
    gevent.joinall(calls, timeout=20)
    assert_nothing_is_checked_out(server)
    done = {str(n) for n, each in enumerate(calls) if isinstance(each.value, int)}
    assert done <= set(kept())


def test_threads_have_sessions(server, kept, name):
    with gevent.Timeout(20):
        calls = [
            gevent.spawn(server.call, "notes.add_in_thread", f"{name} {number}")
            for number in range(50)
        ]
        gevent.joinall(calls, raise_error=True)
    assert len(kept()) == 50


def test_killed_calls_leave_nobody_waiting(server, kept, name):
    """A waiter that is killed when its turn comes hands the turn on."""
    with gevent.Timeout(30):
        waiting = [
            gevent.spawn(server.call, "notes.sleep", f"{name} {number}", 0.002)
            for number in range(100)
        ]
        for number in range(0, 100, 2):
            gevent.sleep(0.001)
            waiting[number].kill(block=False)
        gevent.joinall(waiting)
    assert_nothing_is_checked_out(server)
    done = {str(n) for n in range(100) if waiting[n].value is None}
    assert {str(n) for n in range(1, 100, 2)} <= done
    # A kill, unlike a time-out, may come while the commit is on its way.
    assert done <= set(kept())


def sleeping_queries(server):
    url = server.tool("notes").engine.url
    with psycopg.connect(
        host=url.host, port=url.port, user=url.username, dbname=url.database
    ) as connection:
        return connection.execute(
            "SELECT pid FROM pg_stat_activity WHERE state = 'active' "
            "AND query LIKE 'SELECT pg_sleep%' AND datname = current_database()"
        ).fetchall()


def wait_for(holds, seconds=10):
    with gevent.Timeout(seconds):
        while not holds():
            gevent.sleep(0.005)


@pytest.fixture(params=["sqlite", "postgresql"])
def own_url(request, tmp_path):
    """A database of the test's own."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/own.db"
    return request.getfixturevalue("postgresql").new_database()


def test_a_full_pool_is_told(own_url, name, caplog):
    settings = {"pool_size": 1, "max_overflow": 1, "pool_timeout": 0.1}
    with serving(own_url, Joining, Saving, **settings) as server:
        holding = [
            gevent.spawn(server.call, "notes.sleep", f"{name} {number}", 30)
            for number in range(2)
        ]
        pool = server.tool("notes").engine.pool
        wait_for(lambda: pool._slots.locked())
        answer = server.http.get("/notes/all")
        assert answer.status_code == 503
        assert "no database connection was free for 0.1 seconds" in answer.text
        gevent.killall(holding, timeout=5)
        assert server.http.get("/notes/all").status_code == 200


def test_a_database_that_is_down_is_told_and_found_again(postgresql, name, caplog):
    url = postgresql.new_database()
    with serving(url, Joining) as server:
        server.call("notes.add", f"{name} before")
        running = gevent.spawn(server.call, "notes.query")
        wait_for(lambda: sleeping_queries(server))
        postgresql.stop()
        try:
            with pytest.raises(DatabaseUnavailable):
                running.get(timeout=10)
            for _ in range(3):
                answer = server.http.get("/notes/all")
                assert answer.status_code == 503
                assert "the database is unavailable" in answer.text
                # Where it is and who may use it is nobody's business.
                assert "127.0.0.1" not in answer.text
                assert "OperationalError" in caplog.text
        finally:
            postgresql.start()
        assert server.call("notes.all") == [f"{name} before"]
        assert_nothing_is_checked_out(server)


def test_a_file_that_cannot_be_opened_is_told(tmp_path, caplog):
    (tmp_path / "folder.db").mkdir()
    with toolserver.testing.serve(
        Shelf, settings={"notes.shelf": {"url": f"sqlite:///{tmp_path}/folder.db"}}
    ) as server:
        answer = server.http.get("/notes/shelf/one/rename?text=two")
        assert answer.status_code == 503
        assert "the database is unavailable" in answer.text


def test_another_process_holds_up_one_call_but_not_the_loop(tmp_path, name):
    file = tmp_path / "locked.db"
    with serving(f"sqlite:///{file}", Joining, pool_timeout=20.0) as server:
        with holding_lock(file) as other:
            writing = gevent.spawn(server.call, "notes.add", name)
            longest = 0.0
            for _ in range(50):
                before = time.monotonic()
                gevent.sleep(0.002)
                longest = max(longest, time.monotonic() - before)
            assert not writing.ready()
            assert longest < 1
            other.stdin.write(b"\n")
            other.stdin.flush()
            writing.get(timeout=15)
        assert server.call("notes.all") == [name]


def test_two_servers_of_one_process_share_a_file(tmp_path):
    """In SQLite's own wait neither of them could go on."""
    url = f"sqlite:///{tmp_path}/shared.db"
    with serving(url, Joining) as one, serving(url, Joining) as other:
        began = time.monotonic()
        calls = [
            gevent.spawn(server.call, "notes.sleep", f"note {number}", 0.002)
            for number, server in enumerate([one, other] * 15)
        ]
        gevent.joinall(calls, timeout=20, raise_error=True)
        assert time.monotonic() - began < 5
        assert len(one.call("notes.all")) == 30


def test_a_lock_of_another_process_is_told(tmp_path, name):
    file = tmp_path / "locked.db"
    with serving(f"sqlite:///{file}", Joining, pool_timeout=0.1) as server:
        with holding_lock(file):
            with pytest.raises(Overload, match="another process has locked"):
                server.call("notes.add", name)
            assert_nothing_is_checked_out(server)
        server.call("notes.add", name)


@contextlib.contextmanager
def holding_lock(file):
    """Another process that has begun to write, until a line comes."""
    program = (
        "import sqlite3, sys\n"
        "db = sqlite3.connect(sys.argv[1], isolation_level=None)\n"
        "db.execute('BEGIN IMMEDIATE')\n"
        "print(flush=True)\n"
        "sys.stdin.readline()\n"
        "db.execute('COMMIT')\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, file],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        process.stdout.readline()
        yield process


def test_relative_files_are_in_the_home(tmp_path):
    with toolserver.testing.serve(Elsewhere, home=tmp_path) as server:
        server.call("notes.elsewhere.add", "here")
        with sqlite3.connect(tmp_path / "var" / "elsewhere.db") as db:
            assert db.execute("SELECT text FROM note").fetchall() == [("here",)]
        db.close()


def test_a_server_in_memory_keeps_what_it_has():
    with serving("sqlite://", Joining, Saving) as server:
        server.call("notes.add", "one")
        with pytest.raises(CallTimeout):
            server.call("notes.sleep_too_long", "two")
        assert server.call("notes.savepoint.all") == ["one"]


def test_connections_are_closed_with_the_server(own_url):
    with serving(own_url, Joining) as server:
        server.call("notes.add", "one")
        services = server.worker.services
        pool = server.tool("notes").engine.pool
        assert pool.checkedin() == 1
    assert pool.checkedin() == 0
    assert services.part(Databases)._open == {}
    gc.collect()


def test_tools_with_the_same_url_agree_in_their_settings(tmp_path):
    url = f"sqlite:///{tmp_path}/a.db"
    settings = {"notes": {"url": url}, "notes.new": {"url": url, "pool_timeout": 3.0}}
    with (
        pytest.raises(StartError, match=r"pool_timeout: got 3\.0, but another tool"),
        toolserver.testing.serve(Joining, Apart, settings=settings),
    ):
        pass


@pytest.mark.parametrize(
    ("url", "told"),
    [("nonsense", "no URL"), ("", "no URL"), ("mysql+oursql2://h/d", "plugin")],
)
def test_a_url_that_cannot_be_used_keeps_the_server_from_starting(url, told):
    with (
        pytest.raises(StartError, match=told),
        toolserver.testing.serve(Joining, settings={"notes": {"url": url}}),
    ):
        pass


def test_what_cannot_be_is_refused_with_the_class():
    with pytest.raises(TypeError, match="nested: got 'apart', expected 'join'"):
        type("Wrong", (SQLAlchemyMixin, StandardTool), {"nested": "apart"})


def test_settings_of_another_kind_keep_the_server_from_starting():
    @register("notes.unset")
    class Unset(SQLAlchemyMixin, StandardTool):
        pass

    with (
        pytest.raises(StartError, match="expected an instance of DatabaseSettings"),
        toolserver.testing.serve(Unset),
    ):
        pass


def test_a_password_is_not_shown():
    settings = DatabaseSettings("postgresql+psycopg://ann:secret@host/shop")
    assert "secret" not in repr(settings)
    assert dataclasses.replace(settings, pool_size=3).url == settings.url


def test_nothing_but_the_tools_own_methods_is_exported(server):
    assert "on_setup" not in server.call("notes.list_methods")
    for attribute in ("session", "engine", "nested", "transaction"):
        assert server.http.get(f"/notes/{attribute}").status_code == 404
