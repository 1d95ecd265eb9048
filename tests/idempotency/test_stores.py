"""What every store of keys does alike."""

import contextlib
import sqlite3
import stat

import gevent
import pytest

from toolserver.errors import Overload, StartError, TooMany
from toolserver.idempotency.memory import MemoryKeyStore
from toolserver.idempotency.records import Bounds, KeyState, KeyUse
from toolserver.idempotency.sqlite import SQLiteKeyStore

MAKERS = {
    "memory": lambda folder, bounds: MemoryKeyStore(bounds),
    "sqlite": lambda folder, bounds: SQLiteKeyStore(folder / "keys.db", bounds),
}


@pytest.fixture(params=MAKERS)
def make(request, tmp_path):
    with contextlib.ExitStack() as stack:

        def make(**bounds):
            store = MAKERS[request.param](tmp_path, Bounds(**bounds))
            store.open()
            stack.callback(store.close)
            return store

        yield make


@pytest.fixture
def store(make):
    return make()


def begin(store, name=b"key", *, now=1.0, runner="one", lease=10.0, **facts):
    use = KeyUse(
        name=name,
        **{"caller": b"ann", "fingerprint": b"request", **facts},
    )
    return store.begin(use, runner=runner, now=now, lease=lease, expires=now + 100)


def keep(store, name=b"key", answer=b"answer", *, now=1.0, **facts):
    attempt = begin(store, name, now=now, **facts).attempt
    assert store.finish(name, attempt, answer, expires=now + 100)


def test_a_key_is_taken_once_and_its_answer_kept(store):
    assert begin(store).state is KeyState.OPEN
    found = begin(store, runner="two")
    assert (found.state, found.runner) == (KeyState.RUNNING, "one")
    assert store.finish(b"key", 1, b"answer", expires=100.0)
    found = begin(store)
    assert (found.state, found.answer) == (KeyState.KEPT, b"answer")


def test_of_many_at_once_one_gets_the_key(store):
    found = [gevent.spawn(begin, store) for _ in range(50)]
    gevent.joinall(found, raise_error=True)
    states = [each.value.state for each in found]
    assert states.count(KeyState.OPEN) == 1
    assert states.count(KeyState.RUNNING) == 49


def test_an_answer_that_cannot_be_kept_is_known_to_have_been_given(store):
    keep(store, answer=None)
    assert begin(store).state is KeyState.UNKEPT


def test_another_request_does_not_get_the_answer(store):
    keep(store)
    found = begin(store, fingerprint=b"other")
    assert (found.state, found.answer) == (KeyState.REUSED, None)


def test_a_released_key_is_free_again(store):
    begin(store)
    store.release(b"key", 1)
    assert begin(store).state is KeyState.OPEN


def test_what_has_ended_is_not_released(store):
    keep(store)
    store.release(b"key", 1)
    assert begin(store).state is KeyState.KEPT


def test_a_request_whose_lease_has_ended_was_broken_off(store):
    begin(store, lease=10.0)
    assert begin(store, now=10.0).state is KeyState.RUNNING
    assert begin(store, now=10.1).state is KeyState.BROKEN_OFF
    # Nor is that forgotten by asking for it.
    assert begin(store, now=10.1).state is KeyState.BROKEN_OFF


def test_a_lease_that_is_renewed_goes_on(store):
    begin(store, lease=10.0)
    store.extend([(b"key", 1), (b"unknown", 1)], 20.0)
    assert begin(store, now=15.0).state is KeyState.RUNNING


def test_who_may_repeat_takes_the_place_of_one_that_was_broken_off(store):
    begin(store, lease=10.0)
    found = begin(store, now=11.0, lease=21.0, runner="two", may_repeat=True)
    assert (found.state, found.attempt) == (KeyState.OPEN, 2)
    # What comes of the first one after all is too late.
    assert not store.finish(b"key", 1, b"late", expires=100.0)
    store.release(b"key", 1)
    assert store.finish(b"key", 2, b"answer", expires=100.0)
    assert begin(store).answer == b"answer"


