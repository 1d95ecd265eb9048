"""Passwords and groups: right, wrong, unknown, guessed and forgotten."""

from __future__ import annotations

import itertools
import time

import gevent
import pytest

from toolserver.auth import accounts
from toolserver.auth.accounts import Accounts, parse_accounts, parse_groups
from toolserver.auth.passwords import check_hash, hash_password, verify_password
from toolserver.errors import TooMany

HASH = hash_password("gehéim")


@pytest.fixture
def clock():
    return [1000.0]


@pytest.fixture
def hashes():
    return {"ann": HASH}


@pytest.fixture
def checked(hashes, clock):
    made = Accounts(lambda: hashes, lambda: clock[0])
    yield made
    made.close()


def test_a_hash_is_of_its_password_alone():
    assert verify_password("gehéim", HASH)
    # The same letters, typed in another way.
    assert verify_password("gehe\u0301im", HASH)
    assert not verify_password("geheim", HASH)
    assert hash_password("gehéim") != HASH


def test_argon2id_is_known():
    hashed = hash_password("x", argon2id=True)
    check_hash(hashed)
    assert verify_password("x", hashed)
    assert not verify_password("y", hashed)


@pytest.mark.parametrize(
    "hashed",
    [
        "geheim",
        "",
        "$scrypt$ln=14,r=8,p=5$x",
        "$scrypt$ln=30,r=8,p=5$AAAA$AAAA",
        "$scrypt$ln=0,r=8,p=5$AAAA$AAAA",
        "$scrypt$ln=14,r=0,p=5$AAAA$AAAA",
        "$scrypt$ln=14,r=8,p=5$AAAAA$AAAA",
        "$argon2id$v=19$nonsense",
    ],
)
def test_what_is_no_hash_is_refused(hashed):
    with pytest.raises(ValueError, match=r"hash|expected"):
        parse_accounts(f"ann:{hashed}")


def test_a_clear_password_is_not_repeated():
    with pytest.raises(ValueError, match="tsctl passwd ann") as caught:
        parse_accounts("ann:geheim")
    assert "geheim" not in str(caught.value)


def test_lists_are_read():
    assert parse_accounts(f"# who\nann:{HASH}\n") == {"ann": HASH}
    with pytest.raises(ValueError, match=r"^2: a second account 'ann'"):
        parse_accounts(f"ann:{HASH}\nann:{HASH}")
    assert parse_groups("editors:ann, bob\nall:ann,") == {
        "ann": {"editors", "all"},
        "bob": {"editors"},
    }
    with pytest.raises(ValueError, match=r"^1: got the client 'b b'"):
        parse_groups("editors:ann,b b")


def test_passwords_are_checked(checked):
    assert checked.check("ann", "gehéim", "192.0.2.1")
    assert not checked.check("ann", "", "192.0.2.1")
    assert not checked.check("nobody", "gehéim", "192.0.2.1")
    assert not checked.check("ann", "x" * 5000, "192.0.2.1")


def test_a_right_password_is_remembered_for_a_while(
    checked, clock, hashes, monkeypatch
):
    assert checked.check("ann", "gehéim", "a")
    counted = []
    monkeypatch.setattr(
        accounts, "verify_password", lambda *given: counted.append(given) or True
    )
    assert checked.check("ann", "gehéim", "a")
    assert not counted
    clock[0] += 61
    assert checked.check("ann", "gehéim", "a")
    assert len(counted) == 1
    # A changed hash is another password.
    hashes["ann"] = hash_password("other")
    checked.check("ann", "gehéim", "a")
    assert len(counted) == 2


def test_who_guesses_waits_longer_and_longer(checked, clock, monkeypatch):
    monkeypatch.setattr(accounts, "verify_password", lambda *given: False)
    waits = []
    monkeypatch.setattr(accounts.gevent, "sleep", waits.append)
    for _ in range(9):
        assert not checked.check("ann", "wrong", "192.0.2.1")
    assert waits[:3] == [0.1, 0.2, 0.4]
    assert max(waits) == 5.0
    # Others do not wait with them.
    del waits[:]
    assert not checked.check("ann", "wrong", "192.0.2.2")
    assert not waits
    clock[0] += 301
    assert not checked.check("ann", "wrong", "192.0.2.1")
    assert not waits


def test_the_loop_goes_on_while_passwords_are_hashed(checked):
    turns = []

    def count():
        while True:
            turns.append(time.monotonic())
            gevent.sleep(0.001)

    counter = gevent.spawn(count)
    logins = [
        gevent.spawn(checked.check, f"guest{number}", "x", f"192.0.2.{number}")
        for number in range(4)
    ]
    gevent.joinall(logins)
    counter.kill()
    gaps = [after - before for before, after in itertools.pairwise(turns)]
    assert sorted(gaps)[len(gaps) // 2] < 0.05
    assert not any(login.value for login in logins)


def test_not_too_many_logins_wait(checked):
    logins = [
        gevent.spawn(checked.check, f"guest{number}", "x", "192.0.2.1")
        for number in range(10)
    ]
    gevent.sleep(0)
    with pytest.raises(TooMany):
        checked.check("ann", "gehéim", "192.0.2.1")
    # From elsewhere there is still a way in.
    assert checked.check("ann", "gehéim", "192.0.2.2")
    gevent.killall(logins)
    assert not checked._waiting


def test_what_is_remembered_of_callers_is_bounded(checked, hashes, monkeypatch):
    monkeypatch.setattr(accounts, "_REMEMBERED", 3)
    monkeypatch.setattr(accounts, "_FAILURES", 3)
    monkeypatch.setattr(accounts, "verify_password", lambda given, _: given == "right")
    hashes.update({f"ann{number}": HASH for number in range(10)})
    for number in range(10):
        assert checked.check(f"ann{number}", "right", "192.0.2.1")
        assert not checked.check(f"ann{number}", "wrong", f"192.0.2.{number}")
    assert len(checked._right) == 3
    assert len(checked._wrong) == 3
    # The oldest ones are forgotten, the newest one waits.
    waits = []
    monkeypatch.setattr(accounts.gevent, "sleep", waits.append)
    assert not checked.check("ann0", "wrong", "192.0.2.0")
    assert waits == []
    assert not checked.check("ann9", "wrong", "192.0.2.9")
    assert waits == [0.1]
