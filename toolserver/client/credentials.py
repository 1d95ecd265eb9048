"""What a tool asks of its callers for itself: the answer to a challenge."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from toolserver.auth.challenges import respond

__all__ = ["Credential", "SharedSecret", "with_token"]


class Credential(Protocol):
    """Makes the token that goes before the arguments of a call."""

    def token(self, ask: Callable[[str], Any]) -> Any:
        """Make a token, good for one call.

        Args:
            ask: Calls a method of the tool, which needs no token itself.
        """


class SharedSecret:
    """Answers the challenges of a `CRAMTool`.

    Args:
        secret: What is shared with the tool.
    """

    def __init__(self, secret: str) -> None:
        self._secret = secret

    def token(self, ask: Callable[[str], Any]) -> list[str]:
        """Ask for a challenge and answer it."""
        (challenge,) = ask("get_challenges")
        return [challenge, respond(challenge, self._secret)]


def with_token(
    token: Any, args: Sequence[Any], kwargs: Mapping[str, Any]
) -> tuple[Sequence[Any], Mapping[str, Any]]:
    """Put a token before the arguments of a call.

    Args:
        token: The token.
        args: Positional arguments.
        kwargs: Named arguments.

    Returns:
        Positional and named arguments; by name alone where they were.
    """
    if kwargs and not args:
        return args, {"token": token, **kwargs}
    return (token, *args), kwargs
