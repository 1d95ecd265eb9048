"""Jobs of several processes that are killed, stopped, and held up.

``TOOLSERVER_LONG=1`` lets the random ones go on for minutes.
"""

import os
import random
import signal
import subprocess
import time
from contextlib import suppress
from functools import partial

import gevent
import pytest
import requests

from tests.processes.journal import JOBS, Journal, jobs_of
from tests.processes.servers import server, wait_for

LONG = bool(os.environ.get("TOOLSERVER_LONG"))
QUICK = "[server]\nstop_timeout = 5.0\n[jobs]\nlease_timeout = 1\nmax_attempts = 1000\n"
DONE, LOST = 2, 5


def all_in(home, state, ids=None):
    found = jobs_of(home)
    return all(found[id_].state == state for id_ in ids or found)


def test_order_holds_over_clients_and_workers(tmp_path):
    count = 500 if LONG else 40
    # With leases of a second a busy machine would have workers ended.
    with server(tmp_path / "home", workers=3, tools=JOBS) as found:
        accepted = {}

        def enqueue(client):
            dice = random.Random(client)
            for number in range(count):
                tool, name = dice.choice(("one", "two")), f"{client}-{number}"
                answered = found.call(
                    f"{tool}.queue",
                    name=name,
                    priority=dice.randint(0, 3),
                    seconds=dice.random() * 0.02,
                )
                accepted[answered] = (name, time.monotonic())

        clients = [gevent.spawn(enqueue, number) for number in range(4)]
        gevent.joinall(clients, raise_error=True)
        wait_for(lambda: all_in(found.home, DONE), 60)
        journal, jobs = Journal.of(found.home), jobs_of(found.home)

    assert len(accepted) == 4 * count
    assert jobs.keys() == accepted.keys()
    assert {job.attempts for job in jobs.values()} == {1}
    names = {name: id_ for id_, (name, _) in accepted.items()}
    assert sorted(call.name for call in journal.calls) == sorted(names)
    assert len({call.pid for call in journal.calls}) > 1
    journal.assert_one_at_a_time()
    for calls in journal.by_queue().values():
        begun = [jobs[names[call.name]] for call in calls]
        told = [accepted[names[call.name]][1] for call in calls]
        for place, job in enumerate(begun):
            for later in range(place + 1, len(begun)):
                other = begun[later]
                # It was accepted before the claim, so the claim has to have seen it.
                if told[later] < job.started:
                    assert (other.priority, -other.number) < (
                        job.priority,
                        -job.number,
                    )


def test_whatever_is_killed_all_jobs_end_and_none_runs_beside_itself(tmp_path):
    dice = random.Random(2 if not LONG else None)
    rounds = 60 if LONG else 3
    killed, accepted = {}, set()
    with server(tmp_path / "home", workers=3, settings=QUICK, tools=JOBS) as found:

        def enqueue(number):
            tool = dice.choice(("one", "two"))
            # Of one that is not answered nobody knows whether it was accepted.
            with suppress(requests.RequestException, AssertionError):
                accepted.add(
                    found.call(
                        f"{tool}.queue",
                        name=f"n{number}",
                        priority=number % 3,
                        seconds=dice.random() * 0.05,
                    )
                )

        def kill(pid):
            killed[pid] = time.monotonic()
            os.kill(pid, signal.SIGKILL)

        for round_ in range(rounds):
            for number in range(20):
                enqueue(20 * round_ + number)
            gevent.sleep(dice.random() * 0.3)
            workers, master = found.workers, found.pid
            what = ("worker", "master", "tree")[round_ % 3]
            if what == "worker":
                victim = dice.choice(workers)
                kill(victim)
                wait_for(lambda gone=victim: gone not in found.workers)
                wait_for(lambda: len(found.workers) == 3)
                continue
            if what == "tree":
                for pid in (master, *workers):
                    kill(pid)
            else:
                kill(master)
            wait_for(lambda: found.tsctl("start", "--workers", "3").returncode == 0)
        wait_for(lambda: all_in(found.home, DONE), 60)
        journal, jobs = Journal.of(found.home), jobs_of(found.home)
    assert accepted <= jobs.keys()
    assert len(accepted) > 10 * rounds
    journal.assert_one_at_a_time(killed)
    ends = [call.name for call in journal.calls if call.end is not None]
    assert len(set(ends)) == len(jobs)


