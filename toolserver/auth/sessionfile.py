"""The sessions of a server, in a file that all of its processes have in their memory.

A request of a session may come over any connection, and so to any process. Which
numbers were used has to be known to all of them, or a request could be repeated in
another one; a database would cost more than all else that a session costs. So each
session has a slot of a file that is mapped, and the slots are changed under a lock of
the file. Which numbers were used is a ring of bits (RFC 6479): requests may overtake
each other as far as the ring reaches.

    offset  size  meaning of a slot
    0       16    mark: the random part of the id
    16      32    the secret from which the keys are derived
    48      32    fingerprint of the public key of the client
    80      64    name of the client, filled up with zeros
    144     8     when it ends, seconds since the epoch
    152     8     when it was last used
    160     8     the highest number that was used
    168     1024  the ring of bits

The file is private to the server and is not believed after the machine was started
anew, when nobody knows which of its pages were written.
"""

from __future__ import annotations

import base64
import fcntl
import mmap
import os
import secrets
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from toolserver.bootid import boot_id
from toolserver.errors import StartError

__all__ = ["SessionFile", "Spent", "StoredSession"]

_MAGIC = b"toolserver sessions 1\n"
_HEAD_SIZE = 128
_SLOT = struct.Struct("<16s32s32s64sddQ")
_ENDS = struct.Struct("<d")
_USED = struct.Struct("<dQ")
_ENDS_AT, _USED_AT, _RING_AT = 144, 152, _SLOT.size
_RING_SIZE = 1024
_SLOT_SIZE = _RING_AT + _RING_SIZE
#: Sessions of all clients, and of one.
_SLOTS, _MOST = 4096, 64
_MARK_SIZE = 16
#: How long a session is remembered after its end, seconds: a call that was refused in
#: it is sent again as another request, which asks here whether it was.
_REMEMBERED = 300.0


class Spent(Enum):
    """What became of the number of a request."""

    #: Nobody has used it before.
    FRESH = "fresh"
    #: It was used, or is so old that nobody knows.
    USED = "used"
    #: There is no such session any more.
    GONE = "gone"


@dataclass(frozen=True, slots=True)
class StoredSession:
    """A session as it is stored.

    Attributes:
        id: Its id.
        place: Where in the file it is, bytes.
        mark: The random part of its id.
        secret: What its keys are derived from.
        fingerprint: That of the public key of the client.
        client: The name of the client.
        ends: When it ends, seconds since the epoch.
    """

    id: str
    place: int
    mark: bytes
    secret: bytes
    fingerprint: bytes
    client: str
    ends: float


