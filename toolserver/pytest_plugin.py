"""For tests that run a server: ``pytest -p toolserver.pytest_plugin``.

It patches the process for gevent before anything else is imported. Because that
changes the whole process, it is used only where it is asked for. Workers of
pytest-xdist are patched, too.
"""

from typing import Any

from gevent import monkey

monkey.patch_all()


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
