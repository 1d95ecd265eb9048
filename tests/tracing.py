"""What tests do where coverage measures them.

It sees no native threads: it is told of those that `threading` starts. What the server
runs beside its loop is started by the function of the interpreter, which knows nothing
of tracing.
"""

from __future__ import annotations

import os
import sys
import threading
from typing import Any

from gevent import monkey

__all__ = ["IS_MEASURED", "UNMEASURED", "trace_native_threads"]

#: Whether coverage measures: then all processes load it before anything else.
IS_MEASURED = "COVERAGE_PROCESS_CONFIG" in os.environ

#: Before the command of a process that is not measured, as that imports gevent. Not by
#: the mapping of its environment: coverage adds to it when the process is executed.
UNMEASURED = ("env", "-u", "COVERAGE_PROCESS_CONFIG")


def trace_native_threads() -> None:
    """Have the threads that are started from now on traced as all others are.

    Modules keep the interpreter's function as they are imported: this comes before.
    """
    start: Any = monkey.get_original("_thread", "start_new_thread")
    monkey.saved["_thread"]["start_new_thread"] = lambda function, *arguments: start(
        _traced, (function, *arguments)
    )


def _traced(function: Any, args: Any, kwargs: Any = None) -> None:
    sys.settrace(threading.gettrace())
    function(*args, **(kwargs or {}))