class SessionFile:
    """Sessions that the processes of a server share.

    Args:
        path: The file, which is made if there is none.
        lifetime: How long a session can be used, seconds.
        clock: Tells the time in seconds since the epoch.

    Attributes:
        lifetime: The same.

    Raises:
        StartError: The file cannot be used.
    """

    def __init__(
        self, path: Path, *, lifetime: int, clock: Callable[[], float] = time.time
    ) -> None:
        self.lifetime = lifetime
        self._clock = clock
        size = _HEAD_SIZE + _SLOTS * _SLOT_SIZE
        boot = boot_id().encode()
        head = (_MAGIC + boot).ljust(_HEAD_SIZE, b"\0")
        try:
            flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
            self._fd = os.open(path, flags, 0o600)
            with self._locked():
                if not boot or os.pread(self._fd, _HEAD_SIZE, 0) != head:
                    # Whatever it was, nothing of it is left.
                    os.ftruncate(self._fd, 0)
                    os.ftruncate(self._fd, size)
                    os.pwrite(self._fd, head, 0)
                elif os.fstat(self._fd).st_size != size:
                    os.ftruncate(self._fd, size)
            self._slots = mmap.mmap(self._fd, size)
        except OSError as error:
            raise StartError(f"{path}: cannot be used: {error.strerror}") from error

    def close(self) -> None:
        """Close the file, which goes on to remember."""
        self._slots.close()
        os.close(self._fd)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        fcntl.flock(self._fd, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.flock(self._fd, fcntl.LOCK_UN)

    def open(self, client: str, fingerprint: bytes, secret: bytes) -> str | None:
        """Begin a session.

        Args:
            client: The name of the client.
            fingerprint: That of the client's public key.
            secret: What the keys of the session are derived from.

        Returns:
            Its id; None where there are too many. A client that has too many itself
            loses the one that it has not used for longest: to forget it lets nothing be
            repeated, as with it goes its key. Those of others are never touched.
        """
        name = client.encode().ljust(64, b"\0")
        with self._locked():
            number = self._place(name)
            if number is None:
                return None
            place = _HEAD_SIZE + number * _SLOT_SIZE
            mark, now = secrets.token_bytes(_MARK_SIZE), self._clock()
            slot = _SLOT.pack(
                mark, secret, fingerprint, name, now + self.lifetime, now, 0
            )
            self._slots[place : place + _SLOT_SIZE] = slot + bytes(_RING_SIZE)
        return base64.urlsafe_b64encode(number.to_bytes(2, "big") + mark).decode()

    def _place(self, name: bytes) -> int | None:
        """The number of a slot for a client; None if there is none."""
        slots, now = self._slots, self._clock()
        free: int | None = None
        own: list[tuple[float, int]] = []
        for number in range(_SLOTS):
            place = _HEAD_SIZE + number * _SLOT_SIZE
            (ends,) = _ENDS.unpack_from(slots, place + _ENDS_AT)
            if ends + _REMEMBERED < now:
                if free is None:
                    free = number
                if not ends:
                    # Slots are taken in order: nothing is behind it.
                    break
            elif slots[place + 80 : place + 144] == name:
                used, _ = _USED.unpack_from(slots, place + _USED_AT)
                own.append((used, number))
        return min(own)[1] if len(own) >= _MOST else free

    def find(self, id: str) -> StoredSession | None:
        """Find a session, also one that has ended not long ago.

        Args:
            id: Its id: 24 letters of base64 for URLs.

        Returns:
            The session, or None if there is none.
        """
        octets = base64.urlsafe_b64decode(id)
        number, mark = int.from_bytes(octets[:2], "big"), octets[2:]
        if number >= _SLOTS or len(mark) != _MARK_SIZE:
            return None
        place = _HEAD_SIZE + number * _SLOT_SIZE
        with self._locked():
            slot = _SLOT.unpack_from(self._slots, place)
        found, secret, fingerprint, name, ends, _, _ = slot
        if not ends or not secrets.compare_digest(found, mark):
            return None
        client = name.rstrip(b"\0").decode()
        return StoredSession(id, place, mark, secret, fingerprint, client, ends)

    def spend(self, session: StoredSession, number: int) -> Spent:
        """Use a number; no other call and no other process comes in between.

        Args:
            session: The session.
            number: The number of a request that is proven to be the client's.

        Returns:
            What became of it.
        """
        slots, place, block = self._slots, session.place, number >> 3
        now = self._clock()
        fcntl.flock(self._fd, fcntl.LOCK_EX)
        try:
            if slots[place : place + _MARK_SIZE] != session.mark:
                return Spent.GONE
            _, highest = _USED.unpack_from(slots, place + _USED_AT)
            ring, ahead = place + _RING_AT, block - (highest >> 3)
            if ahead <= -_RING_SIZE:
                return Spent.USED
            if ahead >= _RING_SIZE:
                slots[ring : ring + _RING_SIZE] = bytes(_RING_SIZE)
            else:
                for each in range(block - ahead + 1, block + 1):
                    slots[ring + each % _RING_SIZE] = 0
            at, bit = ring + block % _RING_SIZE, 1 << (number & 7)
            if slots[at] & bit:
                return Spent.USED
            slots[at] |= bit
            _USED.pack_into(slots, place + _USED_AT, now, max(highest, number))
            return Spent.FRESH
        finally:
            fcntl.flock(self._fd, fcntl.LOCK_UN)
