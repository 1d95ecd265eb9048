"""The tuple space that the tools of one server share, and news told through it.

With several worker processes `toolserver.sharing` puts one of all in its place.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from toolserver.chains import chain
from toolserver.services import services
from toolserver.tuplespace import Space

__all__ = ["Universe", "notify", "universe", "wait"]


class Universe(Space):
    """The space that the tools of one server share."""

    def __init__(self) -> None:
        super().__init__(on_removed=chain("system.tuple.removed", tuple).run)


class _Universe:
    """Stands for the universe of the server that makes the running call."""

    __slots__ = ()

    def __getattr__(self, name: str) -> Any:
        return getattr(services().part(Universe), name)

    def __len__(self) -> int:
        return len(services().part(Universe))

    def __repr__(self) -> str:
        return "<the universe of the running server>"


if TYPE_CHECKING:
    #: The space that the tools of this server share.
    universe: Space
else:
    universe = _Universe()


def notify(topic: str, value: Any = None) -> int:
    """Tell a value to all in this server who wait for a topic just now.

    Args:
        topic: The topic.
        value: The value; with several worker processes a plain one.

    Returns:
        How many have got it, in all processes.
    """
    return services().part(Universe).notify(topic, value)


def wait(topic: str, *, timeout: float | None = None) -> Any:
    """Wait for the next value that is told under a topic from now on.

    Args:
        topic: The topic.
        timeout: Seconds to wait; None for no bound.

    Returns:
        The value.

    Raises:
        NoTuple: None came in time.
        SpaceClosed: The server stops.
    """
    return services().part(Universe).wait(topic, timeout=timeout)
