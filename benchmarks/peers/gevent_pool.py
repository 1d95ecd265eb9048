"""gevent's pool: calls per second, all at once and one by one."""

import json
import sys
import time

from gevent.pool import Pool


def nothing(number: int) -> int:
    return number


def spawned(count: int) -> float:
    pool = Pool(200)
    begin = time.perf_counter()
    for number in range(count):
        pool.spawn(nothing, number)
    pool.join()
    return count / (time.perf_counter() - begin)


def spawned_one_by_one(count: int) -> float:
    pool = Pool(200)
    begin = time.perf_counter()
    for number in range(count):
        assert pool.spawn(nothing, number).get() == number
    return count / (time.perf_counter() - begin)


count = int(sys.argv[1])
spawned(count // 4), spawned_one_by_one(count // 4)  # warms up
print(json.dumps([spawned(count), spawned_one_by_one(count)]))
