"""Transactions by the hooks begin, commit and abort."""

from __future__ import annotations

import gevent
import pytest

import toolserver.testing
from toolserver import Redirect, StandardTool, Var, call, limit, register
from toolserver.errors import CallTimeout

number = Var("number", default=0)


@register("ledger")
class Ledger(StandardTool):
    """Writes down what happens to its transactions."""

    fails = ""

    def __init__(self):
        self.told = []
        self.numbers = iter(range(1, 1000))

    def _tell(self, word):
        self.told.append(f"{word} {number.get()}")
        if self.fails == word:
            raise OSError(f"{word} failed")

    def begin(self):
        number.set(next(self.numbers))
        self._tell("begin")

    def commit(self):
        self._tell("commit")

    def abort(self):
        self._tell("abort")

    def work(self) -> str:
        return "done"

    def fail(self) -> None:
        raise ValueError("no")

    def move(self) -> None:
        raise Redirect("/there")

    def outer(self) -> str:
        return call("ledger.work")

    @limit(timeout=0.02)
    def slow(self) -> None:
        gevent.sleep(10)

    def wait(self) -> None:
        gevent.sleep(10)


@register("ledger.only_commit")
class OnlyCommit(StandardTool):
    commits = 0

    def commit(self):
        self.commits += 1

    def work(self) -> None: ...


@pytest.fixture
def server():
    with toolserver.testing.serve(Ledger, OnlyCommit) as running:
        tool = running.tool("ledger")
        # Its own start was a transaction, too.
        tool.told.clear()
        tool.numbers = iter(range(1, 1000))
        yield running
        tool.fails = ""


@pytest.fixture
def tool(server):
    return server.tool("ledger")


def test_success_commits(server, tool):
    assert server.call("ledger.work") == "done"
    assert tool.told == ["begin 1", "commit 1"]


def test_failure_aborts_and_is_told(server, tool, caplog):
    with pytest.raises(ValueError, match="no"):
        server.call("ledger.fail")
    assert tool.told == ["begin 1", "abort 1"]


def test_an_answer_commits(server, tool):
    answer = server.http.get("/ledger/move", allow_redirects=False)
    assert answer.status_code == 303
    assert tool.told == ["begin 1", "commit 1"]


def test_a_call_inside_has_a_transaction_of_its_own(server, tool):
    assert server.call("ledger.outer") == "done"
    assert tool.told == ["begin 1", "begin 2", "commit 2", "commit 1"]


def test_a_call_past_its_time_is_aborted(server, tool):
    with pytest.raises(CallTimeout):
        server.call("ledger.slow")
    assert tool.told == ["begin 1", "abort 1"]


def test_a_call_whose_greenlet_is_killed_is_aborted(server, tool, caplog):
    running = gevent.spawn(server.call, "ledger.wait")
    while not tool.told:
        gevent.sleep(0.001)
    running.kill(timeout=5)
    assert tool.told == ["begin 1", "abort 1"]


def test_a_failing_commit_is_the_failure_of_the_call(server, tool, caplog):
    tool.fails = "commit"
    with pytest.raises(OSError, match="commit failed"):
        server.call("ledger.work")
    assert tool.told == ["begin 1", "commit 1", "abort 1"]
    assert server.http.get("/ledger/work").status_code == 500


def test_a_failing_begin_runs_nothing(server, tool, caplog):
    tool.fails = "begin"
    with pytest.raises(OSError, match="begin failed"):
        server.call("ledger.work")
    assert tool.told == ["begin 1"]


def test_a_failing_abort_hides_no_failure(server, tool, caplog):
    tool.fails = "abort"
    with pytest.raises(ValueError, match="no"):
        server.call("ledger.fail")
    assert "abort failed" in caplog.text


def test_one_hook_suffices(server):
    tool = server.tool("ledger.only_commit")
    before = tool.commits
    server.call("ledger.only_commit.work")
    assert tool.commits == before + 1


def test_the_hooks_cannot_be_called_from_outside(server):
    for hook in ("begin", "commit", "abort", "transaction"):
        assert server.http.get(f"/ledger/{hook}").status_code == 404


def test_calls_at_the_same_time_have_their_own(server, tool):
    with gevent.Timeout(10):
        jobs = [gevent.spawn(server.call, "ledger.outer") for _ in range(20)]
        gevent.joinall(jobs, raise_error=True)
    assert len(tool.told) == 80
    assert len(set(tool.told)) == 80
