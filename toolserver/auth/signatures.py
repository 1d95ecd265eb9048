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
import time
from collections.abc import Callable

from toolserver.auth.algorithms import HMAC_SHA256, VerifyingKey
from toolserver.auth.answers import AnswerSigner
from toolserver.auth.base import Identity
from toolserver.auth.digests import DigestCheck
from toolserver.auth.keys import SERVER, PrivateKey, PublicKeys, WatchedKey
from toolserver.auth.nonces import Nonces
from toolserver.auth.profile import AHEAD, MAX_AGE
from toolserver.auth.sessionfile import SessionFile
from toolserver.auth.sessionkeys import SESSION_FIELD
from toolserver.auth.sessions import Sessions
from toolserver.auth.signedrequests import (
    RequestSignature,
    check_body,
    check_head,
    read_signature,
)
from toolserver.errors import StartError, Unauthenticated
from toolserver.home import Home
from toolserver.message import Request
from toolserver.settings import AuthSettings

__all__ = ["SIGNED_BY", "SignatureAuthenticator"]

log = logging.getLogger("toolserver.auth")

_CHALLENGE = 'Signature realm="toolserver"'
#: The note of a request that has the key by which its signature holds.
SIGNED_BY = "signed by"
#: What tells whether the server is well; whoever asks has no key.
_HEALTH = ("/health/live", "/health/ready", "/health/startup")


class SignatureAuthenticator:
    """Judges signatures, and signs answers to who asks for it.

    Args:
        home: Where the keys are.
        settings: Whether signatures are mandatory, and where not.
        began: When the server's process began, seconds since the epoch.
        secret_of: Gives the secret that callers of a tool share with it, by the tool's
            namespace; None for a tool that has none.
        clock: Tells the time in seconds since the epoch.
    """

    def __init__(
        self,
        home: Home,
        settings: AuthSettings,
        began: float,
        secret_of: Callable[[str], bytes | None] = lambda namespace: None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._secret_of = secret_of
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
            if self._needs_key(request):
                raise _refusal("a signature is needed")
            return None
        try:
            since = self._nonces.since if self._nonces is not None else 0
            signed = read_signature(request, self._clock(), since)
            is_shared = signed.algorithm == HMAC_SHA256
            # Who may come with a key alone is told so, whatever the secret.
            if is_shared and self._needs_key(request):
                raise ValueError("a shared secret does not suffice, a key is needed")
            # The algorithm tells where to look, and what is found there is of one kind:
            # neither can a public key be used as a secret, nor a secret as a key.
            found: VerifyingKey | None = (
                self._secret_of(signed.keyid)
                if is_shared
                else self._keys.find(signed.keyid)
            )
            if found is None:
                log.info("a signature of %r, whose key is not known", signed.keyid)
                raise ValueError("it does not hold")
            check_head(request, signed, found)
            digest = DigestCheck(request.headers["content-digest"])
        except ValueError as error:
            raise _refusal(f"signature: {error}") from error
        # No client has a name with a colon: its nonces are its own.
        owner = f"secret:{signed.keyid}" if is_shared else signed.keyid
        content = check_body(
            request, digest, lambda: self._refuse_used(owner, signed.nonce)
        )
        if not digest.holds:
            raise _refusal("content-digest: not that of the body")
        self._spend(owner, signed)
        seal = None
        signer = self._signer
        if isinstance(found, bytes):
            signer = AnswerSigner(found, self._clock)
        if signer is not None and signer.is_asked(request):
            seal = functools.partial(signer.sign, request, signed.signature)
        if is_shared:
            return Identity(
                None, "CRAM", content=content, seal=seal, unlocks=signed.keyid
            )
        request.notes[SIGNED_BY] = found
        return Identity(signed.keyid, "Signature", content=content, seal=seal)

    def _needs_key(self, request: Request) -> bool:
        return self._settings.rsa_authenticate and not self._is_free(request)

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

    def _refuse_used(self, owner: str, nonce: str) -> None:
        """Refuse what is repeated before a long body is read for nothing."""
        if self._nonces is not None and self._nonces.knows(owner, nonce):
            raise _used()

    def _spend(self, owner: str, signed: RequestSignature) -> None:
        until = signed.created + MAX_AGE + 1
        if self._nonces is None or not self._nonces.store(owner, signed.nonce, until):
            raise _used()


def _refusal(message: str) -> Unauthenticated:
    return Unauthenticated(message, challenge=_CHALLENGE)


def _used() -> Unauthenticated:
    return _refusal("signature: its nonce was used before")
