"""Signs requests, and takes no answers but those that the server has signed.

Spec: RFC 9421 (HTTP Message Signatures), RFC 9530 (Content-Digest).
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
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
from toolserver.auth.signing import (
    SignatureError,
    SignedRequest,
    make_nonce,
    sign_request,
    verify_answer,
)
from toolserver.client.codecs import Answer, bad_answer, excerpt
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

    Raises:
        ValueError: It is to be sealed, and there is no RSA key of the server.
    """

    def __init__(
        self, signer: Signer, further: AuthBase | None, *, seals: bool = False
    ) -> None:
        if seals and not isinstance(signer.public, RSAPublicKey):
            raise ValueError("pubkey: PickleRPC needs an RSA key of the server")
        self._signer = signer
        self._further = further
        self._seals = seals
        self._signed: SignedRequest | None = None
        self._sealed: Sealed | None = None

    def __call__(self, request: PreparedRequest) -> PreparedRequest:
        """Sign a request as it is going to be sent."""
        if self._further is not None:
            request = self._further(request)
        nonce = make_nonce()
        if self._seals:
            self._seal(request, nonce)
        body = request.body or b""
        self._signed = sign_request(
            request.method or "",
            request.url or "",
            request.headers,
            body if isinstance(body, bytes) else str(body).encode(),
            keyid=self._signer.keyid,
            key=self._signer.private,
            cover=(KEY_FIELD,) if self._seals else (),
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
            raise TypeError("nothing can be sealed")
        wrapped, body, self._sealed = seal_request(
            request.body, public, nonce, associated_data(bound_to)
        )
        request.body = body
        request.headers[KEY_FIELD] = wrapped
        request.headers["Content-Length"] = str(len(body))

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

    def check(self, answer: Answer) -> None:
        """Make sure that an answer is the server's, and to this request.

        Args:
            answer: The answer, its body as it was sent.

        Raises:
            AnswerError: It is not signed, or its signature does not hold.
        """
        if self._signer.public is None or self._signed is None:
            return
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
