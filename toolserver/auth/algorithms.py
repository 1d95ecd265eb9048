"""The algorithms of signatures; the key alone says which one it is.

Spec: RFC 9421, section 3.3: ``rsa-pss-sha512``, ``ed25519`` and ``hmac-sha256``.
"""

from __future__ import annotations

import hashlib
import hmac

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ed25519 import (
    Ed25519PrivateKey,
    Ed25519PublicKey,
)
from cryptography.hazmat.primitives.asymmetric.padding import MGF1, PSS
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey

from toolserver.auth.keys import PrivateKey, PublicKey

__all__ = [
    "HMAC_SHA256",
    "SigningKey",
    "VerifyingKey",
    "algorithm_of",
    "sign",
    "verify",
]

#: The algorithm of shared secrets, which always has to be named.
HMAC_SHA256 = "hmac-sha256"

#: A shared secret is its bytes.
SigningKey = PrivateKey | bytes
VerifyingKey = PublicKey | bytes

_SHA512 = hashes.SHA512()
_PSS = PSS(MGF1(_SHA512), _SHA512.digest_size)


def algorithm_of(key: SigningKey | VerifyingKey) -> str:
    """The name of the algorithm that a key is for.

    Args:
        key: The key.

    Returns:
        The name, as the parameter ``alg`` has it.
    """
    if isinstance(key, bytes):
        return HMAC_SHA256
    if isinstance(key, (Ed25519PrivateKey, Ed25519PublicKey)):
        return "ed25519"
    return "rsa-pss-sha512"


def sign(key: SigningKey, data: bytes) -> bytes:
    """Sign; with RSA that takes milliseconds, in which other threads may run.

    Args:
        key: The key.
        data: What is signed.

    Returns:
        The signature.
    """
    if isinstance(key, RSAPrivateKey):
        return key.sign(data, _PSS, _SHA512)
    if isinstance(key, Ed25519PrivateKey):
        return key.sign(data)
    return hmac.digest(key, data, hashlib.sha256)


def verify(key: VerifyingKey, data: bytes, signature: bytes) -> bool:
    """Whether a signature holds.

    Args:
        key: The key.
        data: What was signed.
        signature: The signature.
    """
    try:
        if isinstance(key, RSAPublicKey):
            key.verify(signature, data, _PSS, _SHA512)
        elif isinstance(key, Ed25519PublicKey):
            key.verify(signature, data)
        else:
            expected = hmac.digest(key, data, hashlib.sha256)
            return hmac.compare_digest(expected, signature)
    except InvalidSignature:
        return False
    return True
