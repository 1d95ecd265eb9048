"""Hashes of passwords.

Spec: RFC 7914 (scrypt), RFC 9106 (Argon2), and the PHC string format in which both are
written: ``$scrypt$ln=14,r=8,p=5$SALT$HASH``.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import os
import re
import unicodedata

try:
    import argon2
except ImportError:  # pragma: no cover - the extra is not installed
    HAS_ARGON2 = False
else:
    HAS_ARGON2 = True

__all__ = ["HAS_ARGON2", "check_hash", "hash_password", "verify_password"]

_LOG_N, _R, _P, _SALT, _LENGTH = 14, 8, 5, 16, 32
#: Whoever may write the file could otherwise make each login cost a server.
_MEMORY = 256 * 1024 * 1024
_SCRYPT = re.compile(
    r"\$scrypt\$ln=(\d{1,2}),r=(\d{1,3}),p=(\d{1,3})"
    r"\$([A-Za-z0-9+/]{1,128})\$([A-Za-z0-9+/]{1,128})"
)


def hash_password(password: str, *, argon2id: bool = False) -> str:
    """Make the hash of a password; takes about a tenth of a second.

    Args:
        password: The password.
        argon2id: Whether to use Argon2id, which needs the extra ``argon2``.

    Returns:
        What `verify_password` checks against.

    Raises:
        ModuleNotFoundError: Argon2id is not installed.
    """
    if argon2id:
        if not HAS_ARGON2:
            raise ModuleNotFoundError("argon2id needs the extra: toolserver[argon2]")
        return argon2.PasswordHasher().hash(_bytes(password))
    salt = os.urandom(_SALT)
    made = _scrypt(_bytes(password), salt, _LOG_N, _R, _P, _LENGTH)
    return f"$scrypt$ln={_LOG_N},r={_R},p={_P}${_text(salt)}${_text(made)}"


def check_hash(hashed: str) -> None:
    """Refuse what is no hash of a password, so that none is kept as it is.

    Args:
        hashed: The hash.

    Raises:
        ValueError: It is none, or one that cannot be checked here.
    """
    if hashed.startswith("$argon2id$"):
        if not HAS_ARGON2:
            raise ValueError("argon2id needs the extra: toolserver[argon2]")
        try:
            argon2.extract_parameters(hashed)
        except argon2.exceptions.InvalidHashError as error:
            raise ValueError("a malformed argon2id hash") from error
        return
    found = _SCRYPT.fullmatch(hashed)
    if found is None:
        raise ValueError("no hash of a password")
    log_n, r, p = map(int, found.groups()[:3])
    if not (
        log_n >= 1 and 128 * r * ((1 << log_n) + p) <= _MEMORY and r and 0 < p <= 16
    ):
        raise ValueError("a hash whose cost is out of bounds")
    try:
        _octets(found[4])
        _octets(found[5])
    except binascii.Error as error:
        raise ValueError("a malformed hash") from error


def verify_password(password: str, hashed: str) -> bool:
    """Whether a password is the one of a hash; takes about a tenth of a second.

    Args:
        password: The password.
        hashed: The hash, as `check_hash` lets it pass.
    """
    if hashed.startswith("$argon2id$"):
        try:
            return argon2.PasswordHasher().verify(hashed, _bytes(password))
        except argon2.exceptions.VerificationError:
            return False
    found = _SCRYPT.fullmatch(hashed)
    if found is None:
        return False
    log_n, r, p = map(int, found.groups()[:3])
    expected = _octets(found[5])
    made = _scrypt(_bytes(password), _octets(found[4]), log_n, r, p, len(expected))
    return hmac.compare_digest(made, expected)


def _bytes(password: str) -> bytes:
    # RFC 8265: the same letters are the same password, however they were typed.
    return unicodedata.normalize("NFC", password).encode()


def _scrypt(
    password: bytes, salt: bytes, log_n: int, r: int, p: int, length: int
) -> bytes:
    return hashlib.scrypt(
        password, salt=salt, n=1 << log_n, r=r, p=p, dklen=length, maxmem=2 * _MEMORY
    )


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode().rstrip("=")


def _octets(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
