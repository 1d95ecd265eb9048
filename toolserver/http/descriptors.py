"""How many files and sockets this process may have open at once."""

from __future__ import annotations

import contextlib
import resource

__all__ = ["most_connections", "needed_descriptors", "raise_bound"]

#: Descriptors for all that is no connection: the listener, logs, databases, uploads.
_LEAST_RESERVED = 64


def needed_descriptors(connections: int) -> int:
    """How many descriptors a process needs for its connections and their requests.

    Args:
        connections: How many there may be at once.
    """
    return connections + max(_LEAST_RESERVED, connections // 3) + 1


def raise_bound(connections: int) -> None:
    """Raise the process's bound as far as the connections need and it may.

    Args:
        connections: How many there may be at once.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = needed_descriptors(connections)
    if hard != resource.RLIM_INFINITY:
        needed = min(needed, hard)
    if soft != resource.RLIM_INFINITY and soft < needed:
        # Some systems have a bound of their own below the one that they tell.
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))


def most_connections(wanted: int) -> int:
    """How many connections there may be so that descriptors remain for their requests.

    Args:
        wanted: How many the settings allow.

    Returns:
        That many, or fewer where the process may not open so many files.
    """
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return wanted
    return min(wanted, max(1, soft - max(_LEAST_RESERVED, soft // 4)))
