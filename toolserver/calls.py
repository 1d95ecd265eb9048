"""Call and Outcome, and the one door through which every call goes."""

from __future__ import annotations

from typing import Any

import msgspec

from toolserver.errors import ToolserverError

__all__ = ["Call", "Outcome"]


class Call(msgspec.Struct, eq=False):
    """One call as a codec reads it.

    Attributes:
        name: Full name of the method, ``"shop.orders.place"``.
        args: Positional arguments, plain values.
        kwargs: Named arguments, plain values.
        id: What the protocol uses to tell answers apart; the codec's own.
        notify: Whether the caller wants no answer.
        lax: Whether text may stand for other types, as in a query string.
    """

    name: str
    args: tuple[Any, ...] | list[Any] = ()
    kwargs: dict[str, Any] = {}
    id: Any = msgspec.field(default=None, name="id")
    notify: bool = False
    lax: bool = False


class Outcome(msgspec.Struct, eq=False):
    """What became of a call.

    Attributes:
        call: The call.
        value: What the method returned; None after a failure.
        error: The failure, or None after a success.
    """

    call: Call
    value: Any = None
    error: ToolserverError | None = None

    @property
    def plain(self) -> Any:
        """The value made of plain parts only.

        These are None, bool, int, float, str, bytes, Decimal, datetime, date, time,
        list and dict with str keys; whatever else the value holds becomes one of
        them the way JSON would have it.
        """
        return msgspec.to_builtins(self.value)
