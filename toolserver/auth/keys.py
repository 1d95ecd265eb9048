"""Keys of clients and of the server: PEM files, and the keys of those who may call.

Spec: RFC 7468 (PEM), RFC 5208 (PKCS#8), RFC 5280 (SubjectPublicKeyInfo).
"""

from __future__ import annotations

import logging
import os
import re
import stat
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import (
    Ed25519PrivateKey,
    Ed25519PublicKey,
)
from cryptography.hazmat.primitives.asymmetric.rsa import (
    RSAPrivateKey,
    RSAPublicKey,
    generate_private_key,
)

from toolserver.errors import StartError

__all__ = [
    "LEAST_BITS",
    "MOST_BITS",
    "NAME",
    "SERVER",
    "PrivateKey",
    "PublicKey",
    "PublicKeys",
    "WatchedKey",
    "generate",
    "private_pem",
    "public_pem",
    "read_private",
    "read_public",
]

PrivateKey = RSAPrivateKey | Ed25519PrivateKey
PublicKey = RSAPublicKey | Ed25519PublicKey

log = logging.getLogger("toolserver.auth")

#: Names of keys, which are names of clients and of files.
NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")
#: The name of the server's own key; nobody calls by it.
SERVER = "server"

_SUFFIX = ".pem"
_RSA_BITS = 3072
#: What is smaller is unsafe; what is larger takes too long to check.
LEAST_BITS, MOST_BITS = 2048, 8192
_LARGEST_FILE = 65536


def generate(kind: str) -> PrivateKey:
    """Make a private key; for RSA that takes up to a second.

    Args:
        kind: ``"rsa"`` or ``"ed25519"``.

    Returns:
        The key.
    """
    if kind == "ed25519":
        return Ed25519PrivateKey.generate()
    return generate_private_key(65537, _RSA_BITS)


def private_pem(key: PrivateKey) -> str:
    """Write a private key as PKCS#8.

    Args:
        key: The key.

    Returns:
        PEM, not encrypted.
    """
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    ).decode()


def public_pem(key: PublicKey) -> str:
    """Write a public key.

    Args:
        key: The key.

    Returns:
        PEM.
    """
    return key.public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    ).decode()


def read_public(data: bytes) -> PublicKey:
    """Read a public key.

    Args:
        data: PEM.

    Returns:
        The key.

    Raises:
        ValueError: It is no public key, or one that is not used here.
    """
    try:
        key = serialization.load_pem_public_key(data)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise ValueError("expected a public key in PEM") from error
    if isinstance(key, RSAPublicKey):
        _check_size(key.key_size)
        return key
    if isinstance(key, Ed25519PublicKey):
        return key
    raise ValueError("expected an RSA or Ed25519 key, got one of another kind")


def read_private(path: Path) -> PrivateKey:
    """Read a private key from a file that nobody else may read.

    Args:
        path: The file.

    Returns:
        The key.

    Raises:
        StartError: The file is missing, open to others, or holds no key that is used
            here.
    """
    try:
        with path.open("rb") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            data = file.read(_LARGEST_FILE)
    except OSError as error:
        raise StartError(f"{path}: cannot be read: {error.strerror}") from error
    if mode & 0o077:
        raise StartError(
            f"{path}: others may read this private key (mode {mode:o}); "
            f"shut it by: chmod 600 {path}"
        )
    try:
        key = serialization.load_pem_private_key(data, None)
        if isinstance(key, RSAPrivateKey):
            _check_size(key.key_size)
    except TypeError as error:
        raise StartError(f"{path}: got an encrypted key, expected a plain one") from (
            error
        )
    except (ValueError, UnsupportedAlgorithm) as error:
        raise StartError(f"{path}: no private key that is used here: {error}") from (
            error
        )
    if isinstance(key, (RSAPrivateKey, Ed25519PrivateKey)):
        return key
    raise StartError(f"{path}: expected an RSA or Ed25519 key, got one of another kind")


def _check_size(bits: int) -> None:
    if not LEAST_BITS <= bits <= MOST_BITS:
        raise ValueError(
            f"got an RSA key of {bits} bits, expected {LEAST_BITS} to {MOST_BITS}"
        )


