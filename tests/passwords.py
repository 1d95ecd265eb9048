"""Hashes of passwords that cost nothing: the real ones take a tenth of a second."""

import base64
import hashlib
import os
import unicodedata

__all__ = ["quick_hash"]


def quick_hash(password):
    """Make a hash that `verify_password` accepts, by scrypt with the least cost."""
    salt = os.urandom(16)
    plain = unicodedata.normalize("NFC", password).encode()
    made = hashlib.scrypt(plain, salt=salt, n=2, r=8, p=1, dklen=32)
    texts = (base64.b64encode(each).decode().rstrip("=") for each in (salt, made))
    return "$scrypt$ln=1,r=8,p=1$" + "$".join(texts)
