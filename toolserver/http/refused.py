"""The one error for requests that HTTP's rules or a limit forbid."""

from __future__ import annotations

from toolserver.errors import InvalidRequest

__all__ = ["BodyRefused", "Refused"]


class Refused(InvalidRequest):
    """A request that is answered by the server itself, with the given status.

    The connection is closed after the answer, as nobody knows where the next
    request would begin.

    Args:
        status: HTTP status that tells what was wrong.
        message: What was wrong; never contains what the client sent.
    """

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status  # type: ignore[misc]  # one class for every status


class BodyRefused(Refused, OSError):
    """A body that passes a limit, stalls, breaks off or is malformed.

    It meets the handler where that reads the body. An `OSError`, too, since this is
    what code that reads from any file is prepared for.
    """
