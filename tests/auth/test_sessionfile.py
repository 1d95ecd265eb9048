"""Sessions in a file: who may have how many, and which numbers were used."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from toolserver.auth import sessionfile
from toolserver.auth.sessionfile import SessionFile, Spent
from toolserver.errors import StartError

SECRET, FINGERPRINT = b"s" * 32, b"f" * 32


class Clock:
    now = 1_000_000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def file(tmp_path, clock):
    made = SessionFile(tmp_path / "sessions", lifetime=600, clock=clock)
    yield made
    made.close()


def begin(file, client="ann"):
    return file.find(file.open(client, FINGERPRINT, SECRET))


def test_a_session_is_found_by_its_id(file, clock):
    made = begin(file)
    assert (made.client, made.secret, made.fingerprint) == ("ann", SECRET, FINGERPRINT)
    assert made.ends == clock.now + 600
    other = made.id[:-1] + ("A" if made.id[-1] != "A" else "B")
    assert file.find(other) is None
    assert file.find("_" * 24) is None
    assert file.find("A" * 24) is None


def test_numbers_in_any_order_but_each_once(file):
    made = begin(file)
    for number in (5, 1, 9000, 8999, 2000):
        assert file.spend(made, number) is Spent.FRESH
        assert file.spend(made, number) is Spent.USED
    # Too long ago for anybody to know.
    assert file.spend(made, 6) is Spent.USED
    assert file.spend(made, 10**15 - 1) is Spent.FRESH
    assert file.spend(made, 9001) is Spent.USED


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=100)
@given(st.lists(st.integers(0, 30_000) | st.integers(0, 40), max_size=60))
def test_no_number_is_fresh_twice(file, numbers):
    made = begin(file, "eve")
    fresh, highest = set(), 0
    for number in numbers:
        found = file.spend(made, number)
        highest = max(highest, number)
        if found is Spent.FRESH:
            assert number not in fresh
            fresh.add(number)
        else:
            # What is not too old is never refused without reason.
            assert number in fresh or highest - number >= 8184


def test_all_processes_and_later_ones_know_what_was_used(file, tmp_path, clock):
    made = begin(file)
    assert file.spend(made, 1) is Spent.FRESH
    other = SessionFile(tmp_path / "sessions", lifetime=600, clock=clock)
    assert other.find(made.id) == made
    assert other.spend(made, 1) is Spent.USED
    assert other.spend(made, 2) is Spent.FRESH
    assert file.spend(made, 2) is Spent.USED
    other.close()


def test_nothing_is_believed_after_the_machine_was_started(
    file, tmp_path, clock, monkeypatch
):
    made = begin(file)
    for boot in ("another", ""):
        monkeypatch.setattr(sessionfile, "boot_id", lambda boot=boot: boot)
        later = SessionFile(tmp_path / "sessions", lifetime=600, clock=clock)
        assert later.find(made.id) is None
        made = begin(later)
        assert later.find(made.id) == made
        later.close()


def test_the_client_that_has_too_many_loses_its_oldest(file, clock):
    kept = begin(file, "bob")
    mine = []
    for _ in range(sessionfile._MOST):
        mine.append(begin(file))
        clock.now += 1
    assert file.spend(mine[0], 1) is Spent.FRESH
    newest = begin(file)
    assert file.find(mine[1].id) is None
    assert file.spend(mine[1], 1) is Spent.GONE
    assert file.find(mine[0].id) == mine[0]
    assert file.find(newest.id) == newest
    assert file.find(kept.id) == kept


def test_where_all_is_full_nobody_loses_one(file, clock, monkeypatch):
    monkeypatch.setattr(sessionfile, "_SLOTS", 3)
    held = [begin(file, name) for name in ("ann", "bob", "cyd")]
    assert file.open("dan", FINGERPRINT, SECRET) is None
    assert [file.find(each.id) for each in held] == held
    # An ended one is remembered for a while, then its place is taken.
    clock.now += 600 + 299
    assert file.open("dan", FINGERPRINT, SECRET) is None
    assert file.spend(held[0], 1) is Spent.FRESH
    clock.now += 2
    assert file.open("dan", FINGERPRINT, SECRET) is not None


def test_the_file_is_private(file, tmp_path):
    assert (tmp_path / "sessions").stat().st_mode & 0o777 == 0o600
    (tmp_path / "link").symlink_to(tmp_path / "sessions")
    with pytest.raises(StartError, match="cannot be used"):
        SessionFile(tmp_path / "link", lifetime=600)