def test_what_kills_its_process_is_lost_at_last(tmp_path):
    settings = QUICK.replace("1000", "2")
    with server(tmp_path / "home", workers=2, settings=settings, tools=JOBS) as found:
        bad = found.call("one.queue", name="bad", method="die")
        good = [found.call("one.queue", name=f"good{n}") for n in range(3)]
        wait_for(lambda: all_in(found.home, LOST, [bad]), 30)
        wait_for(lambda: all_in(found.home, DONE, good), 30)
        assert jobs_of(found.home)[bad].attempts == 2
        assert [call.name for call in Journal.of(found.home).calls] == [
            *("bad", "bad", "good0", "good1", "good2")
        ]
        answer = requests.get(f"{found.url}/jobs/{bad}", timeout=10).json()
        assert (answer["state"], answer["attempts"]) == ("lost", 2)


def test_a_stopped_worker_is_ended_before_others_get_its_jobs(tmp_path):
    with server(tmp_path / "home", workers=3, settings=QUICK, tools=JOBS) as found:
        ids = [found.call("one.queue", name="first", seconds=0.5)]
        wait_for(lambda: Journal.of(found.home).calls)
        ids += [found.call("one.queue", name=f"n{number}") for number in range(5)]
        victim = Journal.of(found.home).calls[0].pid
        os.kill(victim, signal.SIGSTOP)
        wait_for(lambda: victim not in found.workers)
        # Nothing is left that could go on.
        with pytest.raises(ProcessLookupError):
            os.kill(victim, signal.SIGCONT)
        wait_for(lambda: all_in(found.home, DONE, ids))
        calls = Journal.of(found.home).calls
        assert "shows no life: it was ended" in found.log
    names = ["first", "first", *(f"n{number}" for number in range(5))]
    assert [call.name for call in calls] == names
    assert calls[0].end is None
    assert victim not in {call.pid for call in calls[1:]}


def test_who_were_all_stopped_do_not_end_each_other(tmp_path):
    with server(tmp_path / "home", workers=3, settings=QUICK, tools=JOBS) as found:
        workers = found.workers
        ids = [found.call("one.queue", name="held", seconds=0.3)]
        wait_for(lambda: Journal.of(found.home).calls)
        for pid in workers:
            os.kill(pid, signal.SIGSTOP)
        gevent.sleep(1.5)
        for pid in workers:
            os.kill(pid, signal.SIGCONT)
        wait_for(lambda: all_in(found.home, DONE, ids))
        gevent.sleep(1.0)
        assert found.workers == workers
        assert len(Journal.of(found.home).calls) == 1


def test_a_server_that_was_stopped_goes_on_with_its_own(tmp_path):
    with server(tmp_path / "home", workers=1, settings=QUICK, tools=JOBS) as found:
        pid = found.pid
        ids = [found.call("one.queue", name=f"n{n}", seconds=0.3) for n in range(2)]
        wait_for(lambda: Journal.of(found.home).calls)
        os.kill(pid, signal.SIGSTOP)
        gevent.sleep(1.5)
        os.kill(pid, signal.SIGCONT)
        wait_for(lambda: all_in(found.home, DONE, ids))
        calls = Journal.of(found.home).calls
        assert [(call.name, call.pid) for call in calls] == [("n0", pid), ("n1", pid)]


def test_a_call_that_holds_up_its_process_keeps_its_jobs(tmp_path):
    with server(tmp_path / "home", workers=2, settings=QUICK, tools=JOBS) as found:
        workers = found.workers
        id_ = found.call("one.queue", name="busy", seconds=2.0, method="hold_up")
        other = found.call("one.queue", name="after")
        wait_for(lambda: all_in(found.home, DONE, [id_, other]), 20)
        journal = Journal.of(found.home)
        journal.assert_one_at_a_time()
        assert [call.name for call in journal.calls] == ["busy", "after"]
        assert found.workers == workers


@pytest.fixture
def small_disk(tmp_path):
    """A file system of a few MiB, where the machine lets us have one."""
    folder = tmp_path / "home" / "var"
    folder.mkdir(parents=True)
    mounting = ["mount", "-t", "tmpfs", "-o", "size=4m", "toolserver-tests", folder]
    if subprocess.run(mounting, capture_output=True).returncode:
        pytest.skip("no file system can be mounted")
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)


