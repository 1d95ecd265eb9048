"""What a store knows of idempotency keys.

Times are seconds of the clock of jobs, see `toolserver.jobs.clock`.
"""

from __future__ import annotations

from enum import Enum

import msgspec

__all__ = ["Bounds", "Finding", "KeptAnswer", "KeyState", "KeyUse"]


class KeyState(Enum):
    """What a store says of a key that a request carries."""

    #: The request is the first one, or takes the place of one that was broken off.
    OPEN = "open"
    #: The first one is still running.
    RUNNING = "running"
    #: The first one was broken off: nobody knows what has become of it.
    BROKEN_OFF = "broken off"
    #: It has been answered, and the answer is kept.
    KEPT = "kept"
    #: It has been answered, and the answer could not be kept.
    UNKEPT = "unkept"
    #: It was another request.
    REUSED = "reused"


class KeptAnswer(msgspec.Struct, frozen=True, gc=False):
    """An answer that is given again.

    Attributes:
        status: Its HTTP status.
        headers: Its header fields.
        body: Its body.
    """

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes


class KeyUse(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A request with a key.

    Attributes:
        name: What stands for the key and its caller; no two pairs have the same.
        caller: What stands for the caller.
        fingerprint: What stands for the request; others have another one.
        may_repeat: Whether it does no harm to make the call again where the first one
            was broken off.
    """

    name: bytes
    caller: bytes
    fingerprint: bytes
    may_repeat: bool = False


class Finding(msgspec.Struct, frozen=True, gc=False):
    """What a store says of a key.

    Attributes:
        state: The state of the key.
        attempt: The number of the request that is answered with it. It fences: who
            ends one has to know its number.
        runner: The process that runs the first request, where it does.
        answer: The answer, where it is kept, as it was given to the store.
    """

    state: KeyState
    attempt: int = 0
    runner: str = ""
    answer: bytes | None = None


class Bounds(msgspec.Struct, frozen=True, gc=False):
    """How much a store keeps.

    Attributes:
        caller_keys: Keys of one caller.
        caller_bytes: Bytes of the answers of one caller.
        keys: Keys altogether.
        bytes: Bytes of all answers.
    """

    caller_keys: int = 10_000
    caller_bytes: int = 64 * 1024 * 1024
    keys: int = 1_000_000
    bytes: int = 1024 * 1024 * 1024
