"""Whose shared secret the sender of the running request has proved to know.

The tool that has this secret then asks for no token; for all other tools it means
nothing.
"""

from __future__ import annotations

from toolserver.contexts import Var, current

__all__ = ["is_unlocked", "unlock", "unlocked"]

_unlocked: Var[str | None] = Var("unlocked", default=None)


def unlock(namespace: str) -> None:
    """Note a proof for the rest of the running request.

    Args:
        namespace: The dotted name of the tool.
    """
    _unlocked.set(namespace)


def is_unlocked(namespace: str) -> bool:
    """Whether the running request was signed with the secret of a tool.

    Args:
        namespace: Its dotted name.
    """
    return current() is not None and _unlocked.get() == namespace


def unlocked() -> str | None:
    """The tool with whose secret the running request was signed, or None."""
    return _unlocked.get()
