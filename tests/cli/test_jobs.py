"""``jobs``, and ``call`` that does not wait, against a running server."""

import datetime as dt
import json

import pytest

from toolserver.cli.jobs import _span

from .conftest import ask, wait_for


def started(running, *words):
    done = ask(running, "call", *words)
    assert done.code == 0, done.err
    return done.out.strip()


def shown(running, id_):
    done = ask(running, "jobs", "show", id_, "--json")
    assert done.code == 0, done.err
    return json.loads(done.out)


def ended(running, id_):
    return wait_for(lambda: (job := shown(running, id_))["finished"] and job)


@pytest.mark.parametrize(
    "options",
    [("--async",), ("--priority", "5"), ("--at", "+0"), ("--at", "2020-01-01T00:00")],
)
def test_a_call_that_does_not_wait(running, options):
    id_ = started(running, "shop.orders.place", "book", "count=2", *options)
    job = ended(running, id_)
    assert (job["id"], job["method"]) == (id_, "shop.orders.place")
    assert (job["state"], job["error"]) == ("done", None)
    assert job["queue"] == ("shop.orders" if "--priority" in options else None)


def test_a_call_for_later_is_cancelled(running):
    id_ = started(running, "shop.orders.place", "book", "--at", "+3600")
    assert shown(running, id_)["state"] == "waiting"
    due = dt.datetime.fromisoformat(shown(running, id_)["due"])
    left = due - dt.datetime.now(dt.UTC)
    assert dt.timedelta(minutes=58) < left < dt.timedelta(minutes=61)
    done = ask(running, "jobs", "cancel", id_)
    assert (done.code, done.out) == (0, f"{id_}: cancelled\n")
    assert ask(running, "jobs", "cancel", id_).out == f"{id_}: cancelled already\n"
    assert shown(running, id_)["state"] == "cancelled"


def test_a_call_for_later_is_cancelled_by_the_server(running):
    url = json.loads(ask(running, "status", "--json").out)["url"]
    asked = ("--url", url)
    id_ = started(running, "shop.orders.place", "book", "--at", "+3600", *asked)
    for _ in range(2):
        done = ask(running, "jobs", "cancel", id_, *asked)
        assert (done.code, done.err) == (0, "")
        assert "cancelled" in done.out


def test_a_job_is_shown_in_words(running):
    id_ = started(running, "shop.orders.place", "book", "--async")
    ended(running, id_)
    lines = ask(running, "jobs", "show", id_).out.splitlines()
    assert lines[0].split() == ["id:", id_]
    assert ["state:", "done"] in [line.split() for line in lines]
    assert not any(line.startswith(("error:", "Traceback")) for line in lines)


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(0.2, "0s"), (59, "59s"), (60, "1m"), (7300, "2h"), (86400 * 3.1, "3d")],
)
def test_ages_in_their_largest_unit(seconds, shown):
    assert _span(seconds) == shown


def test_jobs_are_listed_and_filtered(running):
    first = started(running, "shop.orders.place", "book", "--async")
    second = started(running, "shop.orders.fail", "--priority", "1")
    ended(running, first), ended(running, second)

    def listed(*options):
        done = ask(running, "jobs", *options, "--json")
        assert done.code == 0, done.err
        return [job["id"] for job in json.loads(done.out)]

    assert listed()[:2] == [second, first]
    assert listed("--limit", "1") == [second]
    assert second in listed("--state", "failed")
    assert first not in listed("--state", "failed")
    assert first not in listed("--queue", "shop.orders")
    assert second in listed("--queue", "shop.orders")
    assert second in listed("--newer", "1h")
    assert listed("--older", "2d") == []
    lines = ask(running, "jobs", "list").out.splitlines()
    assert lines[0].split() == ["ID", "STATE", "QUEUE", "AGE", "DONE", "METHOD"]
    assert lines[1].split()[:3] == [second, "failed", "shop.orders"]


def test_a_failure_is_shown_with_its_traceback(running):
    id_ = started(running, "shop.orders.fail", "--async")
    ended(running, id_)
    done = ask(running, "jobs", "show", id_)
    assert done.code == 0
    assert "ValueError: no way" in done.out
    assert "Traceback" in done.out
    assert 'raise ValueError("no' in done.out


def test_what_went_wrong_is_retried(running):
    url = json.loads(ask(running, "status", "--json").out)["url"]
    id_ = started(running, "shop.orders.fail", "--async")
    first = ended(running, id_)["attempts"]
    done = ask(running, "jobs", "retry", id_, "--url", url)
    assert (done.code, done.out.startswith(f"{id_}: ")) == (0, True)
    wait_for(
        lambda: (
            (job := ended(running, id_))["attempts"] == first + 1
            and job["state"] == "failed"
        )
    )
    # In the store, too, where the server finds it.
    assert ask(running, "jobs", "retry", id_).out == f"{id_}: waiting\n"
    right = started(running, "shop.orders.place", "book", "--async")
    ended(running, right)
    assert ask(running, "jobs", "retry", right).out == f"{right}: done already\n"
    told = ask(running, "jobs", "retry", right, "--url", url)
    assert told.out == f"{right}: done already\n"


def test_jobs_are_purged(running):
    done = ask(running, "jobs", "purge", "--json")
    assert (done.code, json.loads(done.out)) == (0, {"purged": 0})


def test_the_server_itself_is_asked(running):
    url = json.loads(ask(running, "status", "--json").out)["url"]
    id_ = started(running, "shop.orders.place", "book", "--async", "--url", url)
    done = ask(running, "jobs", "show", id_, "--url", url, "--json")
    assert json.loads(done.out)["id"] == id_
    # An anonymous caller has no jobs: their ids are all that keeps them apart.
    assert json.loads(ask(running, "jobs", "--url", url, "--json").out) == []
    assert ask(running, "jobs", "purge", "--url", url).code == 1


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["show", "nope"], 1, "no such job"),
        (["cancel", "nope"], 1, "no such job"),
        (["retry", "nope"], 1, "no such job"),
        (["show"], 2, "which ID"),
        (["list", "x"], 2, "expected no ID"),
        (["dance"], 2, "dance"),
        (["--older", "soon"], 2, "expected an age"),
        (["--state", "x"], 2, "state"),
    ],
)
def test_wrong_usage(running, words, code, message):
    done = ask(running, "jobs", *words)
    assert (done.code, done.out) == (code, "")
    assert message in done.err


@pytest.mark.parametrize(
    "options",
    [["--async", "--priority", "1"], ["--at", "noon"], ["--at", "+x"]],
)
def test_wrong_ways_to_call(running, options):
    assert ask(running, "call", "shop.orders.place", "x", *options).code == 2


def test_jobs_in_memory_are_the_servers_alone(tmp_path):
    assert ask(tmp_path / "home", "init").code == 0
    settings = tmp_path / "home" / "config" / "toolserver.toml"
    settings.write_text('[jobs]\nengine = "memory"\n')
    done = ask(tmp_path / "home", "jobs")
    assert done.code == 1
    assert "the server alone knows its jobs" in done.err
