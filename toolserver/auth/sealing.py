"""Encrypts bodies for one receiver, and the answers for who asked.

Each message has an AES-256-GCM key of its own, wrapped with RSA-OAEP-SHA256 for the
receiver in a header field, which the signature of the request has to cover. The key of
the answer is derived from it, so that it takes no private key to read it.

    field ``Toolserver-Key``   base64 of the wrapped key
    body                       base64 of what follows

    offset  size  meaning
    0       1     version, 1
    1       12    nonce of GCM
    13      ...   what is sealed, with the tag at its end

Spec: NIST SP 800-38D (GCM), RFC 8017 (RSA-OAEP), RFC 5869 (HKDF).
"""

from __future__ import annotations

import base64
import binascii
import os
from collections.abc import Sequence

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.padding import MGF1, OAEP
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

__all__ = ["KEY_FIELD", "Sealed", "associated_data", "open_request", "seal_request"]

KEY_FIELD = "toolserver-key"
_VERSION = b"\x01"
_KEY_SIZE, _NONCE_SIZE = 32, 12
_OAEP = OAEP(MGF1(hashes.SHA256()), hashes.SHA256(), None)


def associated_data(parts: Sequence[str]) -> bytes:
    """What a sealed message is bound to, so that it holds nowhere else.

    Args:
        parts: The verb, authority, path, query, name of the sender and nonce.

    Returns:
        The parts, each with its length in front.
    """
    octets = [part.encode("utf-8", "surrogateescape") for part in parts]
    return _VERSION + b"".join(len(part).to_bytes(4, "big") + part for part in octets)


class Sealed:
    """The secret of one request, by which its answer is sealed and opened.

    Args:
        key: The key of the request.
        salt: The nonce of its signature.
        associated: What the messages are bound to.
    """

    def __init__(self, key: bytes, salt: str, associated: bytes) -> None:
        self._key = key
        self._salt = salt.encode()
        self._answer = AESGCM(self._derive(b"response"))
        self._associated = associated

    def _derive(self, purpose: bytes) -> bytes:
        derived = HKDF(hashes.SHA256(), _KEY_SIZE, self._salt, purpose)
        return derived.derive(self._key)

    def session_secret(self) -> bytes:
        """What the keys of a session are derived from that the request asks for."""
        return self._derive(b"session")

    def seal(self, content: bytes) -> bytes:
        """Seal the answer.

        Args:
            content: The answer.

        Returns:
            Its body.
        """
        return _seal(self._answer, content, self._associated)

    def open(self, body: bytes) -> bytes:
        """Open the answer.

        Args:
            body: Its body.

        Returns:
            The answer.

        Raises:
            ValueError: It was not sealed for this request.
        """
        return _open(self._answer, body, self._associated)


def seal_request(
    content: bytes, receiver: RSAPublicKey, salt: str, associated: bytes
) -> tuple[str, bytes, Sealed]:
    """Seal a request.

    Args:
        content: What the receiver alone may read.
        receiver: The receiver's key.
        salt: The nonce of the signature.
        associated: What `associated_data` makes.

    Returns:
        The value of `KEY_FIELD`, the body, and what opens the answer.
    """
    key = os.urandom(_KEY_SIZE)
    wrapped = base64.b64encode(receiver.encrypt(key, _OAEP)).decode()
    body = _seal(AESGCM(key), content, associated)
    return wrapped, body, Sealed(key, salt, associated)


def open_request(
    wrapped: str, body: bytes, key: RSAPrivateKey, salt: str, associated: bytes
) -> tuple[bytes, Sealed]:
    """Open a request; with a key of 3072 bits that takes milliseconds.

    Args:
        wrapped: The value of `KEY_FIELD`.
        body: The body.
        key: The receiver's private key.
        salt: The nonce of the signature.
        associated: What `associated_data` makes.

    Returns:
        What was sealed, and what seals the answer.

    Raises:
        ValueError: It was not sealed for this receiver, or for another request.
    """
    try:
        secret = key.decrypt(_octets(wrapped.encode("ascii", "replace")), _OAEP)
    except ValueError as error:
        # Why is nobody's business: the answer would be an oracle.
        raise ValueError("cannot be opened") from error
    if len(secret) != _KEY_SIZE:
        raise ValueError("cannot be opened")
    return _open(AESGCM(secret), body, associated), Sealed(secret, salt, associated)


def _seal(cipher: AESGCM, content: bytes, associated: bytes) -> bytes:
    nonce = os.urandom(_NONCE_SIZE)
    sealed = cipher.encrypt(nonce, content, associated)
    return base64.b64encode(_VERSION + nonce + sealed)


def _open(cipher: AESGCM, body: bytes, associated: bytes) -> bytes:
    octets = _octets(body)
    if octets[:1] != _VERSION:
        raise ValueError("cannot be opened")
    start = 1 + _NONCE_SIZE
    try:
        return cipher.decrypt(octets[1:start], octets[start:], associated)
    except (InvalidTag, ValueError) as error:
        raise ValueError("cannot be opened") from error


def _octets(text: bytes) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise ValueError("cannot be opened") from error
