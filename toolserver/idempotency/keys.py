"""Requests with keys: which one makes its call, and what the others are answered.

Who repeats a request cannot know what became of the first one. So the key is stored
before the call is made, in the name of this process, and the answer when it has ended.
A process that dies in between leaves a key of which nobody knows whether its call was
made: it is made again only where that does no harm.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

import gevent
import msgspec
from gevent.lock import RLock

from toolserver.errors import (
    KeyInUse,
    KeyReused,
    OutcomeUnknown,
    Overload,
    StartError,
    ToolserverError,
)
from toolserver.home import Home
from toolserver.idempotency.memory import MemoryKeyStore
from toolserver.idempotency.records import (
    Bounds,
    Finding,
    KeptAnswer,
    KeyState,
    KeyUse,
)
from toolserver.idempotency.sqlite import SQLiteKeyStore
from toolserver.idempotency.store import KeyStore
from toolserver.jobs.runners import is_alive, name_runner
from toolserver.settings import JobSettings

__all__ = ["Keys", "OpenKey", "make_key_store"]

log = logging.getLogger("toolserver.idempotency")

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(KeptAnswer).decode


def make_key_store(settings: JobSettings, home: Home) -> KeyStore:
    """Make the store that the settings name; it is not open yet.

    Args:
        settings: Those of jobs, whose engine it shares.
        home: Where it may have its file.
    """
    bounds = Bounds(
        caller_keys=settings.idempotency_caller_keys,
        caller_bytes=settings.idempotency_caller_size,
        keys=settings.idempotency_keys,
        bytes=settings.idempotency_size,
    )
    if settings.engine == "memory":
        return MemoryKeyStore(bounds)
    return SQLiteKeyStore(
        home.var / "idempotency.db",
        bounds,
        survives_power=settings.durability == "power",
    )


class Keys:
    """Knows the keys of all requests of a server.

    The store is opened when the first key comes: most servers never see one.

    Args:
        store: Where they are kept.
        clock: Tells the time, seconds; the same in all processes of the store.
        settings: For how long, and how leases last.
        purge_interval: Seconds between two looks at what is to be forgotten.
    """

    def __init__(
        self,
        store: KeyStore,
        clock: Callable[[], float],
        settings: JobSettings,
        *,
        purge_interval: float = 600.0,
    ) -> None:
        self._store = store
        self._clock = clock
        self._lifetime = settings.idempotency_lifetime
        self._lease_timeout = settings.lease_timeout
        self._purge_interval = purge_interval
        self._runner = name_runner()
        self._opening = RLock()
        self._is_open = False
        self._running: set[tuple[bytes, int]] = set()
        self._tending: gevent.Greenlet[..., None] | None = None
        self._purging: gevent.Greenlet[..., None] | None = None

    def begin(self, use: KeyUse) -> OpenKey | KeptAnswer:
        """Find out whether a request is the first one with its key.

        Args:
            use: The key and the request.

        Returns:
            The key, where the call is to be made; else what the first one was answered.

        Raises:
            KeyReused: The first one was another request.
            KeyInUse: The first one is still running.
            OutcomeUnknown: The first one was made or broken off, and there is no
                answer.
            TooMany: The caller has too many that run.
            Overload: There are too many that run, or nothing can be stored.
        """
        if not self._is_open:
            self._open()
        found = self._look_up(use)
        match found.state:
            case KeyState.OPEN:
                self._tend(use.name, found.attempt)
                return OpenKey(self, use.name, found.attempt)
            case KeyState.KEPT if found.answer is not None:
                return _decode(found.answer)
            case KeyState.REUSED:
                raise KeyReused(
                    "idempotency key: got another request than its first one, expected "
                    "the same; take a new key for each request"
                )
            case KeyState.RUNNING:
                raise KeyInUse(
                    "idempotency key: the first request with it still runs; come again"
                )
            case KeyState.BROKEN_OFF:
                raise OutcomeUnknown(
                    "idempotency key: the first request with it was broken off, and "
                    "may have been carried out or not; look what it has done"
                )
        raise OutcomeUnknown(
            "idempotency key: the first request with it was carried out, and its "
            "answer could not be kept"
        )

    def purge(self) -> int:
        """Forget the keys whose time is over.

        Returns:
            How many there were.
        """
        return self._store.purge(self._clock()) if self._is_open else 0

    def close(self) -> None:
        """Let go of the store, after all requests have ended."""
        for greenlet in (self._tending, self._purging):
            if greenlet is not None:
                greenlet.kill()
        if self._is_open:
            self._is_open = False
            self._store.close()

    def _open(self) -> None:
        with self._opening:
            if self._is_open:
                return
            try:
                self._store.open()
            except StartError as error:
                # The server has started, and requests without keys are none the worse.
                log.error("%s", error)
                raise Overload("idempotency keys cannot be stored") from error
            self._is_open = True
            self._purging = gevent.spawn(self._purge_often)

    def _purge_often(self) -> None:
        while True:
            try:
                self.purge()
            except ToolserverError as error:
                log.error("idempotency keys are not forgotten: %s", error)
            gevent.sleep(self._purge_interval)

    def _look_up(self, use: KeyUse) -> Finding:
        found = self._begin(use)
        if (
            found.state is KeyState.RUNNING
            and found.runner != self._runner
            and not is_alive(found.runner)
        ):
            self._store.abandon(found.runner)
            found = self._begin(use)
        return found

    def _begin(self, use: KeyUse) -> Finding:
        now = self._clock()
        return self._store.begin(
            use,
            runner=self._runner,
            now=now,
            lease=now + self._lease_timeout,
            expires=now + self._lifetime,
        )

    # --- what open keys do

    def _tend(self, name: bytes, attempt: int) -> None:
        self._running.add((name, attempt))
        if self._tending is None:
            self._tending = gevent.spawn(self._extend)

    def _extend(self) -> None:
        """Renew the leases of the calls that run, as long as there are some."""
        while self._running:
            gevent.sleep(self._lease_timeout / 3)
            if self._running:
                try:
                    lease = self._clock() + self._lease_timeout
                    self._store.extend(list(self._running), lease)
                except Exception as error:
                    log.error("leases of idempotency keys are not renewed: %s", error)
        self._tending = None

    def _end(
        self, name: bytes, attempt: int, work: Callable[[], object], what: str
    ) -> None:
        self._running.discard((name, attempt))
        try:
            work()
        except Exception as error:
            # The call was made, and its caller gets its answer. Who repeats it is told
            # that nobody knows, as soon as the lease has ended.
            log.error("an idempotency key is not %s: %s", what, error)

    def _keep(self, name: bytes, attempt: int, answer: KeptAnswer | None) -> None:
        kept = None if answer is None else _encode(answer)
        expires = self._clock() + self._lifetime
        self._end(
            *(name, attempt),
            lambda: self._store.finish(name, attempt, kept, expires=expires),
            "ended",
        )

    def _release(self, name: bytes, attempt: int) -> None:
        self._end(name, attempt, lambda: self._store.release(name, attempt), "released")

    def _break_off(self, name: bytes, attempt: int) -> None:
        self._end(
            *(name, attempt),
            lambda: self._store.extend([(name, attempt)], 0.0),
            "broken off",
        )


class OpenKey:
    """A key whose request makes its call now; it is ended in one of three ways."""

    __slots__ = ("_attempt", "_keys", "_name")

    def __init__(self, keys: Keys, name: bytes, attempt: int) -> None:
        self._keys = keys
        self._name = name
        self._attempt = attempt

    def keep(self, answer: KeptAnswer | None) -> None:
        """Keep the answer.

        Args:
            answer: The answer; None for one that cannot be kept.
        """
        self._keys._keep(self._name, self._attempt, answer)

    def release(self) -> None:
        """Forget the key, as nothing was done."""
        self._keys._release(self._name, self._attempt)

    def break_off(self) -> None:
        """Say that the call has ended before its end."""
        self._keys._break_off(self._name, self._attempt)
