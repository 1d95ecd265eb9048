"""Digests of bodies.

Spec: RFC 9530 (Content-Digest).
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable
from typing import Any

from toolserver.auth.structured import Item, parse_dictionary

__all__ = ["DigestCheck", "content_digest"]

_ALGORITHMS: dict[str, Callable[[], Any]] = {
    "sha-256": hashlib.sha256,
    "sha-512": hashlib.sha512,
}


def content_digest(body: bytes) -> str:
    """The value of ``Content-Digest`` for a body.

    Args:
        body: The body as it is sent.

    Returns:
        Its SHA-256.
    """
    return f"sha-256={Item(hashlib.sha256(body).digest())}"


class DigestCheck:
    """Whether a body, given piece by piece, is the one that a field tells of.

    Args:
        field: The value of ``Content-Digest``.

    Raises:
        ValueError: It is malformed, or tells no SHA-256 or SHA-512.
    """

    def __init__(self, field: str) -> None:
        self._expected = []
        for name, member in parse_dictionary(field).items():
            make = _ALGORITHMS.get(name)
            if make is None:
                # RFC 9530, section 2: what is not known is left alone.
                continue
            if not (isinstance(member, Item) and isinstance(member.value, bytes)):
                raise ValueError(f"{name}: expected bytes in base64")
            self._expected.append((make(), member.value))
        if not self._expected:
            raise ValueError("expected sha-256 or sha-512")

    def update(self, piece: bytes) -> None:
        """Take the next piece of the body.

        Args:
            piece: The piece.
        """
        for computed, _ in self._expected:
            computed.update(piece)

    @property
    def holds(self) -> bool:
        """Whether all digests are those of the pieces."""
        return all(
            hmac.compare_digest(computed.digest(), expected)
            for computed, expected in self._expected
        )
