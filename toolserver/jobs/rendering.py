"""How results of jobs are answered over HTTP: as the calls would have been."""

from __future__ import annotations

from collections.abc import Callable

from toolserver.calls import Outcome
from toolserver.message import Request, Response

__all__ = ["Rendering"]


class Rendering:
    """Answers with what became of a call.

    Attributes:
        render: Makes the answer; set by who assembles the server.
    """

    render: Callable[[Request, Outcome], Response]
