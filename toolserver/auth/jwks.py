"""The public keys of who issues tokens: a set of JSON Web Keys.

Spec: RFC 7517 (JSON Web Key), RFC 7518 (algorithms), RFC 8037 (Ed25519).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import jwt

from toolserver import strictjson
from toolserver.auth.keys import LEAST_BITS, MOST_BITS
from toolserver.auth.watched import WatchedFile
from toolserver.errors import ParseError, StartError

__all__ = ["ALGORITHMS", "FileKeys", "IssuerKeys", "KeySet", "parse_keys"]

_RSA = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")
#: What a key may be used for, by its type and its curve: the key alone decides, so
#: that no token can have a public key taken for something else (RFC 8725, section 3.1).
_BY_KIND: Mapping[tuple[str, str], tuple[str, ...]] = {
    ("RSA", ""): _RSA,
    ("EC", "P-256"): ("ES256",),
    ("EC", "P-384"): ("ES384",),
    ("EC", "P-521"): ("ES512",),
    # RFC 9864 has given it a name that says which curve is meant.
    ("OKP", "Ed25519"): ("EdDSA", "Ed25519"),
}
#: All algorithms; those with a shared secret are none, as who checks tokens by it
#: could issue them, too.
ALGORITHMS = frozenset(name for names in _BY_KIND.values() for name in names)

_MOST_KEYS, _DEPTH, _MOST_VALUES = 100, 8, 10_000


@dataclass(frozen=True)
class _Key:
    """A public key.

    Attributes:
        id: Its name; None where it has none.
        algorithms: What it may be used for.
        key: The key itself.
    """

    id: str | None
    algorithms: frozenset[str]
    key: Any


class IssuerKeys(Protocol):
    """Where the keys of who issues tokens are found."""

    @property
    def are_known(self) -> bool:
        """Whether there are any by now."""

    def load(self) -> None:
        """Read what is there when the server starts.

        Raises:
            StartError: It cannot be used.
        """

    def refresh(self) -> None:
        """Look for new keys; called again and again, and does not wait."""

    def close(self) -> None:
        """Give up what is held."""

    def find(self, kid: str | None, algorithm: str) -> Any:
        """Find the key of a token.

        Args:
            kid: The name of the key; None where the token tells none.
            algorithm: The algorithm that the token names.

        Returns:
            The public key, or None where there is none, or not only one.
        """


class KeySet:
    """Public keys that were read.

    Args:
        keys: The keys.
    """

    def __init__(self, keys: Iterable[_Key] = ()) -> None:
        self._keys = tuple(keys)

    def __len__(self) -> int:
        return len(self._keys)

    def find(self, kid: str | None, algorithm: str) -> Any:
        """Find the key of a token; see `IssuerKeys`."""
        found = [
            each.key
            for each in self._keys
            if algorithm in each.algorithms and kid in (None, each.id)
        ]
        return found[0] if len(found) == 1 else None


class FileKeys:
    """The keys in a file, which is read again when it changes.

    Args:
        path: The file.
        allowed: The algorithms that may be used.
    """

    def __init__(self, path: Path, allowed: Collection[str]) -> None:
        self._allowed = allowed
        self._file = WatchedFile(path, self._parse)

    @property
    def are_known(self) -> bool:
        """Whether there are any by now."""
        return bool(self._file.value)

    def find(self, kid: str | None, algorithm: str) -> Any:
        """Find the key of a token; see `IssuerKeys`."""
        return self._file.value.find(kid, algorithm)

    def load(self) -> None:
        """Read the file.

        Raises:
            StartError: There is none, or it has no key that can be used.
        """
        self._file.load()
        if not self._file.value:
            raise StartError(
                f"{self._file.path}: no keys, and auth.jwt_issuer needs the issuer's"
            )

    def refresh(self) -> None:
        """Read the file again if it has changed."""
        self._file.refresh()

    def close(self) -> None:
        """Nothing is held."""

    def _parse(self, text: str) -> KeySet:
        if not text:
            return KeySet()
        try:
            return parse_keys(text, self._allowed)
        except ValueError as error:
            # The path stands before it.
            raise ValueError(f" {error}") from error


def parse_keys(text: str | bytes, allowed: Collection[str]) -> KeySet:
    """Read a set of keys.

    Keys of a kind that is not used here are passed over (RFC 7517, section 5), and so
    are those for encryption.

    Args:
        text: JSON.
        allowed: The algorithms that may be used.

    Returns:
        The keys.

    Raises:
        ValueError: It is no such set, or it holds private keys.
    """
    data = text.encode() if isinstance(text, str) else text
    try:
        found = strictjson.decode(data, max_depth=_DEPTH, max_values=_MOST_VALUES)
    except ParseError as error:
        raise ValueError(f"expected a set of keys: {error}") from error
    keys = found.get("keys") if isinstance(found, dict) else None
    if not isinstance(keys, list) or len(keys) > _MOST_KEYS:
        raise ValueError(f'expected an object with up to {_MOST_KEYS} "keys"')
    return KeySet(key for each in keys if (key := _read_key(each, allowed)) is not None)


def _read_key(data: Any, allowed: Collection[str]) -> _Key | None:
    if not isinstance(data, dict):
        return None
    if "d" in data or data.get("kty") == "oct":
        raise ValueError("got a private key or a secret, expected public keys alone")
    kid, named = data.get("kid"), data.get("alg")
    kind = str(data.get("kty")), str(data.get("crv", ""))
    usable = {
        name
        for name in _BY_KIND.get(kind, ())
        if name in allowed and named in (None, name)
    }
    operations = data.get("key_ops", ["verify"])
    if (
        not usable
        or not isinstance(kid, (str, type(None)))
        or data.get("use", "sig") != "sig"
        or not isinstance(operations, list)
        or "verify" not in operations
    ):
        return None
    try:
        # Whichever of them reads the same key out of it.
        key = jwt.PyJWK(data, _BY_KIND[kind][0]).key
    except (jwt.PyJWTError, ValueError, TypeError):
        return None
    if not LEAST_BITS <= getattr(key, "key_size", LEAST_BITS) <= MOST_BITS and (
        kind[0] == "RSA"
    ):
        return None
    return _Key(kid, frozenset(usable), key)
