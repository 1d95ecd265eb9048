"""Who may attach: the owner of the server, or who knows the password.

A Unix socket tells by the system whose process is at its other end. Over TCP both
sides prove that they know the password, which is never sent: each answers a challenge
of the other with an HMAC-SHA-256 under a key made of the password by scrypt (RFC 7914),
so that who has listened cannot try passwords quickly.
"""

from __future__ import annotations

import functools
import hashlib
import hmac
import os
import socket
import stat
import struct
from dataclasses import dataclass
from pathlib import Path

from toolserver.errors import StartError

__all__ = ["CLIENT", "SERVER", "Peer", "derive_key", "peer_of", "read_key", "respond"]

#: Who answers a challenge: an answer of one is none of the other.
CLIENT, SERVER = "client", "server"
#: Bytes of a password at least, and at most.
_SHORTEST, _LONGEST = 12, 1024
_SALT = b"toolserver debugger"
#: struct ucred of Linux: pid, uid, gid.
_CREDENTIALS = struct.Struct("iII")


@dataclass(frozen=True)
class Peer:
    """The process at the other end of a Unix socket.

    Attributes:
        pid: Its pid.
        uid: Its user.
    """

    pid: int
    uid: int

    @property
    def is_owner(self) -> bool:
        """Whether it may do with this process what it likes anyway."""
        return self.uid in (0, os.geteuid())

    def __str__(self) -> str:
        return f"uid {self.uid}, pid {self.pid}"


def peer_of(sock: socket.socket) -> Peer:
    """Ask the system who is at the other end of a Unix socket.

    Args:
        sock: The socket, connected.

    Raises:
        OSError: The system does not tell.
    """
    option = getattr(socket, "SO_PEERCRED", None)
    if option is None:
        raise OSError("the system does not tell who is at the other end")
    told = sock.getsockopt(socket.SOL_SOCKET, option, _CREDENTIALS.size)
    pid, uid, _ = _CREDENTIALS.unpack(told)
    return Peer(pid, uid)


@functools.lru_cache(4)
def derive_key(password: bytes) -> bytes:
    """Make the key of a password; takes some 50 ms.

    Args:
        password: The password.
    """
    return hashlib.scrypt(password, salt=_SALT, n=2**14, r=8, p=1)


def read_key(path: Path) -> bytes:
    """Make the key of the password that a file holds.

    Args:
        path: The file: one line, for its owner alone.

    Raises:
        StartError: It cannot be read, others may read it, or the password is short.
    """
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            password = file.read(_LONGEST + 1).strip()
    except OSError as error:
        raise StartError(
            f"debugger: the password cannot be read from {path}: {error.strerror}"
        ) from error
    if stat.S_IMODE(mode) & 0o077:
        raise StartError(
            f"debugger: others may read the password in {path}; 'chmod 600' it"
        )
    if not _SHORTEST <= len(password) <= _LONGEST:
        raise StartError(
            f"debugger: the password in {path} has {len(password)} bytes, expected "
            f"from {_SHORTEST} to {_LONGEST}"
        )
    return derive_key(password)


def respond(key: bytes, role: str, challenge: str, nonce: str) -> str:
    """Answer a challenge.

    Args:
        key: The key of the password.
        role: Who answers, `CLIENT` or `SERVER`.
        challenge: The challenge of the server.
        nonce: The challenge of the client.

    Returns:
        Hexadecimal digits.
    """
    # Neither of the parts can hold the separator.
    text = "\0".join((role, challenge, nonce))
    return hmac.new(key, text.encode(), hashlib.sha256).hexdigest()
