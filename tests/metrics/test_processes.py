"""The counts of several worker processes."""

from tests.metrics.reading import scrape
from tests.processes.servers import server, wait_for

SETTINGS = "[server]\nstop_timeout = 5.0\n[ops]\nmetrics = true\n"


def total(url):
    return scrape(url).sum("toolserver_calls_total", method="pid", outcome="ok")


def test_no_call_is_lost_when_a_worker_is_killed_or_replaced(tmp_path):
    with server(tmp_path / "home", workers=2, settings=SETTINGS) as running:
        by = {}
        # Until both have something to lose.
        while len(by) < 2 or min(by.values()) < 5:
            pid = running.call("demo.pid")
            by[pid] = by.get(pid, 0) + 1
        made = sum(by.values())
        victim = running.workers[0]
        # Not even the last calls before its death.
        running.kill(victim)
        wait_for(lambda: victim not in running.workers and len(running.workers) == 2)
        assert [total(running.url) for _ in range(4)] == [made] * 4
        for _ in range(10):
            running.call("demo.pid")
        made += 10
        assert total(running.url) == made
        running.tsctl("reload")
        wait_for(lambda: total(running.url) == made)
        samples = scrape(running.url)
        workers = samples.all("toolserver_memory_bytes")
        assert {each.labels["worker"] for each in workers} == {"0", "1"}
        wait_for(lambda: len(running.workers) == 2)
