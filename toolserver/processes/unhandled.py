"""What nobody catches: it belongs into the log, and ends no process.

A tool may start greenlets and threads of its own, and its objects may fail as they are
thrown away. Where nothing is done, Python and gevent write to standard error, and
gevent ends the process when a greenlet raises `SystemExit`.
"""

from __future__ import annotations

import logging
import sys
import threading
from typing import Any

import gevent

__all__ = ["log_unhandled"]

log = logging.getLogger("toolserver.serve")


def log_unhandled() -> None:
    """Log what ends greenlets and threads, and what comes of finalizers."""
    hub = gevent.get_hub()
    hub.print_exception = _of_greenlet  # type: ignore[assignment, method-assign]  # gevent has no other way
    # Signals are handled in the loop and raise nothing: whatever raises `SystemExit` or
    # `KeyboardInterrupt` is a tool's own, and nobody has asked to end the server.
    hub.SYSTEM_ERROR = ()
    hub.NOT_ERROR = (gevent.GreenletExit,)
    hub.handle_system_error = _of_loop  # type: ignore[assignment, method-assign]  # as above
    threading.excepthook = _of_thread
    sys.unraisablehook = _of_finalizer


def _of_greenlet(context: object, kind: Any, value: Any, trace: Any) -> None:
    log.error("unhandled in %s", _shown(context), exc_info=(kind, value, trace))


def _of_loop(kind: Any, value: Any, trace: Any = None) -> None:
    found = trace or getattr(value, "__traceback__", None)
    log.error("would have ended the process", exc_info=(kind, value, found))


def _of_thread(unhandled: Any) -> None:
    kind, value, trace, thread = unhandled
    log.error("unhandled in %s", _shown(thread), exc_info=(kind, value, trace))


def _of_finalizer(unhandled: Any) -> None:
    what = unhandled.err_msg or "ignored in"
    log.error(
        "%s %s",
        *(what, _shown(unhandled.object)),
        exc_info=(unhandled.exc_type, unhandled.exc_value, unhandled.exc_traceback),
    )


def _shown(thing: object) -> str:
    try:
        return repr(thing)
    except BaseException:  # its class may be a tool's own
        return f"a {type(thing).__name__}"
