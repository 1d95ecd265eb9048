"""Accounts with passwords, and groups of clients: the files ``passwd`` and ``groups``.

Hashing a password takes a tenth of a second on purpose. It happens in threads, so that
the loop goes on, and not in too many at once.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Mapping

import gevent
from gevent.threadpool import ThreadPool

from toolserver.auth.lines import NAME, named_lines
from toolserver.auth.passwords import check_hash, hash_password, verify_password
from toolserver.errors import TooMany

__all__ = ["Accounts", "parse_accounts", "parse_groups"]

#: Passwords that are hashed at once, and how many may wait for it.
_HASHED_AT_ONCE = 2
_WAITING, _WAITING_OF_ONE = 100, 10
#: How long a right password need not be hashed again, seconds.
_REMEMBERED_TIME = 60.0
_REMEMBERED = 1000
#: Wrong passwords: the wait after the first, the longest one, both in seconds, and how
#: long and for how many askers they are remembered.
_FIRST_WAIT, _LONGEST_WAIT = 0.1, 5.0
_FORGIVEN_AFTER = 300.0
_FAILURES = 10_000
_LONGEST_PASSWORD = 1024


def parse_accounts(text: str) -> dict[str, str]:
    """Read a list of accounts.

    Args:
        text: Lines ``name:hash``.

    Returns:
        The hashes by name.

    Raises:
        ValueError: A line cannot be read; begins with its number.
    """
    accounts: dict[str, str] = {}
    for number, name, hashed in named_lines(text):
        try:
            check_hash(hashed)
        except ValueError as error:
            # What stands there may be the password itself: it is not repeated.
            raise ValueError(
                f"{number}: {error}; set it by: tsctl passwd {name}"
            ) from error
        if name in accounts:
            raise ValueError(f"{number}: a second account {name!r}")
        accounts[name] = hashed
    return accounts


def parse_groups(text: str) -> dict[str, frozenset[str]]:
    """Read a list of groups.

    Args:
        text: Lines ``group:client,client``.

    Returns:
        The groups of each client.

    Raises:
        ValueError: A line cannot be read; begins with its number.
    """
    groups: dict[str, set[str]] = {}
    for number, group, members in named_lines(text):
        for member in filter(None, map(str.strip, members.split(","))):
            if NAME.fullmatch(member) is None:
                raise ValueError(
                    f"{number}: got the client {member!r}, expected letters, digits "
                    "and any of ._@+-"
                )
            groups.setdefault(member, set()).add(group)
    return {member: frozenset(found) for member, found in groups.items()}


class Accounts:
    """Checks names and passwords.

    Args:
        hashes: Tells the hashes by name, as they are now.
        clock: Tells the time in seconds.
    """

    def __init__(
        self,
        hashes: Callable[[], Mapping[str, str]],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._hashes = hashes
        self._clock = clock
        self._pool: ThreadPool | None = None
        self._waiting: Counter[str] = Counter()
        # Known to this process alone: what is remembered tells nobody a password.
        self._secret = os.urandom(32)
        self._right: OrderedDict[bytes, float] = OrderedDict()
        self._wrong: OrderedDict[tuple[str, str], tuple[int, float]] = OrderedDict()
        self._dummy = ""

    def check(self, name: str, password: str, address: str) -> bool:
        """Whether a password is right; waits for the hash, others go on meanwhile.

        Args:
            name: Name of the account.
            password: The password.
            address: Where it comes from: who guesses is slowed down.

        Returns:
            Whether there is such an account with such a password.

        Raises:
            TooMany: Too many passwords wait to be checked.
        """
        if len(password) > _LONGEST_PASSWORD:
            return False
        hashed = self._hashes().get(name)
        digest = self._digest(name, password, hashed or "")
        if hashed is not None and self._is_remembered(digest):
            return True
        asker = name, address
        wait = self._wait_of(asker)
        if (
            self._waiting.total() >= _WAITING
            or self._waiting[address] >= _WAITING_OF_ONE
        ):
            raise TooMany("too many logins at once", retry_after=_LONGEST_WAIT)
        self._waiting[address] += 1
        try:
            if wait:
                gevent.sleep(wait)
            is_right = self._verify(password, hashed)
        finally:
            self._waiting[address] -= 1
            if not self._waiting[address]:
                del self._waiting[address]
        if is_right:
            self._wrong.pop(asker, None)
            self._right[digest] = self._clock() + _REMEMBERED_TIME
            if len(self._right) > _REMEMBERED:
                self._right.popitem(last=False)
        else:
            self._count(asker)
        return is_right

    def _digest(self, name: str, password: str, hashed: str) -> bytes:
        # With the hash, so that a changed password is forgotten at once.
        text = f"{name}\0{hashed}\0{password}".encode()
        return hmac.new(self._secret, text, hashlib.sha256).digest()

    def _is_remembered(self, digest: bytes) -> bool:
        until = self._right.get(digest)
        return until is not None and self._clock() < until

    def _verify(self, password: str, hashed: str | None) -> bool:
        if self._pool is None:
            self._pool = ThreadPool(_HASHED_AT_ONCE)
        if hashed is None:
            # It takes as long as for an account that there is.
            if not self._dummy:
                self._dummy = self._pool.apply(hash_password, ("",))
            self._pool.apply(verify_password, (password, self._dummy))
            return False
        return bool(self._pool.apply(verify_password, (password, hashed)))

    def _wait_of(self, asker: tuple[str, str]) -> float:
        count, last = self._wrong.get(asker, (0, 0.0))
        if not count or self._clock() - last > _FORGIVEN_AFTER:
            return 0.0
        return float(min(_FIRST_WAIT * 2 ** min(count - 1, 16), _LONGEST_WAIT))

    def _count(self, asker: tuple[str, str]) -> None:
        count, _ = self._wrong.pop(asker, (0, 0.0))
        self._wrong[asker] = count + 1, self._clock()
        if len(self._wrong) > _FAILURES:
            self._wrong.popitem(last=False)

    def close(self) -> None:
        """End the threads."""
        if self._pool is not None:
            self._pool.kill()
            self._pool = None
