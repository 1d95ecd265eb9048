"""The tool that starts jobs for the benchmarks, and times them."""

import random
import time

import gevent

from toolserver import StandardTool, limit, register


@register("background")
class Background(StandardTool):
    def __init__(self) -> None:
        self.late: list[float] = []

    def nothing(self, number: int) -> int:
        return number

    def due(self, when: float) -> None:
        self.late.append(time.time() - when)

    @limit(timeout=0)
    def spawned(self, count: int) -> float:
        """Calls per second that begin at once, and whose results nobody wants."""
        begin = time.perf_counter()
        jobs = self.jobs(keep_result=False)
        for number in range(count):
            jobs.spawn(self.nothing, number)
        # They end in their order, as none of them waits for anything.
        jobs.spawn(self.nothing, count).result()
        return count / (time.perf_counter() - begin)

    @limit(timeout=0)
    def spawned_one_by_one(self, count: int) -> float:
        """Calls per second that begin at once, each after the one before."""
        begin = time.perf_counter()
        for number in range(count):
            assert self.spawn(self.nothing, number).result() == number
        return count / (time.perf_counter() - begin)

    @limit(timeout=0)
    def queued_one_by_one(self, count: int) -> float:
        """Calls per second through the queue, each after the one before."""
        begin = time.perf_counter()
        for number in range(count):
            assert self.enqueue(0, self.nothing, number).result() == number
        return count / (time.perf_counter() - begin)

    @limit(timeout=0)
    def timers(self, count: int, seconds: float, ahead: float) -> list[float]:
        """By how many seconds calls are late that are due at random moments.

        Args:
            count: How many calls.
            seconds: The time in which they are due.
            ahead: Seconds before that, in which they are asked for.
        """
        self.late.clear()
        begin = time.time() + ahead
        for number in range(count):
            when = begin + random.random() * seconds
            self.schedule(when, self.due, when)
            if number % 100 == 0:
                gevent.sleep(0)
        assert time.time() < begin
        while len(self.late) < count:
            gevent.sleep(0.1)
        return sorted(self.late)[:: max(1, count // 1000)]
