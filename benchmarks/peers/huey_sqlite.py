"""huey on SQLite: queued calls per second, each after the one before.

First as it runs them: a consumer with one thread makes the calls, who started them
waits. Both ask the file again after a millisecond, instead of a tenth of a second and
more. Then without a consumer: each call is taken from the queue and made by who has put
it there, which is what the file alone costs.

As with our default, nothing waits for the disk: what was accepted outlives the process.
"""

import json
import logging
import sys
import tempfile
import time
from pathlib import Path

from huey import SqliteHuey

PAUSE = 0.001

logging.disable()
count = int(sys.argv[1])
with tempfile.TemporaryDirectory() as folder:
    huey = SqliteHuey("bench", filename=str(Path(folder) / "huey.db"), fsync=False)

    @huey.task()
    def nothing(number: int) -> int:
        return number

    def consumed(count: int) -> float:
        begin = time.perf_counter()
        for number in range(count):
            result = nothing(number)
            assert result.get(blocking=True, backoff=1.0, max_delay=PAUSE) == number
        return count / (time.perf_counter() - begin)

    def in_line(count: int) -> float:
        begin = time.perf_counter()
        for number in range(count):
            result = nothing(number)
            huey.execute(huey.dequeue())
            assert result.get() == number
        return count / (time.perf_counter() - begin)

    in_line(50)  # warms up
    rates = [in_line(count)]
    consumer = huey.create_consumer(
        periodic=False, initial_delay=PAUSE, max_delay=PAUSE, backoff=1.0
    )
    consumer.start()
    consumed(50)
    rates.insert(0, consumed(count))
    consumer.stop(graceful=True)
print(json.dumps(rates))
