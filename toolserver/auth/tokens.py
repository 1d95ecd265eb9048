"""Bearer tokens (RFC 6750): for programs and agents that hold no password.

A token is random; the file keeps its hash only. As nobody can guess it, a quick hash
will do.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from toolserver.auth.base import Identity
from toolserver.auth.lines import NAME, named_lines
from toolserver.errors import Unauthenticated
from toolserver.message import Request

__all__ = [
    "Token",
    "TokenAuthenticator",
    "bearer_of",
    "is_own",
    "make_token",
    "parse_tokens",
    "refusal",
]

#: What all tokens begin with, so that scanners of leaked secrets know them.
_MARK = "tsv_"
_LONGEST = 200


@dataclass(frozen=True)
class Token:
    """What is kept of a token.

    Attributes:
        id: By which it is listed and revoked.
        client: Whose it is.
        digest: The SHA-256 of its secret, in hexadecimal digits.
        expires: When it ends, seconds since the epoch; 0 for never.
        namespaces: What it is for, with all tools below; empty for all.
    """

    id: str
    client: str
    digest: str
    expires: int = 0
    namespaces: tuple[str, ...] = ()

    def line(self) -> str:
        """The line of the file that keeps it."""
        scope = ",".join(self.namespaces) or "*"
        return f"{self.id}:{self.client} {self.digest} {self.expires} {scope}"


def make_token(
    client: str, *, expires: int = 0, namespaces: tuple[str, ...] = ()
) -> tuple[str, Token]:
    """Make a token.

    Args:
        client: Whose it is.
        expires: When it ends, seconds since the epoch; 0 for never.
        namespaces: What it is for; empty for all.

    Returns:
        The token, which is shown once, and what is kept of it.
    """
    id_, secret = secrets.token_hex(4), secrets.token_urlsafe(32)
    kept = Token(id_, client, _digest(secret), expires, namespaces)
    return f"{_MARK}{id_}_{secret}", kept


def parse_tokens(text: str) -> dict[str, Token]:
    """Read the file of tokens.

    Args:
        text: Its lines, as `Token.line` writes them.

    Returns:
        The tokens by their ids.

    Raises:
        ValueError: A line is malformed; begins with its number.
    """
    found = {}
    for number, id_, value in named_lines(text):
        parts = value.split()
        if len(parts) != 4 or NAME.fullmatch(parts[0]) is None:
            raise ValueError(
                f"{number}: expected id:client, hash, end and namespaces, as "
                "'tsctl token' writes them"
            )
        client, digest, expires, scope = parts
        if not expires.isdecimal() or len(expires) > 12 or len(digest) != 64:
            raise ValueError(f"{number}: expected a hash and the time of an end")
        namespaces = () if scope == "*" else tuple(scope.split(","))
        found[id_] = Token(id_, client, digest, int(expires), namespaces)
    return found


class TokenAuthenticator:
    """Judges bearer tokens.

    Args:
        tokens: Gives those that hold, by their ids.
        clock: Tells the time in seconds since the epoch.
    """

    def __init__(
        self,
        tokens: Callable[[], Mapping[str, Token]],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._tokens = tokens
        self._clock = clock

    def authenticate(self, request: Request) -> Identity | None:
        """Judge the token of a request; see `Authenticator`."""
        given = bearer_of(request)
        if given is None:
            return None
        id_, _, secret = given.removeprefix(_MARK).partition("_")
        if not is_own(given) or len(given) > _LONGEST:
            raise refusal("malformed token")
        token = self._tokens().get(id_)
        # An unknown one takes as long as a wrong one.
        expected = token.digest if token is not None else _digest("")
        if not hmac.compare_digest(_digest(secret), expected) or token is None:
            raise refusal("wrong token")
        if token.expires and self._clock() >= token.expires:
            raise refusal("the token has expired")
        return Identity(token.client, "Bearer", namespaces=token.namespaces or None)


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "replace")).hexdigest()


def bearer_of(request: Request) -> str | None:
    """The bearer token of a request; None where it has none.

    Args:
        request: The request.
    """
    field = request.headers.get("authorization")
    if field is None:
        return None
    scheme, _, given = field.partition(" ")
    return given.strip() if scheme.lower() == "bearer" else None


def is_own(token: str) -> bool:
    """Whether a token looks like one that this server has made.

    Args:
        token: The token.
    """
    return token.startswith(_MARK)


def refusal(text: str) -> Unauthenticated:
    """Refuse a token, in the words of RFC 6750, section 3.

    Args:
        text: What is wrong with it.
    """
    described = re.sub(r"[^ !#-\[\]-~]", "?", text)
    return Unauthenticated(
        text,
        challenge='Bearer realm="toolserver", error="invalid_token", '
        f'error_description="{described}"',
    )
