"""What can be told of exceptions of tools, whatever their classes do when asked."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable
from typing import Any

from toolserver.errors import ToolserverError
from toolserver.plain import to_plain

__all__ = ["LENGTH", "is_tellable", "place_of", "text_of"]

log = logging.getLogger("toolserver.calls")

#: Characters of the text of an exception that callers and logs are told.
LENGTH = 16 * 1024
_INT32 = range(-(2**31), 2**31)
#: RFC 9110, section 15: what tells of a failure.
_FAILURES = range(400, 600)


def text_of(error: BaseException) -> str:
    """The text of an exception.

    Args:
        error: The exception. Its class is a tool's own: asked for a text it may raise
            anything, also what would end the process, or never come to an end.

    Returns:
        At most 16 KiB of the text; empty where there is none.
    """
    try:
        text = str(error)
    except BaseException:
        return ""
    if len(text) <= LENGTH:
        return text
    return f"{text[:LENGTH]}... ({len(text)} characters)"


def place_of(function: Callable[..., Any]) -> str:
    """Where a method is defined, to be put behind its name; empty where it is unknown.

    Args:
        function: The method.
    """
    code = getattr(inspect.unwrap(function), "__code__", None)
    return "" if code is None else f" ({code.co_filename}:{code.co_firstlineno})"


def is_tellable(error: ToolserverError, name: str) -> bool:
    """Whether an error can be told as it is; what cannot be is logged.

    Args:
        error: The error; its class may be a tool's own. Facts that come with it and
            have no plain form are taken off.
        name: The full name of the method that raised it.
    """
    flaw = _flaw_of(error)
    if not flaw and error.data is not None:
        try:
            to_plain(error.data)
        except BaseException as raised:  # also by a tool's own classes
            flaw = f"data: {text_of(raised)}"
            error.data = None
    if flaw:
        log.error("%s: %s cannot be told: %s", name, type(error).__name__, flaw)
    return not flaw or flaw.startswith("data: ")


def _flaw_of(error: ToolserverError) -> str:
    try:
        code, status, message, _ = error.code, error.status, error.message, error.data
    except BaseException as raised:
        return f"asked for it, it raised {type(raised).__name__}: {text_of(raised)}"
    if not _is_in(code, _INT32):
        return f"code: got {_shown(code)}, expected an integer of 32 bits"
    if not _is_in(status, _FAILURES):
        return f"status: got {_shown(status)}, expected an integer from 400 to 599"
    if not isinstance(message, str):
        return f"message: got {type(message).__name__}, expected str"
    return ""


def _shown(value: object) -> str:
    return repr(value) if type(value) in (int, str) else type(value).__name__


def _is_in(value: object, numbers: range) -> bool:
    return (
        isinstance(value, int) and not isinstance(value, bool) and int(value) in numbers
    )
