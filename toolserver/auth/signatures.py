"""Requests that their sender has signed.

A request is judged in this order: its shape, its time, whether the key is known, the
signature over its head, the digest of its body, and at last its nonce. So the body is
read only for who holds a key, and a nonce is spent only by a request that is right.

Spec: RFC 9421 (HTTP Message Signatures), RFC 9530 (Content-Digest); `profile` tells
what has to be signed.
"""

from __future__ import annotations

import functools
import logging
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import IO

from toolserver.auth.algorithms import algorithm_of, verify
from toolserver.auth.answers import AnswerSigner
from toolserver.auth.base import Identity
from toolserver.auth.digests import DigestCheck
from toolserver.auth.keys import SERVER, PrivateKey, PublicKey, PublicKeys, WatchedKey
from toolserver.auth.nonces import Nonces
from toolserver.auth.profile import (
    AHEAD,
    LEAST_NONCE,
    MAX_AGE,
    MOST_NONCE,
    REQUEST_COMPONENTS,
    authority,
    check_params,
    read_label,
    signature_base,
)
from toolserver.auth.sessionfile import SessionFile
from toolserver.auth.sessionkeys import SESSION_FIELD
from toolserver.auth.sessions import Sessions
from toolserver.auth.structured import InnerList, Item
from toolserver.errors import StartError, Unauthenticated
from toolserver.home import Home
from toolserver.message import BodyReader, Request
from toolserver.nativethreads import offload
from toolserver.settings import AuthSettings

__all__ = ["SIGNED_BY", "SignatureAuthenticator"]

log = logging.getLogger("toolserver.auth")

_CHALLENGE = 'Signature realm="toolserver"'
#: The note of a request that has the key by which its signature holds.
SIGNED_BY = "signed by"
#: Characters of each of the two fields: it bounds what a stranger can make us read.
_LONGEST_FIELD = 2048
#: Up to this size an RSA signature is checked in less time than a thread would take.
_QUICK_BITS = 4096
_PIECE = 65536
#: What tells whether the server is well; whoever asks has no key.
_HEALTH = ("/health/live", "/health/ready")


@dataclass(frozen=True)
class _Signed:
    """What the fields of a signed request say."""

    covered: InnerList
    signature: bytes
    keyid: str
    nonce: str
    created: int


