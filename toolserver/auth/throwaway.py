"""Keys of a home that is thrown away, with all that has been signed by them."""

from __future__ import annotations

import functools
import time
from collections.abc import Iterable
from pathlib import Path

from toolserver.auth.keys import (
    SERVER,
    PrivateKey,
    generate,
    private_pem,
    public_pem,
)
from toolserver.auth.nonces import Nonces
from toolserver.home import Home

__all__ = ["make_keys"]

#: Seconds for which the memory of nonces says to have been whole: nobody has had the
#: keys before, so nothing can have been signed with them.
_BEFORE = 3600


def make_keys(home: Home, clients: Iterable[str], folder: Path) -> None:
    """Make keys for a server and its clients, and let the server know theirs.

    Args:
        home: The home of the server, which has not been used.
        clients: Names of the clients.
        folder: Where they have their private keys, each named after its owner, and
            the server's public one, ``server.pem``; it is made.
    """
    folder.mkdir(mode=0o700)
    server = _server_key()
    _write_secret(home.privkeys / f"{SERVER}.pem", server)
    (folder / f"{SERVER}.pem").write_text(public_pem(server.public_key()))
    for name in clients:
        key = generate("ed25519")
        _write_secret(folder / f"{name}.pem", key)
        (home.pubkeys / f"{name}.pem").write_text(public_pem(key.public_key()))
    since = int(time.time()) - _BEFORE
    Nonces(home.var / "nonces.db", most=1_000_000, since=since).close()


@functools.cache
def _server_key() -> PrivateKey:
    # PickleRPC seals calls for it, which takes RSA. It takes half a second to make.
    return generate("rsa")


def _write_secret(path: Path, key: PrivateKey) -> None:
    path.touch(0o600)
    path.write_text(private_pem(key))
