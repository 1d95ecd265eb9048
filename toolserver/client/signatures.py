"""Signs requests, and takes no answers but those that the server has signed.

Spec: RFC 9421 (HTTP Message Signatures), RFC 9530 (Content-Digest).
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from requests import PreparedRequest
from requests.auth import AuthBase

from toolserver.auth.keys import read_private, read_public
from toolserver.auth.profile import authority
from toolserver.auth.sealing import (
    KEY_FIELD,
    Sealed,
    associated_data,
    seal_request,
)
from toolserver.auth.sessionkeys import (
    NEW,
    SESSION_FIELD,
    UNKNOWN,
    Grant,
    Numbered,
    SessionKeys,
    ask_instead,
    write_session,
)
from toolserver.auth.signing import (
    SignatureError,
    SignedRequest,
    covers,
    make_nonce,
    sign_request,
    verify_answer,
)
from toolserver.client.codecs import Answer, bad_answer, excerpt
from toolserver.client.sessions import ClientSession, SessionHolder
from toolserver.errors import StartError

__all__ = ["SEALED", "Signature", "Signer"]

#: The content type of sealed bodies.
SEALED = "application/vnd.toolserver.pickle"


class Signer:
    """The keys of a client.

    Args:
        privkey: File with the client's private key.
        pubkey: File with the server's public key; None to believe any answer.
        localname: The name by which the server knows the client; by default that of
            the file, without its suffix.

    Raises:
        ValueError: A file holds no such key, or others may read the private one.
        FileNotFoundError: There is no such file.
    """

    def __init__(
        self, privkey: Path, pubkey: Path | None, localname: str | None
    ) -> None:
        self.keyid = localname or privkey.stem
        self.sessions = SessionHolder()
        if not privkey.exists():
            raise FileNotFoundError(2, "no such private key", str(privkey))
        try:
            self.private = read_private(privkey)
        except StartError as error:
            raise ValueError(str(error)) from error
        self.public = None
        if pubkey is not None:
            try:
                self.public = read_public(pubkey.read_bytes())
            except ValueError as error:
                raise ValueError(f"{pubkey}: {error}") from error


class Signature(AuthBase):
    """The signature of one request, and of its answer.

    Args:
        signer: The keys.
        further: What else the request needs.
        seals: Whether the body is sealed for the server, and the answer's opened.
        instead_of: The request of a session that was refused, in place of which this
            one is signed.

    Raises:
        ValueError: It is to be sealed, and there is no RSA key of the server.
    """

    def __init__(
        self,
        signer: Signer,
        further: AuthBase | None,
        *,
        seals: bool = False,
        instead_of: Numbered | None = None,
    ) -> None:
        if seals and not isinstance(signer.public, RSAPublicKey):
            raise ValueError("pubkey: PickleRPC needs an RSA key of the server")
        self._signer = signer
        self._further = further
        self._seals = seals
        self._signed: SignedRequest | None = None
        self._sealed: Sealed | None = None
        self._instead_of = instead_of
        self._session: ClientSession | None = None
        self._asks = False
        if seals and instead_of is None:
            self._session = signer.sessions.session
        self._number: Numbered | None = None
        self._bound_to = b""

    def __call__(self, request: PreparedRequest) -> PreparedRequest:
        """Sign a request as it is going to be sent."""
        if self._further is not None:
            request = self._further(request)
        if self._session is not None:
            self._seal_in(self._session, request)
            return request
        nonce = make_nonce()
        cover: tuple[str, ...] = ()
        if self._seals:
            self._seal(request, nonce)
            cover = (KEY_FIELD,)
            if self._instead_of is not None or self._signer.sessions.asks():
                refused = self._instead_of
                ask = NEW if refused is None else ask_instead(refused)
                request.headers[SESSION_FIELD] = ask
                self._asks = True
                cover = (KEY_FIELD, SESSION_FIELD)
        body = request.body or b""
        self._signed = sign_request(
            request.method or "",
            request.url or "",
            request.headers,
            body if isinstance(body, bytes) else str(body).encode(),
            keyid=self._signer.keyid,
            key=self._signer.private,
            cover=cover,
            nonce=nonce,
            asks=self._signer.public is not None,
        )
        request.headers.update(self._signed.fields)
        return request

    def _seal(self, request: PreparedRequest, nonce: str) -> None:
        """Put what the server alone can open in the place of the body."""
        parts = urlsplit(request.url or "")
        bound_to = (
            request.method or "",
            authority(parts.netloc.rpartition("@")[2], parts.scheme),
            parts.path,
            parts.query,
            self._signer.keyid,
            nonce,
        )
        public = self._signer.public
        if not isinstance(public, RSAPublicKey) or not isinstance(request.body, bytes):
            raise TypeError  # pragma: no cover - the transport sees to both
        wrapped, body, self._sealed = seal_request(
            request.body, public, nonce, associated_data(bound_to)
        )
        request.body = body
        request.headers[KEY_FIELD] = wrapped
        request.headers["Content-Length"] = str(len(body))

    def _seal_in(self, session: ClientSession, request: PreparedRequest) -> None:
        """Put what the server alone can open in the place of the body, in a session."""
        if not isinstance(request.body, bytes):
            raise TypeError  # pragma: no cover - what is sealed has a body
        parts = urlsplit(request.url or "")
        self._bound_to = SessionKeys.bound_to(
            method=request.method or "",
            authority=authority(parts.netloc.rpartition("@")[2], parts.scheme),
            path=parts.path,
            query=parts.query,
            kind=request.headers.get("Content-Type", ""),
            sender=self._signer.keyid,
        )
        self._number = session.number()
        request.body = session.keys.seal_request(
            request.body, self._number.number, self._bound_to
        )
        request.headers[SESSION_FIELD] = write_session(session.id)
        request.headers["Content-Length"] = str(len(request.body))

    def instead(self, answer: Answer) -> Self | None:
        """What signs the request again where its session was refused.

        Anybody may have said so. The server makes sure that the request which was
        refused is not taken besides the one that is sent in its place.

        Args:
            answer: The answer, its body as it was sent.

        Returns:
            The signature of the request that is sent in its place, or None where it
            was not refused.
        """
        if (
            self._session is None
            or answer.status != 401
            or answer.headers.get("www-authenticate") != UNKNOWN
            or SESSION_FIELD in answer.headers
        ):
            return None
        self._signer.sessions.forget(self._session)
        return type(self)(
            self._signer, self._further, seals=True, instead_of=self._number
        )

    def open(self, answer: Answer) -> Answer:
        """Open a sealed answer; others are as they are.

        Args:
            answer: The answer, its signature checked.

        Returns:
            The answer with what was sealed as its body.

        Raises:
            AnswerError: It was not sealed for this request.
        """
        if self._sealed is None or answer.media_type != SEALED:
            return answer
        try:
            return replace(answer, body=self._sealed.open(answer.body))
        except ValueError as error:
            raise bad_answer(answer, f"the answer {error}") from error

    def check(self, answer: Answer) -> Answer:
        """Make sure that an answer is the server's, and to this request.

        Args:
            answer: The answer, its body as it was sent.

        Returns:
            The answer; of one that was sealed in a session, what was sealed.

        Raises:
            AnswerError: It is neither signed nor sealed, or its signature does not
                hold.
        """
        if self._session is not None and self._number is not None:
            return self._check_in(self._session, self._number, answer)
        if self._signer.public is None or self._signed is None:
            return answer
        try:
            verify_answer(
                answer.status,
                answer.headers,
                answer.body,
                key=self._signer.public,
                request=self._signed,
            )
        except SignatureError as error:
            # Anybody may have said it; it may help all the same.
            said = excerpt(answer) or "nothing"
            raise bad_answer(answer, f"{error}; it says: {said}") from error
        if self._asks and self._sealed is not None:
            self._keep_session(answer, self._sealed.session_secret())
        return answer

    def _check_in(
        self, session: ClientSession, number: Numbered, answer: Answer
    ) -> Answer:
        if answer.headers.get(SESSION_FIELD) == write_session(session.id):
            try:
                body = session.keys.open_answer(
                    answer.body,
                    number.number,
                    self._bound_to,
                    answer.status,
                    answer.content_type,
                )
            except ValueError as error:
                raise bad_answer(answer, f"the answer {error}") from error
            return replace(answer, body=body)
        said = excerpt(answer) or "nothing"
        raise bad_answer(answer, f"the answer is not sealed; it says: {said}")

    def _keep_session(self, answer: Answer, secret: bytes) -> None:
        """Use the session that an answer grants, if its signature tells of it."""
        field = answer.headers.get(SESSION_FIELD)
        if field is None or not covers(answer.headers, SESSION_FIELD):
            return
        try:
            self._signer.sessions.keep(Grant.read(field), secret)
        except ValueError as error:
            raise bad_answer(answer, str(error)) from error