class SignatureAuthenticator:
    """Judges signatures, and signs answers to who asks for it.

    Args:
        home: Where the keys are.
        settings: Whether signatures are mandatory, and where not.
        began: When the server's process began, seconds since the epoch.
        clock: Tells the time in seconds since the epoch.
    """

    def __init__(
        self,
        home: Home,
        settings: AuthSettings,
        began: float,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._home = home
        self._settings = settings
        self._began = began
        self._clock = clock
        self._keys = PublicKeys(home.pubkeys)
        self._nonces: Nonces | None = None
        self._signer: AnswerSigner | None = None
        self._sessions: Sessions | None = None
        self._own = WatchedKey(home.privkeys / f"{SERVER}.pem")

    def load(self) -> None:
        """Read the keys, and open the memory of nonces.

        Raises:
            StartError: One cannot be read, or signatures are mandatory and the server
                has no key itself; or what needs no signature is no path.
        """
        for free in self._settings.unsigned_paths:
            if not free.startswith("/"):
                raise StartError(
                    f"auth.unsigned_paths: got {free!r}, expected a path from / on"
                )
        self._keys.load()
        self._own.load()
        if self._own.key is not None:
            self._signer = AnswerSigner(self._own.key, self._clock)
        elif self._settings.rsa_authenticate:
            raise StartError(
                f"{self._own.path}: missing, and auth.rsa_authenticate needs it; "
                "make it by: tsctl keygen --server"
            )
        if self._nonces is None:
            self._nonces = Nonces(
                self._home.var / "nonces.db",
                most=self._settings.nonces,
                # Requests from the future may have been accepted before it began.
                since=int(self._began) + AHEAD,
                clock=self._clock,
            )

    def refresh(self) -> None:
        """Read the keys that have changed, of clients and the server's own."""
        self._keys.refresh()
        if self._own.refresh() and self._own.key is not None:
            self._signer = AnswerSigner(self._own.key, self._clock)

    @property
    def own_key(self) -> PrivateKey | None:
        """The server's private key; None where it has none."""
        return self._own.key

    def close(self) -> None:
        """Close the memory of nonces, and of sessions."""
        if self._sessions is not None:
            self._sessions.close()
            self._sessions = None
        if self._nonces is not None:
            self._nonces.close()
            self._nonces = None

    def offer_sessions(self, lifetime: int) -> Sessions:
        """Let clients open sessions by signed requests.

        Args:
            lifetime: How long one can be used, seconds.

        Returns:
            The sessions; what is asked for again is the same.

        Raises:
            StartError: They cannot be kept.
        """
        if self._sessions is None:
            file = SessionFile(
                self._home.var / "sessions", lifetime=lifetime, clock=self._clock
            )
            self._sessions = Sessions(file, self._keys.find, self._clock)
        return self._sessions

    def knows(self, client: str) -> bool:
        """Whether there is a key of a client."""
        return self._keys.find(client) is not None

    def authenticate(self, request: Request) -> Identity | None:
        """Judge the signature of a request; see `Authenticator`."""
        headers = request.headers
        if not ("signature-input" in headers or "signature" in headers):
            if self._sessions is not None and SESSION_FIELD in headers:
                return self._sessions.authenticate(request)
            if self._settings.rsa_authenticate and not self._is_free(request):
                raise _refusal("a signature is needed")
            return None
        try:
            signed = self._read(request)
            key = self._keys.find(signed.keyid)
            if key is None:
                log.info("a signature of %r, whose key is not known", signed.keyid)
                raise ValueError("it does not hold")
            self._check_head(request, signed, key)
            digest = DigestCheck(request.headers["content-digest"])
        except ValueError as error:
            raise _refusal(f"signature: {error}") from error
        content = self._check_body(request, signed, digest)
        self._spend(signed)
        request.notes[SIGNED_BY] = key
        seal = None
        if self._signer is not None and self._signer.is_asked(request):
            seal = functools.partial(self._signer.sign, request, signed.signature)
        return Identity(signed.keyid, "Signature", content=content, seal=seal)

    def _is_free(self, request: Request) -> bool:
        """Whether a path is open to who has no key."""
        path = request.raw_path
        if path in _HEALTH:
            return True
        # Who escapes letters, or goes upwards, means another place than it seems.
        if (
            "%" in path
            or "//" in path
            or any(part in (".", "..") for part in path.split("/"))
        ):
            return False
        return any(
            path.startswith(free) if free.endswith("/") else path == free
            for free in self._settings.unsigned_paths
        )

    def _read(self, request: Request) -> _Signed:
        fields = tuple(
            _single(request, name) for name in ("signature-input", "signature")
        )
        covered, signature = read_label((fields[0], fields[1]))
        now = self._clock()
        params = check_params(covered, ("created", "keyid", "nonce"), now)
        needed = list(REQUEST_COMPONENTS)
        if "content-type" in request.headers:
            needed.append("content-type")
            _single(request, "content-type")
        _single(request, "content-digest")
        names = {item.text for item in covered.items}
        for name in needed:
            if f'"{name}"' not in names:
                raise ValueError(f"{name}: not covered")
        nonce = str(params["nonce"])
        if not LEAST_NONCE <= len(nonce) <= MOST_NONCE:
            raise ValueError(f"nonce: expected {LEAST_NONCE} to {MOST_NONCE} letters")
        created = covered.params["created"]
        since = self._nonces.since if self._nonces is not None else 0
        if not isinstance(created, int) or created < since:
            raise ValueError(
                "created: before the memory of the server begins; sign anew in "
                f"{max(1, since - int(now))} s"
            )
        return _Signed(covered, signature, str(params["keyid"]), nonce, created)

    def _check_head(self, request: Request, signed: _Signed, key: PublicKey) -> None:
        if signed.covered.params.get("alg", algorithm_of(key)) != algorithm_of(key):
            raise ValueError("alg: not the algorithm of the key")
        base = signature_base(signed.covered, functools.partial(_value_of, request))
        is_quick = getattr(key, "key_size", 0) <= _QUICK_BITS
        holds = (
            verify(key, base, signed.signature)
            if is_quick
            else offload(verify, key, base, signed.signature)
        )
        if not holds:
            raise ValueError("it does not hold")

    def _check_body(
        self, request: Request, signed: _Signed, digest: DigestCheck
    ) -> bytes | BodyReader | None:
        """Compare the body with its digest; what has to be read instead of it."""
        spooled = None
        if isinstance(request.content, bytes):
            digest.update(request.content)
        elif self._nonces is not None and self._nonces.knows(
            signed.keyid, signed.nonce
        ):
            # Before a long body is read for nothing.
            raise _used()
        else:
            spooled = _spool(request, digest)
        if not digest.holds:
            raise _refusal("content-digest: not that of the body")
        return spooled

    def _spend(self, signed: _Signed) -> None:
        until = signed.created + MAX_AGE + 1
        if self._nonces is None or not self._nonces.store(
            signed.keyid, signed.nonce, until
        ):
            raise _used()


class _SpooledBody:
    """A body that was read once, and can be read again.

    Its file is closed when nothing refers to it any more: an answer that is made piece
    by piece may read it after the call.
    """

    __slots__ = ("_file",)

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file

    def __del__(self) -> None:
        self._file.close()

    def read(self, size: int = -1, /) -> bytes:
        """Up to `size` bytes, all that remain when negative; empty at the end."""
        return self._file.read(size)

    def readline(self, size: int = -1, /) -> bytes:
        """One line with its end, cut at `size` bytes when not negative."""
        return self._file.readline(size)

    def readlines(self, hint: int = -1, /) -> list[bytes]:
        """The remaining lines, at least `hint` bytes of them when positive."""
        return self._file.readlines(hint)

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._file)


