"""Facts are shown as tables."""

from dataclasses import dataclass
from datetime import UTC, datetime

from toolserver.debugger.listings import Listing


@dataclass
class Row:
    name: str
    seconds: float | None = None
    names: tuple[str, ...] = ()
    when: datetime | None = None
    last_word: str = ""


def test_columns_stand_below_each_other():
    rows = Listing([Row("one", 1.25, ("a", "b")), Row("three", last_word="end")])
    assert repr(rows) == (
        "NAME   SECONDS  NAMES  LAST WORD\n"
        "one    1.2      a, b\n"
        "three                  end"
    )


def test_times_are_told_without_fractions():
    moment = datetime(2026, 11, 23, 9, 0, 1, 999, tzinfo=UTC)
    assert "2026-11-23 09:00:01+00:00" in repr(Listing([Row("", when=moment)]))


def test_nothing_is_told_as_such():
    assert repr(Listing()) == "none"


def test_long_cells_are_cut_but_for_the_last_one():
    rows = Listing([Row("x" * 100, last_word="y" * 100)])
    assert f"{'x' * 37}...  {'y' * 100}" in repr(rows)


def test_what_came_from_the_network_does_nothing_to_the_terminal():
    shown = repr(Listing([Row("GET /\x1b[2J\r\n", names=("\x9b31m", "ä\ud800"))]))
    assert shown.splitlines()[1] == "GET /\\x1b[2J\\r\\n  \\x9b31m, ä\\ud800"
