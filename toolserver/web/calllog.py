"""The log of decoded RPC calls, without what is secret in them.

Values are told by their names: those of parameters, of members of records and of keys.
What has no name that is known is not shown.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from typing import Any

from toolserver.calls import Call, Outcome
from toolserver.entries import Target
from toolserver.plain import MAX_DEPTH, to_plain

__all__ = ["log_call"]

log = logging.getLogger("toolserver.rpc")

#: Names of what is never logged.
_SECRET = re.compile(r"pass|pw|secret|token|key|auth|credential|pin\b", re.IGNORECASE)
_MASK = "***"
_SHOWN = 1024
#: Calls of these hold other calls, whose arguments have no names there.
_OF_CALLS = ("system.", "rpc.")


def log_call(call: Call, target: Target | None, outcome: Outcome) -> None:
    """Log a call and what has become of it.

    Args:
        call: The call.
        target: What it led to; None where that is not known.
        outcome: What has become of it.
    """
    log.info(
        "%s(%s) -> %s",
        call.name,
        ", ".join(_arguments(call, target))[:_SHOWN],
        _result(call, outcome)[:_SHOWN],
    )


def _arguments(call: Call, target: Target | None) -> Iterator[str]:
    if call.name.startswith(_OF_CALLS):
        target = None
    names = [] if target is None else [each.name for each in target.spec.parameters]
    for place, value in enumerate(call.args):
        yield _shown(names[place], value) if place < len(names) else _MASK
    for name, value in call.kwargs.items():
        is_known = target is not None
        yield f"{name}={_shown(name, value) if is_known else _MASK}"


def _result(call: Call, outcome: Outcome) -> str:
    if outcome.error is not None:
        try:
            text = repr(outcome.error)
        except BaseException:  # its class may be a tool's own
            text = ""
        # What a message says of an argument may have its value.
        is_plain = text and not _SECRET.search(text)
        return text if is_plain else f"{type(outcome.error).__name__}({_MASK})"
    if call.name.startswith(_OF_CALLS):
        return _MASK
    return _shown(call.name, outcome.value)


def _shown(name: str, value: Any) -> str:
    """A value of a name as it is logged."""
    if _SECRET.search(name):
        return _MASK
    if not _holds_iterator(value):
        try:
            return repr(_masked(to_plain(value)))
        except BaseException:  # not what can be sent; its class may be a tool's own
            return f"<{type(value).__name__}>"
    # Nothing would be left of it to be sent.
    return f"<{type(value).__name__}>"


def _holds_iterator(value: Any, depth: int = MAX_DEPTH) -> bool:
    """Whether reading a value may use some of it up."""
    parts: Iterator[Any]
    # As the built-in classes do it: a tool's own might do anything.
    if isinstance(value, dict):
        parts = iter(dict.values(value))
    elif isinstance(value, list):
        parts = list.__iter__(value)
    elif isinstance(value, tuple):
        parts = tuple.__iter__(value)
    else:
        return isinstance(value, Iterator)
    return depth == 0 or any(_holds_iterator(part, depth - 1) for part in parts)


def _masked(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            key: _MASK if _SECRET.search(key) else _masked(each)
            for key, each in value.items()
        }
    if isinstance(value, list):
        return [_masked(each) for each in value]
    return value