class WatchedKey:
    """A private key that is read again when its file has changed.

    Args:
        path: The file.

    Attributes:
        path: The same.
        key: The key that was last read; None without one.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.key: PrivateKey | None = None
        self._seen: object = None

    def load(self) -> None:
        """Read the key, if there is one.

        Raises:
            StartError: It cannot be read; says why.
        """
        self._seen = self._look()
        if self._seen is not None:
            self.key = read_private(self.path)

    def refresh(self) -> bool:
        """Read the key again if its file has changed.

        A key of another kind is not taken, because what is sealed for the server may
        need it; nor is the key given up while its file is missing or cannot be read.

        Returns:
            Whether there is another one.
        """
        seen = self._look()
        if seen == self._seen:
            return False
        self._seen = seen
        if seen is None:
            log.error("%s: removed; the key that was read still holds", self.path)
            return False
        try:
            key = read_private(self.path)
        except StartError as error:
            log.error("%s; the key that was read still holds", error)
            return False
        if self.key is not None and isinstance(key, RSAPrivateKey) is not isinstance(
            self.key, RSAPrivateKey
        ):
            log.error("%s: of another kind; it holds when started anew", self.path)
            return False
        self.key = key
        log.info("%s: read again", self.path)
        return True

    def _look(self) -> object:
        try:
            status = self.path.stat()
        except OSError:
            return None
        # Its mode may be what was wrong with it.
        return status.st_mtime_ns, status.st_size, status.st_ino, status.st_mode


class PublicKeys:
    """The public keys of those who may call, by name: the files of a folder.

    Names are looked up among the keys that were read; no name from a request ever
    becomes a part of a path.

    Args:
        folder: The folder, with files ``NAME.pem``.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._seen: dict[str, object] = {}
        self._keys: dict[str, PublicKey] = {}

    def __len__(self) -> int:
        return len(self._keys)

    def find(self, name: str) -> PublicKey | None:
        """The key of a client.

        Args:
            name: The client's name.

        Returns:
            The key, or None where nobody of that name may call.
        """
        return self._keys.get(name)

    def load(self) -> None:
        """Read all keys.

        Raises:
            StartError: One cannot be read; says where and why.
        """
        try:
            self._seen = self._look()
        except OSError as error:
            raise StartError(f"{self._folder}: {error.strerror}") from error
        self._keys = {name: self._read(name) for name in self._seen}

    def refresh(self) -> None:
        """Read what has changed: new keys admit, removed ones shut out.

        Who has a key that cannot be read is shut out, too: the one before it was
        replaced for a reason.
        """
        try:
            seen = self._look()
        except OSError as error:
            log.error("%s: %s; the keys stay as they are", self._folder, error.strerror)
            return
        if seen == self._seen:
            return
        for name in self._seen.keys() - seen.keys():
            if self._keys.pop(name, None) is not None:
                log.info("%s: shut out, its key was removed", name)
        for name, identity in seen.items():
            if self._seen.get(name) == identity:
                continue
            self._keys.pop(name, None)
            try:
                self._keys[name] = self._read(name)
            except StartError as error:
                log.error("%s; nobody is admitted by it", error)
            else:
                log.info("%s: admitted by its key", name)
        self._seen = seen

    def _look(self) -> dict[str, object]:
        """The names of the keys that there are, each with what tells a change."""
        found: dict[str, object] = {}
        try:
            with os.scandir(self._folder) as entries:
                for entry in entries:
                    name = entry.name.removesuffix(_SUFFIX)
                    if name in (entry.name, SERVER) or NAME.fullmatch(name) is None:
                        continue
                    status = _status(entry)
                    if status is not None:
                        found[name] = status.st_mtime_ns, status.st_size, status.st_ino
        except FileNotFoundError:
            return {}
        return found

    def _read(self, name: str) -> PublicKey:
        path = self._folder / f"{name}{_SUFFIX}"
        try:
            with path.open("rb") as file:
                return read_public(file.read(_LARGEST_FILE))
        except OSError as error:
            raise StartError(f"{path}: {error.strerror}") from error
        except ValueError as error:
            raise StartError(f"{path}: {error}") from error


def _status(entry: os.DirEntry[str]) -> os.stat_result | None:
    """What the system tells of a file; None for what is none."""
    try:
        status = entry.stat()
    except OSError:
        # It was removed just now, or is a link to nothing.
        return None
    return status if stat.S_ISREG(status.st_mode) else None
