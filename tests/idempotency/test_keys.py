"""Whose request makes its call, while processes live and die."""

import contextlib
import sqlite3
import subprocess
import sys
import time

import gevent
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.processes.servers import wait_for
from toolserver.errors import KeyInUse, KeyReused, OutcomeUnknown, Overload, TooMany
from toolserver.idempotency.keys import Keys
from toolserver.idempotency.memory import MemoryKeyStore
from toolserver.idempotency.records import Bounds, KeptAnswer, KeyState, KeyUse
from toolserver.idempotency.sqlite import SQLiteKeyStore
from toolserver.jobs.runners import name_runner
from toolserver.settings import JobSettings

ANSWER = KeptAnswer(200, (("Content-Type", "text/plain"),), b"made")


def use(fingerprint=b"request", **facts):
    return KeyUse(name=b"key", caller=b"ann", fingerprint=fingerprint, **facts)


@pytest.fixture
def make(tmp_path):
    with contextlib.ExitStack() as stack:

        def make(lease=30.0, clock=time.time, **options):
            store = SQLiteKeyStore(tmp_path / "keys.db", Bounds())
            keys = Keys(store, clock, JobSettings(lease_timeout=lease), **options)
            stack.callback(keys.close)
            return keys

        yield make


def test_processes_of_one_store_know_each_others_keys(make):
    one, two = make(), make()
    key = one.begin(use())
    with pytest.raises(KeyInUse, match="still runs"):
        two.begin(use())
    with pytest.raises(KeyReused, match="take a new key"):
        two.begin(use(b"other"))
    key.keep(ANSWER)
    assert two.begin(use()) == ANSWER


def test_a_call_that_takes_long_keeps_its_key(make, tmp_path):
    now = 1000.0
    keys = make(lease=0.3, clock=lambda: now)
    key = keys.begin(use())
    for _ in range(3):
        now += 0.2
        wait_for(lambda until=now + 0.3: value(tmp_path, "lease") >= until)
        with pytest.raises(KeyInUse):
            keys.begin(use(may_repeat=True))
    key.keep(ANSWER)
    assert keys.begin(use()) == ANSWER


def test_leases_are_renewed_whenever_calls_run(make, tmp_path):
    now = 1000.0
    keys = make(lease=0.03, clock=lambda: now)
    keys.begin(use()).release()
    wait_for(lambda: keys._tending is None)
    key = keys.begin(use())
    now = 2000.0
    wait_for(lambda: value(tmp_path, "lease") > 2000.0)
    key.keep(ANSWER)


def test_of_many_first_requests_at_once_one_is_made(make):
    keys = make()
    found = [gevent.spawn(keys.begin, use()) for _ in range(5)]
    gevent.joinall(found)
    first, *others = sorted(found, key=lambda each: each.exception is not None)
    assert [type(each.exception) for each in others] == [KeyInUse] * 4
    first.value.keep(ANSWER)
    assert keys.begin(use()) == ANSWER


@contextlib.contextmanager
def taken_away(folder):
    """What is stored meanwhile cannot be."""
    (folder / "keys.db").rename(folder / "away.db")
    try:
        yield
    finally:
        (folder / "away.db").rename(folder / "keys.db")


def test_a_store_that_cannot_be_used_for_a_while_is_used_again(make, tmp_path, caplog):
    now = 1000.0
    keys = make(lease=0.03, clock=lambda: now, purge_interval=0.01)
    key = keys.begin(use())
    with taken_away(tmp_path):
        for told in ("keys are not forgotten", "keys are not renewed"):
            wait_for(lambda told=told: f"{told}: the store cannot be" in caplog.text)
    now = 2000.0
    wait_for(lambda: value(tmp_path, "lease") > 2000.0)
    key.keep(ANSWER)
    assert keys.begin(use()) == ANSWER
    now += 86_400
    wait_for(lambda: value(tmp_path, "count(*)") == 0)


@pytest.mark.parametrize(
    ("end", "what"),
    [
        (lambda key: key.keep(ANSWER), "ended"),
        (lambda key: key.release(), "released"),
        (lambda key: key.break_off(), "broken off"),
    ],
)
def test_an_end_that_cannot_be_stored_is_known_by_nobody(
    make, tmp_path, caplog, end, what
):
    now = 1000.0
    keys = make(clock=lambda: now)
    key = keys.begin(use())
    with taken_away(tmp_path):
        # The caller gets its answer all the same.
        end(key)
    assert f"an idempotency key is not {what}: the store cannot be" in caplog.text
    with pytest.raises(KeyInUse):
        keys.begin(use())
    now += 31
    with pytest.raises(OutcomeUnknown, match="broken off"):
        keys.begin(use())