def test_requests_of_a_process_that_has_died_were_broken_off(store):
    begin(store, b"a", runner="dead")
    begin(store, b"b", runner="alive")
    store.abandon("dead")
    assert begin(store, b"a").state is KeyState.BROKEN_OFF
    assert begin(store, b"b").state is KeyState.RUNNING


def test_answers_are_forgotten_when_their_time_is_over(store):
    keep(store, b"a", now=1.0)
    keep(store, b"b", now=50.0)
    assert begin(store, b"a", now=100.9).state is KeyState.KEPT
    assert begin(store, b"a", now=101.0).state is KeyState.OPEN
    assert begin(store, b"b", now=101.0).state is KeyState.KEPT


def test_what_is_over_is_free_also_where_many_are_to_be_forgotten(store):
    for number in range(250):
        keep(store, b"%d" % number)
    assert begin(store, b"249", now=101.0, lease=111.0).state is KeyState.OPEN
    assert begin(store, b"249", now=101.0).state is KeyState.RUNNING
    assert 0 < store.purge(101.0) < 249


def test_purging_forgets_what_is_over_and_spares_what_runs(store):
    for number in range(250):
        keep(store, b"%d" % number)
    begin(store, b"running", lease=1000.0)
    assert store.purge(101.0) == 250
    assert begin(store, b"running", now=500.0).state is KeyState.RUNNING
    assert store.purge(1001.0) == 1


def test_the_oldest_answer_of_the_same_caller_makes_room(make):
    store = make(caller_keys=2)
    keep(store, b"of bob", caller=b"bob")
    for name in (b"a", b"b", b"c"):
        keep(store, name)
    assert begin(store, b"b").state is KeyState.KEPT
    assert begin(store, b"c").state is KeyState.KEPT
    assert begin(store, b"of bob", caller=b"bob").state is KeyState.KEPT
    assert begin(store, b"a").state is KeyState.OPEN


def test_answers_make_room_for_others_by_their_size(make):
    store = make(caller_bytes=100, bytes=150)
    keep(store, b"a", b"x" * 60)
    keep(store, b"b", b"x" * 30)
    keep(store, b"c", b"x" * 60)
    assert begin(store, b"b").state is KeyState.KEPT
    keep(store, b"of bob", b"x" * 90, caller=b"bob")
    # All together: the oldest of all are gone, the new one stays.
    assert begin(store, b"of bob", caller=b"bob").answer == b"x" * 90
    assert begin(store, b"c").state is KeyState.KEPT
    assert begin(store, b"b").state is KeyState.OPEN


def test_keys_whose_calls_run_are_not_forgotten(make):
    store = make(caller_keys=2, keys=3)
    begin(store, b"a")
    begin(store, b"b")
    with pytest.raises(TooMany, match="2 keys"):
        begin(store, b"c")
    begin(store, b"of bob", caller=b"bob")
    with pytest.raises(Overload, match="3 keys"):
        begin(store, b"of carl", caller=b"carl")
    store.release(b"a", 1)
    assert begin(store, b"of carl", caller=b"carl").state is KeyState.OPEN


def test_keys_outlive_the_process_in_a_file_for_its_owner(tmp_path):
    path = tmp_path / "keys.db"
    for _ in range(2):
        store = SQLiteKeyStore(path, Bounds(), survives_power=True)
        store.open()
        found = begin(store)
        if found.state is KeyState.OPEN:
            store.finish(b"key", 1, b"answer", expires=100.0)
        store.close()
    assert found.answer == b"answer"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize("damage", ["text", "newer"])
def test_a_file_of_others_is_left_alone(tmp_path, damage):
    path = tmp_path / "keys.db"
    if damage == "text":
        path.write_text("no database at all, but text that is long enough" * 10)
    else:
        with contextlib.closing(sqlite3.connect(path)) as base:
            base.execute("PRAGMA user_version = 99")
    before = path.read_bytes()
    with pytest.raises(StartError, match=r"keys\.db"):
        SQLiteKeyStore(path, Bounds()).open()
    assert path.read_bytes() == before
