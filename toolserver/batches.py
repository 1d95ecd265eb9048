"""Several calls in one request: how many there may be, and who gets a turn meanwhile.

A batch may hold multicalls, and each of those further calls. They draw on one account,
which is kept in the context, so that nesting does not multiply what one request costs.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TypeVar

from toolserver.contexts import Var
from toolserver.errors import InvalidRequest
from toolserver.turns import Turns

__all__ = ["claim_calls", "in_turns", "is_batch"]

T = TypeVar("T")


class _Account:
    """How many calls a request has asked for.

    Attributes:
        count: That many.
    """

    __slots__ = ("count",)

    def __init__(self) -> None:
        self.count = 0


# Calls inside see the account itself, so that what they draw is drawn for all.
_account: Var[_Account] = Var("calls of a request", default_factory=_Account)


def claim_calls(count: int, most: int, what: str) -> None:
    """Note that the running request asks for calls.

    Args:
        count: How many calls it asks for now.
        most: How many it may ask for altogether.
        what: What holds the calls, for the error message.

    Raises:
        InvalidRequest: They would be too many; none of them is noted.
    """
    account = _account.get()
    if account.count + count > most:
        before = f" besides {account.count} others" if account.count else ""
        raise InvalidRequest(
            f"{what}: got {count} calls{before}, expected at most {most} in a request"
        )
    account.count += count


def is_batch() -> bool:
    """Whether the running call is one of several that came in one request."""
    return _account.get().count > 0


def in_turns(items: Iterable[T]) -> Iterator[T]:
    """Go through items that are worked on at once, and let others run in between.

    Args:
        items: The items.

    Yields:
        Each item.
    """
    turns = Turns()
    for item in items:
        turns.offer()
        yield item