def value(folder, what):
    """What the store holds in a column, or of an aggregate."""
    with contextlib.closing(sqlite3.connect(folder / "keys.db")) as base:
        return base.execute(f"SELECT {what} FROM keys").fetchone()[0]


def test_what_a_process_left_that_has_died_was_broken_off(make, tmp_path):
    waits = [sys.executable, "-c", "input()"]
    with subprocess.Popen(waits, stdin=subprocess.PIPE) as process:
        runner = name_runner(process.pid)
        store = SQLiteKeyStore(tmp_path / "keys.db", Bounds())
        store.open()
        store.begin(use(), runner=runner, now=0, lease=2e10, expires=3e10)
        store.close()
        keys = make()
        with pytest.raises(KeyInUse):
            keys.begin(use())
        process.kill()
        process.wait()
    with pytest.raises(OutcomeUnknown, match="broken off"):
        keys.begin(use())
    keys.begin(use(may_repeat=True)).keep(ANSWER)
    assert keys.begin(use()) == ANSWER


def test_a_call_that_was_broken_off_is_no_longer_the_callers(make):
    keys = make()
    keys.begin(use()).break_off()
    with pytest.raises(OutcomeUnknown):
        keys.begin(use())
    with pytest.raises(KeyReused):
        keys.begin(use(b"other", may_repeat=True))


def test_an_answer_that_is_not_kept_was_given(make):
    keys = make()
    keys.begin(use()).keep(None)
    with pytest.raises(OutcomeUnknown, match="could not be kept"):
        keys.begin(use(may_repeat=True))


def test_what_is_over_is_forgotten_without_being_asked_for(make, tmp_path):
    now = 1000.0
    keys = make(clock=lambda: now, purge_interval=0.01)
    keys.begin(use()).keep(ANSWER)
    assert keys.begin(use()) == ANSWER
    now += 86_400
    wait_for(lambda: value(tmp_path, "count(*)") == 0)


def test_a_store_that_cannot_be_used_refuses_keys_alone(tmp_path, caplog):
    (tmp_path / "keys.db").write_text("no database, but text " * 100)
    store = SQLiteKeyStore(tmp_path / "keys.db", Bounds())
    keys = Keys(store, time.time, JobSettings())
    with pytest.raises(Overload, match="cannot be stored"):
        keys.begin(use())
    assert "keys.db: the store of idempotency keys cannot be used" in caplog.text
    keys.close()


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["begin", "begin", "keep", "unkept", "release", "extend"]),
        st.integers(0, 4),
        st.integers(0, 1),
        st.booleans(),
        st.integers(0, 30),
    ),
    max_size=40,
)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(STEPS)
def test_both_stores_say_the_same(tmp_path, steps):
    bounds = Bounds(caller_keys=3, caller_bytes=50, keys=4, bytes=70)
    path = tmp_path / "both.db"
    stores = MemoryKeyStore(bounds), SQLiteKeyStore(path, bounds)
    for store in stores:
        store.open()
    try:
        now = 0
        attempts = {}
        for what, number, caller, flag, amount in steps:
            now += amount // 3
            first, second = (
                _step(store, what, number, caller, flag, amount, now, attempts)
                for store in stores
            )
            assert first == second
            if what == "begin" and getattr(first, "state", None) is KeyState.OPEN:
                attempts[number, caller] = first.attempt
    finally:
        for store in stores:
            store.close()
        path.unlink()


def _step(store, what, number, caller, flag, amount, now, attempts):
    name, attempt = b"%d.%d" % (number, caller), attempts.get((number, caller), 1)
    if what == "begin":
        request = KeyUse(
            name=name,
            caller=b"caller %d" % caller,
            fingerprint=b"request",
            may_repeat=flag,
        )
        try:
            return store.begin(
                request, runner="one", now=now, lease=now + 10, expires=now + 40
            )
        except (TooMany, Overload) as error:
            return repr(error)
    if what == "release":
        return store.release(name, attempt)
    if what == "extend":
        return store.extend([(name, attempt)], now + amount)
    answer = b"x" * amount if what == "keep" else None
    return store.finish(name, attempt, answer, expires=now + 40)
