"""Call and Outcome: what codecs make out of bytes and bytes out of."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from toolserver.errors import Signal, ToolserverError
from toolserver.plain import to_plain

__all__ = ["Arguments", "Call", "Outcome"]

#: Positional and named arguments.
Arguments = tuple[Sequence[Any], Mapping[str, Any]]


class Call(msgspec.Struct, eq=False):
    """One call as a codec reads it.

    Attributes:
        name: Full name of the method, ``"shop.orders.place"``.
        args: Positional arguments, plain values.
        kwargs: Named arguments, plain values.
        id: What the protocol uses to tell answers apart; the codec's own.
        notify: Whether the caller wants no answer.
        lax: Whether text may stand for other types, as in a query string.
        error: What the codec found wrong with this call; it is not made, and the
            error becomes its outcome.
        read: Reads the arguments when they are due, where that is not done yet.
    """

    name: str
    args: Sequence[Any] = ()
    kwargs: Mapping[str, Any] = {}
    id: Any = None
    notify: bool = False
    lax: bool = False
    error: ToolserverError | None = None
    read: Callable[[], Arguments] | None = None


class Outcome(msgspec.Struct, eq=False):
    """What became of a call.

    Attributes:
        call: The call.
        value: What the method returned; None after a failure.
        error: The failure, or None after a success.
        signal: A redirect or the like that the method raised as its answer; only
            for REST, elsewhere it is an error.
        judge: Tells what the caller learns of an exception that comes of reading the
            value, as its classes are the tool's own; None where nobody does.
    """

    call: Call
    value: Any = None
    error: ToolserverError | None = None
    signal: Signal | None = None
    judge: Callable[[Call, BaseException], ToolserverError] | None = None

    def fail(self, error: BaseException) -> ToolserverError:
        """Make it a failure after all, as the value cannot be sent.

        Args:
            error: What came of trying to.

        Returns:
            What the caller learns of it.

        Raises:
            BaseException: The very error, where nobody can judge it.
        """
        if self.judge is not None:
            self.error = self.judge(self.call, error)
        elif isinstance(error, ToolserverError):
            self.error = error
        else:
            raise error
        self.value = None
        return self.error

    @property
    def plain(self) -> Any:
        """The value made of plain parts only.

        These are None, bool, int, float, str, bytes, Decimal, datetime, date, time,
        list and dict with str keys; whatever else the value holds becomes one of
        them, as `toolserver.plain.to_plain` tells.

        Raises:
            ApplicationError: Some part of the value has no plain form.
            BaseException: Whatever a class of the tool raised when it was read.
        """
        return to_plain(self.value)
