"""The stages of a tool's life."""

from __future__ import annotations

import contextlib
import inspect

import gevent
import pytest
from gevent.event import Event

import toolserver.testing
from toolserver import StandardTool, context, register
from toolserver.errors import StartError
from toolserver.lifecycle import Lifecycle
from toolserver.registry import Registry


class Told(StandardTool):
    error = ValueError("no")

    def __init__(self, told, fails=""):
        self.told = told
        self.fails = fails

    def tell(self, stage):
        self.told.append(f"{self.namespace} {stage}")
        if stage == self.fails:
            raise self.error

    def on_setup(self):
        self.tell("setup")

    def on_start(self, size=0):
        assert context.tool is self
        self.tell(f"start {size}" if size else "start")

    def on_stop(self):
        self.tell("stop")

    def on_close(self):
        self.tell("close")

    @contextlib.contextmanager
    def transaction(self):
        self.told.append(f"{self.namespace} begin")
        yield
        self.told.append(f"{self.namespace} commit")


def lifecycle(told, tmp_path, **fails):
    registry = Registry()
    for name in ("a", "b"):
        tool = Told(told, fails.get(name, ""))
        registry.add(tool, name, options={"size": 2} if name == "b" else {})
    return Lifecycle(registry, None, tmp_path / "lock")


def test_each_stage_is_over_before_the_next_begins(tmp_path):
    told = []
    life = lifecycle(told, tmp_path)
    life.start()
    assert told == [
        *("a setup", "b setup"),
        *("a begin", "a start", "a commit", "b begin", "b start 2", "b commit"),
    ]
    told.clear()
    life.stop()
    life.close()
    assert told == [
        *("b begin", "b stop", "b commit", "a begin", "a stop", "a commit"),
        *("b close", "a close"),
    ]
    told.clear()
    life.stop()
    life.close()
    assert told == []


def test_without_a_home_nobody_has_to_be_waited_for():
    told = []
    registry = Registry()
    registry.add(Told(told), "a")
    Lifecycle(registry, None).start()
    assert told[0] == "a setup"


def test_a_start_that_fails_stops_what_was_started(tmp_path):
    told = []
    life = lifecycle(told, tmp_path, b="start 2")
    with pytest.raises(
        StartError, match=r"b: on_start failed: ValueError: no \(.*:\d+"
    ):
        life.start()
    assert "a stop" in told
    assert told[-2:] == ["b close", "a close"]


def test_a_start_that_is_killed_is_no_failure_of_the_tool(tmp_path, caplog):
    told = []
    life = lifecycle(told, tmp_path, a="start")
    life._registry.entry("a").tool.error = gevent.GreenletExit()
    with pytest.raises(gevent.GreenletExit):
        life.start()
    assert "on_start failed" not in caplog.text


def test_a_setup_that_fails_starts_nothing(tmp_path):
    told = []
    life = lifecycle(told, tmp_path, a="setup")
    with pytest.raises(StartError, match="a: on_setup failed"):
        life.start()
    assert told == ["a setup", "a close"]


def test_a_stop_that_fails_does_not_keep_others_from_stopping(tmp_path, caplog):
    told = []
    life = lifecycle(told, tmp_path, b="stop")
    life.start()
    life.stop()
    assert "a stop" in told
    assert "b: on_stop failed: ValueError: no" in caplog.text


class Unfit(StandardTool):
    def __init__(self):
        raise SystemExit(0)


class Unready(StandardTool):
    def on_start(self):
        raise SystemExit(0)


@pytest.mark.parametrize(
    ("cls", "told"),
    [
        (Unfit, "Unfit cannot be made: SystemExit: 0"),
        (Unready, "tests.exiting: on_start failed: SystemExit: 0"),
    ],
)
def test_a_tool_that_exits_at_the_start_is_told_with_its_line(cls, told):
    register(cls, "tests.exiting")
    with pytest.raises(StartError) as caught, toolserver.testing.serve(cls):
        pass
    _, line = inspect.getsourcelines(cls)
    assert told in str(caught.value)
    assert str(caught.value).endswith(f"({__file__}:{line + 2})")


def test_a_hook_that_exits_keeps_no_other_from_running(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(Told, "error", SystemExit(0))
    told = []
    life = lifecycle(told, tmp_path, b="stop")
    life.start()
    del told[:]
    life.stop()
    life.close()
    assert [each for each in told if each.startswith("a ")][-1] == "a close"
    assert "b: on_stop failed: SystemExit: 0" in caplog.text


def test_who_waits_to_set_up_holds_up_nobody(tmp_path):
    """Another process, or another server of this one, sets up just now."""
    told, may_go = [], Event()

    class Slow(Told):
        def on_setup(self):
            self.tell("setup")
            may_go.wait()
            self.tell("set up")

    def start(name):
        registry = Registry()
        registry.add(Slow(told), name)
        Lifecycle(registry, None, tmp_path / "lock").start()

    starts = [gevent.spawn(start, name) for name in ("a", "b")]
    with gevent.Timeout(10):
        while not told:
            gevent.sleep(0.001)
    # Who comes first opens its files in other threads, and may take longer.
    first, second = ("a", "b") if told == ["a setup"] else ("b", "a")
    assert told == [f"{first} setup"]
    may_go.set()
    gevent.joinall(starts, timeout=10, raise_error=True)
    assert told[:3] == [f"{first} setup", f"{first} set up", f"{first} begin"]
    assert told.index(f"{second} set up") == told.index(f"{second} setup") + 1