def test_a_full_disk_loses_nothing_that_was_accepted(small_disk):
    with server(small_disk.parent, workers=2, settings=QUICK, tools=JOBS) as found:
        workers = found.workers
        running = found.call("one.queue", name="running", seconds=1.0)
        ids = [running, found.call("one.queue", name="next")]
        wait_for(lambda: Journal.of(found.home).calls)
        filler = small_disk / "filler"
        with suppress(OSError), filler.open("wb", buffering=0) as file:
            while True:
                file.write(bytes(4096))
        statuses = []
        for number in range(30):
            url, name = f"{found.url}/one/queue", f"{number}" + 2000 * "x"
            answer = requests.post(url, json={"name": name}, timeout=30)
            statuses.append(answer.status_code)
            if answer.ok:
                ids.append(answer.text)
        assert set(statuses) <= {200, 503}
        assert statuses[-1] == 503
        # Longer than a lease: nobody is to blame that it could not be renewed.
        gevent.sleep(1.5)
        filler.unlink()
        wait_for(lambda: all_in(found.home, DONE))
        assert jobs_of(found.home).keys() == set(ids)
        journal = Journal.of(found.home)
        journal.assert_one_at_a_time()
        assert len(journal.calls) == len(ids)
        assert found.workers == workers


def test_any_worker_tells_of_jobs_and_ends_them_at_once(tmp_path):
    with server(tmp_path / "home", workers=3, settings=QUICK, tools=JOBS) as found:
        sessions = {}

        def every_worker():
            session = requests.Session()
            pid = session.post(f"{found.url}/one/pid", timeout=5).json()
            sessions.setdefault(pid, session)
            return len(sessions) == 3

        wait_for(every_worker)

        def has_begun(session, url):
            return session.get(url, timeout=5).json()["fraction"]

        took = []
        for _ in range(2):
            id_ = found.call("one.queue", name="wait", method="wait")
            url = f"{found.url}/jobs/{id_}"
            for session in sessions.values():
                wait_for(partial(has_begun, session, url))
            runner = Journal.of(found.home).calls[-1].pid
            other = next(sessions[pid] for pid in sessions if pid != runner)
            waiting = [
                gevent.spawn(session.get, f"{url}?wait=20", timeout=30)
                for session in (requests.Session() for _ in range(4))
            ]
            gevent.sleep(0.1)
            begin = time.monotonic()
            assert other.delete(url, timeout=5).ok
            told = [each.get(timeout=10).json()["state"] for each in waiting]
            assert told == ["cancelled"] * 4
            took.append(time.monotonic() - begin)
        # Far below the second after which they would look by themselves.
        assert min(took) < 0.6
        took.clear()
        for number in range(3):
            id_ = found.call("one.queue", name=f"r{number}", seconds=0.3)
            session = list(sessions.values())[number % 3]
            begin = time.monotonic()
            answer = session.get(f"{found.url}/jobs/{id_}/result?wait=20", timeout=30)
            assert answer.text == f"r{number}"
            took.append(time.monotonic() - begin)
        assert min(took) < 0.9


def test_who_follows_a_job_is_let_go_when_workers_stop(tmp_path):
    settings = QUICK.replace("stop_timeout = 5.0", "stop_timeout = 2.0")
    with server(tmp_path / "home", workers=2, settings=settings, tools=JOBS) as found:
        id_ = found.call("one.queue", name="wait", method="wait")
        url = f"{found.url}/jobs/{id_}"
        streams = [
            requests.get(
                url,
                headers={"Accept": "text/event-stream"},
                stream=True,
                timeout=20,
            )
            for _ in range(12)
        ]
        waiting = [
            gevent.spawn(requests.get, f"{url}?wait=50", timeout=60) for _ in range(12)
        ]
        gevent.sleep(0.3)
        begin = time.monotonic()
        stopping = gevent.spawn(found.tsctl, "stop")
        for stream in streams:
            assert b"event: stopping" in stream.content
        for each in waiting:
            assert each.get(timeout=10).json()["state"] == "running"
        # Not after the 50 seconds, and `tsctl` takes a part of it to start.
        assert time.monotonic() - begin < 15
        stopping.get()
        # The job runs again at the next start, and was not lost.
        assert jobs_of(found.home)[id_].state == 0
