"""Keys in the memory of one process."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable

import msgspec

from toolserver.errors import Overload, TooMany
from toolserver.idempotency.records import Bounds, Finding, KeyState, KeyUse

__all__ = ["MemoryKeyStore"]

#: Keys whose time is over that are forgotten for each new one.
_FORGOTTEN = 100


class _Key(msgspec.Struct, gc=False):
    """A key, and what has become of its request."""

    use: KeyUse
    runner: str
    lease: float
    expires: float
    attempt: int = 1
    state: KeyState = KeyState.RUNNING
    answer: bytes | None = None

    @property
    def size(self) -> int:
        return 0 if self.answer is None else len(self.answer)


class MemoryKeyStore:
    """Keeps keys in memory.

    Args:
        bounds: How much is kept.
    """

    def __init__(self, bounds: Bounds) -> None:
        self._bounds = bounds
        self._keys: OrderedDict[bytes, _Key] = OrderedDict()
        self._callers: dict[bytes, OrderedDict[bytes, _Key]] = {}
        self._sizes: dict[bytes, int] = {}
        self._size = 0

    def open(self) -> None:
        """Open the store; see `KeyStore.open`."""

    def close(self) -> None:
        """Let go of the store; see `KeyStore.close`."""

    def begin(
        self, use: KeyUse, *, runner: str, now: float, lease: float, expires: float
    ) -> Finding:
        """Look a key up; see `KeyStore.begin`."""
        self._purge(now, _FORGOTTEN)
        key = self._keys.get(use.name)
        if key is not None and _is_over(key, now):
            self._forget(key)
            key = None
        if key is None:
            self._check_room(use.caller)
            self._add(_Key(use, runner, lease, expires))
            return Finding(KeyState.OPEN, 1)
        if key.use.fingerprint != use.fingerprint:
            return Finding(KeyState.REUSED)
        if key.state is not KeyState.RUNNING or key.lease >= now:
            return Finding(key.state, key.attempt, key.runner, key.answer)
        if not use.may_repeat:
            return Finding(KeyState.BROKEN_OFF, key.attempt)
        key.runner, key.lease, key.expires = runner, lease, expires
        key.attempt += 1
        return Finding(KeyState.OPEN, key.attempt)

    def finish(
        self, name: bytes, attempt: int, answer: bytes | None, *, expires: float
    ) -> bool:
        """Keep an answer; see `KeyStore.finish`."""
        key = self._running(name, attempt)
        if key is None:
            return False
        key.state = KeyState.UNKEPT if answer is None else KeyState.KEPT
        key.answer, key.expires = answer, expires
        self._size += key.size
        self._sizes[key.use.caller] += key.size
        self._make_room(key)
        return True

    def release(self, name: bytes, attempt: int) -> None:
        """Forget a key; see `KeyStore.release`."""
        key = self._running(name, attempt)
        if key is not None:
            self._forget(key)

    def extend(self, keys: Iterable[tuple[bytes, int]], lease: float) -> None:
        """Say until when keys are their runner's; see `KeyStore.extend`."""
        for name, attempt in keys:
            key = self._running(name, attempt)
            if key is not None:
                key.lease = lease

    def abandon(self, runner: str) -> None:
        """Let requests count as broken off; see `KeyStore.abandon`."""
        for key in self._keys.values():
            if key.state is KeyState.RUNNING and key.runner == runner:
                key.lease = 0.0

    def purge(self, now: float) -> int:
        """Forget the keys whose time is over; see `KeyStore.purge`."""
        return self._purge(now, len(self._keys))

    def _purge(self, now: float, most: int) -> int:
        # They were stored one after the other, each for the same time.
        found = [key for _, key in zip(range(most), self._keys.values(), strict=False)]
        over = [key for key in found if _is_over(key, now)]
        for key in over:
            self._forget(key)
        return len(over)

    def _running(self, name: bytes, attempt: int) -> _Key | None:
        key = self._keys.get(name)
        if key is None or key.attempt != attempt or key.state is not KeyState.RUNNING:
            return None
        return key

    def _check_room(self, caller: bytes) -> None:
        """See to it that one more key can be kept."""
        bounds = self._bounds
        own = self._callers.get(caller) or OrderedDict()
        if len(own) >= bounds.caller_keys and not self._forget_oldest(own.values()):
            raise TooMany(f"got {len(own)} keys whose calls still run, expected less")
        if len(self._keys) >= bounds.keys and not self._forget_oldest(
            self._keys.values()
        ):
            raise Overload(f"got {len(self._keys)} keys whose calls still run")

    def _make_room(self, kept: _Key) -> None:
        """Forget answers where there are too many bytes, the oldest ones first."""
        bounds, caller = self._bounds, kept.use.caller
        while self._sizes[caller] > bounds.caller_bytes and self._forget_oldest(
            self._callers[caller].values(), kept
        ):
            pass
        while self._size > bounds.bytes and self._forget_oldest(
            self._keys.values(), kept
        ):
            pass

    def _forget_oldest(self, keys: Iterable[_Key], spared: _Key | None = None) -> bool:
        for key in keys:
            if key.state is not KeyState.RUNNING and key is not spared:
                self._forget(key)
                return True
        return False

    def _add(self, key: _Key) -> None:
        name, caller = key.use.name, key.use.caller
        self._keys[name] = key
        self._callers.setdefault(caller, OrderedDict())[name] = key
        self._sizes.setdefault(caller, 0)

    def _forget(self, key: _Key) -> None:
        name, caller = key.use.name, key.use.caller
        del self._keys[name]
        self._size -= key.size
        self._sizes[caller] -= key.size
        own = self._callers[caller]
        del own[name]
        if not own:
            del self._callers[caller], self._sizes[caller]


def _is_over(key: _Key, now: float) -> bool:
    return key.expires <= now and (key.state is not KeyState.RUNNING or key.lease < now)
