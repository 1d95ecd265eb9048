"""Signs requests, and takes no answers but those that the server has signed.

Spec: RFC 9421 (HTTP Message Signatures), RFC 9530 (Content-Digest).
"""

from __future__ import annotations

from pathlib import Path

from requests import PreparedRequest
from requests.auth import AuthBase

from toolserver.auth.keys import read_private, read_public
from toolserver.auth.signing import (
    SignatureError,
    SignedRequest,
    sign_request,
    verify_answer,
)
from toolserver.client.codecs import Answer, bad_answer, excerpt
from toolserver.errors import StartError

__all__ = ["Signature", "Signer"]


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
    """

    def __init__(self, signer: Signer, further: AuthBase | None) -> None:
        self._signer = signer
        self._further = further
        self._signed: SignedRequest | None = None

    def __call__(self, request: PreparedRequest) -> PreparedRequest:
        """Sign a request as it is going to be sent."""
        if self._further is not None:
            request = self._further(request)
        body = request.body or b""
        self._signed = sign_request(
            request.method or "",
            request.url or "",
            request.headers,
            body if isinstance(body, bytes) else str(body).encode(),
            keyid=self._signer.keyid,
            key=self._signer.private,
            asks=self._signer.public is not None,
        )
        request.headers.update(self._signed.fields)
        return request

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
