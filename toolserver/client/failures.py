"""What may go wrong between here and a server; what the server says is in `faults`.

They are none of the errors in `toolserver.errors`: these are told by a server, and a
tool that calls a remote one would tell its own caller of a failure that is not its.
"""

from __future__ import annotations

__all__ = [
    "AnswerError",
    "AnswerTimeout",
    "ConnectionFailed",
    "TransportError",
    "one_line",
]

#: Characters of what others say that are shown.
_SHOWN = 500


def one_line(text: str) -> str:
    """Text of a stranger, so that it can play no tricks with a terminal or a log.

    Args:
        text: The text.

    Returns:
        Its beginning on one line.
    """
    line = " ".join(text[: 10 * _SHOWN].split())
    line = "".join(char if char.isprintable() else "?" for char in line)
    return line if len(line) <= _SHOWN else f"{line[: _SHOWN - 1]}…"


class TransportError(OSError):
    """No answer of a toolserver has arrived.

    Args:
        message: What happened.
        url: What was asked.

    Attributes:
        url: The same; its cause is in ``__cause__``.
    """

    def __init__(self, message: str, *, url: str) -> None:
        super().__init__(f"{url}: {one_line(message)}")
        self.url = url


class ConnectionFailed(TransportError, ConnectionError):
    """There was no connection, or it broke.

    Args:
        message: What happened.
        url: What was asked.
        is_sent: Whether the server may have got the request, and made the call.
    """

    def __init__(self, message: str, *, url: str, is_sent: bool) -> None:
        super().__init__(message, url=url)
        self.is_sent = is_sent


class AnswerTimeout(TransportError, TimeoutError):
    """The answer has not come in time; the call may have been made."""


class AnswerError(TransportError):
    """There was an answer, but none of a toolserver, or not all of it.

    Args:
        message: What was wrong.
        url: What was asked.
        status: The HTTP status of the answer.
    """

    def __init__(self, message: str, *, url: str, status: int) -> None:
        super().__init__(message, url=url)
        self.status = status
