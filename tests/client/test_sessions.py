"""The session of a client, apart from any server."""

from __future__ import annotations

import os
import time

import pytest

from toolserver.auth.sessionkeys import Grant
from toolserver.client.sessions import SessionHolder


@pytest.fixture
def holder():
    made = SessionHolder()
    made.keep(Grant("s1", 60), bytes(32))
    return made


def test_a_session_is_used_until_a_while_before_its_end(holder):
    session = holder.session
    assert session.id == "s1"
    assert 45 < session.ends - time.monotonic() <= 50
    assert [session.number().number for _ in range(3)] == [1, 2, 3]
    holder.keep(Grant("s2", 0), bytes(32))
    assert holder.session is None


def test_a_session_belongs_to_the_process_that_has_opened_it(holder, monkeypatch):
    assert holder.session is not None
    pid = os.getpid() + 1
    monkeypatch.setattr("os.getpid", lambda: pid)
    assert holder.session is None


def test_of_many_at_once_one_asks_for_a_session():
    holder = SessionHolder()
    assert [holder.asks() for _ in range(3)] == [True, False, False]


def test_another_session_is_asked_for_at_once(holder):
    first = holder.session
    assert holder.asks()
    holder.forget(first)
    assert holder.session is None
    assert holder.asks()
    # Who was answered late knows nothing of the one that is used by now.
    holder.keep(Grant("s2", 60), bytes(32))
    holder.forget(first)
    assert holder.session.id == "s2"
    assert not holder.asks()
