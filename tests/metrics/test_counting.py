"""What a process counts of itself, also where something stands in the way."""

import socket

import pytest

from tests.http.raw_http import wait_for
from toolserver.errors import Overload
from toolserver.metrics import counting
from toolserver.metrics.counting import Metrics
from toolserver.metrics.sheets import COUNTER, GAUGE, CountSheet
from toolserver.sharing.link import Link


@pytest.fixture
def make_sheet(tmp_path):
    def make_sheet(size):
        path = tmp_path / "sheet"
        path.write_bytes(bytes(size))
        with path.open("r+b") as file:
            return CountSheet(file.fileno())

    return make_sheet


def counted(metrics, name):
    """The numbers of each series of a name."""
    return [values for (_, found, *_), values in metrics.series() if found == name]


def test_what_finds_no_room_is_left_out(make_sheet):
    metrics = Metrics(make_sheet(8192))
    number = 0
    while metrics.sheet.open(COUNTER, f"{number:0200}") is not None:
        number += 1
    metrics.watch(GAUGE, {"late" * 50: lambda: 1.0})
    assert counted(metrics, "late" * 50) == []
    assert counted(metrics, "cpu_seconds")[0][0] > 0


def test_a_sheet_without_room_for_anything_is_refused(make_sheet):
    with pytest.raises(ValueError, match="loop_lag_seconds: no room in the sheet"):
        Metrics(make_sheet(128))


def test_a_number_that_cannot_be_had_is_had_later(monkeypatch, caplog):
    monkeypatch.setattr(counting, "_LAG_S", 0.001)
    monkeypatch.setattr(counting, "_GAUGES_S", 0.0)
    answers = {}
    metrics = Metrics()
    metrics.watch(GAUGE, {"open": lambda: answers["open"]})
    metrics.start()
    try:
        wait_for(lambda: "metrics: what is counted cannot be had" in caplog.text)
        answers["open"] = 7.0
        wait_for(lambda: counted(metrics, "open") == [[7.0]])
        before = counted(metrics, "loop_lag_seconds")
        wait_for(lambda: counted(metrics, "loop_lag_seconds") != before)
    finally:
        metrics.close()
    # To close it once more harms nobody.
    metrics.close()


def test_a_master_that_does_not_answer_is_not_waited_for(monkeypatch):
    monkeypatch.setattr(counting, "_PATIENCE_S", 0.01)
    ours, theirs = socket.socketpair()
    with theirs:
        link = Link(ours)
        with pytest.raises(Overload, match="the master process does not answer"):
            Metrics(link=link).series()
        link.close()


def test_where_the_memory_cannot_be_known_none_is_told(monkeypatch):
    def refuse(path, mode):
        raise FileNotFoundError(path)

    metrics = Metrics()
    assert counted(metrics, "memory_bytes")[0][0] > 10e6
    monkeypatch.setattr(counting, "open", refuse, raising=False)
    assert counted(metrics, "memory_bytes") == [[0.0]]
