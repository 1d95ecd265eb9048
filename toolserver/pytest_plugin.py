"""For tests that run a server: ``pytest -p toolserver.pytest_plugin``.

It patches the process for gevent before anything else is imported. Because that
changes the whole process, it is used only where it is asked for. Workers of
pytest-xdist are patched, too.

Tests have the fixture `serve_tools`.
"""

# isort: off
from gevent import monkey

monkey.patch_all()
# isort: on

from collections.abc import Callable, Iterator  # noqa: E402
from contextlib import ExitStack  # noqa: E402
from typing import TYPE_CHECKING, Any  # noqa: E402

import pytest  # noqa: E402

if TYPE_CHECKING:
    from toolserver.testing import TestServer

__all__ = ["pytest_sessionstart", "serve_tools"]


@pytest.fixture
def serve_tools() -> Iterator[Callable[..., "TestServer"]]:
    """Starts servers that end with the test.

    Yields:
        A function that starts one; it takes what `toolserver.testing.serve` takes.
    """
    # Else all that a server consists of would be imported before plugins that look at
    # what is imported, as those that measure coverage.
    from toolserver.testing import serve

    with ExitStack() as stack:
        yield lambda *classes, **options: stack.enter_context(
            serve(*classes, **options)
        )


def pytest_sessionstart(session: Any) -> None:
    """Let a worker of pytest-xdist get the names of its tests.

    They come from a native thread that was started before the process was patched.
    Between it and the tests xdist puts a queue with locks that are gevent's by then:
    a loop in which nothing else is waited for knows of nobody who could release them,
    and fails with ``LoopExit``. Native threads share a native queue.
    """
    if hasattr(session.config, "workerinput"):
        for plugin in session.config.pluginmanager.get_plugins():
            if hasattr(plugin, "torun"):
                plugin.torun = monkey.get_original("queue", "SimpleQueue")()
