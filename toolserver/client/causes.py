"""Finds out what has happened, from errors that are wrapped in errors of libraries."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from http.client import IncompleteRead, RemoteDisconnected
from typing import Any

import requests
from urllib3.exceptions import ConnectTimeoutError, NewConnectionError

__all__ = ["explain", "was_sent"]

#: Errors that tell what happened, whatever else was made of them.
_TELLING = (ssl.SSLError, socket.gaierror, ConnectionError, IncompleteRead)


def explain(error: BaseException) -> str | None:
    """Say in a few words why there is no answer.

    Args:
        error: What the library raised.

    Returns:
        The words, which may be a stranger's in part; None if time has run out.
    """
    cause = _cause_of(error)
    match cause:
        case ConnectionRefusedError():
            return "no server answers there"
        case ssl.SSLCertVerificationError():
            return f"TLS: {cause.verify_message or cause}"
        case ssl.SSLError():
            return f"TLS: {cause.reason or cause}"
        case socket.gaierror():
            return f"the host is not known: {cause.strerror}"
        case IncompleteRead():
            return "the answer broke off"
        case RemoteDisconnected():
            return "the server closed the connection without an answer"
    if isinstance(cause, TimeoutError) or isinstance(error, requests.Timeout):
        return None
    reason = getattr(cause, "strerror", None) or str(cause)
    return f"{type(cause).__name__}: {reason}"


def _chain(error: BaseException) -> Iterator[BaseException]:
    """An error, and what it says has caused it, down to the first cause."""
    pending: list[Any] = [error]
    seen: set[int] = set()
    while pending:
        found = pending.pop()
        if isinstance(found, BaseException) and id(found) not in seen:
            seen.add(id(found))
            yield found
            pending += [found.__context__, found.__cause__]
            pending += [getattr(found, "reason", None), *found.args]


def _cause_of(error: BaseException) -> BaseException:
    """The error of the system that is behind one of requests."""
    chain = list(_chain(error))
    for found in chain:
        if isinstance(found, _TELLING):
            return found
    for found in chain:
        if isinstance(found, OSError) and not isinstance(
            found, requests.RequestException
        ):
            return found
    return chain[-1]


def was_sent(error: BaseException) -> bool:
    """Whether something of a request may have got to the server.

    Args:
        error: What the library raised.
    """
    early = (NewConnectionError, ConnectTimeoutError, ssl.SSLError)
    return not any(isinstance(found, early) for found in _chain(error))