def _spool(request: Request, digest: DigestCheck) -> bytes | BodyReader:
    """Read a body that is still arriving, to where it can be read again."""
    source, memory = request.stream, request.limits.upload_memory
    with ExitStack() as stack:
        file = stack.enter_context(tempfile.SpooledTemporaryFile(max(1, memory)))
        while piece := source.read(_PIECE):
            digest.update(piece)
            file.write(piece)
        size = file.tell()
        file.seek(0)
        if size <= memory:
            return file.read()
        stack.pop_all()
        return _SpooledBody(file)


def _single(request: Request, name: str) -> str:
    """The value of a field that may be there once only."""
    values = request.headers.get_all(name)
    if len(values) != 1:
        raise ValueError(f"{name}: expected one, got {len(values)}")
    if len(values[0]) > _LONGEST_FIELD:
        raise ValueError(f"{name}: more than {_LONGEST_FIELD} characters")
    return values[0].strip(" \t")


def _value_of(request: Request, item: Item) -> str | None:
    """The value of a component of a request, as it was sent (RFC 9421, section 2)."""
    if item.params:
        return None
    match item.value:
        case "@method":
            return request.method
        case "@authority":
            return authority(request.host, request.scheme)
        case "@path":
            return request.raw_path
        case "@query":
            return f"?{request.query_string}"
    values = request.headers.get_all(str(item.value))
    if not values or str(item.value) != str(item.value).lower():
        return None
    return ", ".join(value.strip(" \t") for value in values)


def _refusal(message: str) -> Unauthenticated:
    return Unauthenticated(message, challenge=_CHALLENGE)


def _used() -> Unauthenticated:
    return _refusal("signature: its nonce was used before")
