"""What all tests share."""

import contextlib
import gc
import os
import signal
import sys
import threading
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.postgresql import PostgreSQL, Unavailable
from tests.tracing import trace_native_threads

if threading.gettrace() is not None:
    trace_native_threads()

# Nothing of what is imported is garbage, and looking for it takes a fifth of the time.
gc.disable()

# The examples are imported as the server imports them: from their folder. Under another
# name each would register its tools a second time.
sys.path.append(str(Path(__file__).parent.parent / "examples"))

# Where a shell has started the tests in the background, it has them ignore SIGINT, and
# so would all the processes that they start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# A loaded machine is no failure: times are not judged here. Each run tries others.
settings.register_profile(
    "toolserver",
    max_examples=1000 if os.environ.get("TOOLSERVER_LONG") else 50,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("toolserver")


@pytest.fixture(scope="session")
def postgresql():
    """A running PostgreSQL; without one its tests are skipped, but fail under CI."""
    try:
        server = PostgreSQL()
    except Unavailable as error:
        if os.environ.get("CI"):
            pytest.fail(f"no PostgreSQL: {error}")
        pytest.skip(f"no PostgreSQL: {error}")
    with contextlib.closing(server):
        yield server


def pytest_collection_finish(session):
    """Spare the garbage collector what was imported: many tests have it look at all."""
    gc.collect()
    gc.freeze()
    gc.enable()


def pytest_xdist_auto_num_workers():
    """Two processes for each core, as many tests wait for others that they start."""
    return 2 * (os.cpu_count() or 1)
