"""Signs requests with what a tool shares with its callers, and checks the answers.

Spec: RFC 9421 (HTTP Message Signatures), section 3.3.3: ``hmac-sha256``.
"""

from __future__ import annotations

from requests import PreparedRequest
from requests.auth import AuthBase

from toolserver.auth.signing import (
    SignatureError,
    SignedRequest,
    sign_request,
    verify_answer,
)
from toolserver.client.codecs import Answer, bad_answer, excerpt

__all__ = ["SecretSignature"]


class SecretSignature(AuthBase):
    """The signature of one request to a tool, and of its answer.

    As the server knows the secret, too, its answers are taken with a signature alone.

    Args:
        namespace: Dotted name of the tool.
        secret: What is shared with it.
        further: What else the request needs.
    """

    def __init__(self, namespace: str, secret: str, further: AuthBase | None) -> None:
        self._namespace = namespace
        self._secret = secret.encode()
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
            keyid=self._namespace,
            key=self._secret,
        )
        request.headers.update(self._signed.fields)
        return request

    def instead(self, answer: Answer) -> None:
        """Nothing is signed again: there is no session that could have ended."""

    def check(self, answer: Answer) -> Answer:
        """Make sure that an answer comes from who knows the secret, to this request.

        Args:
            answer: The answer, its body as it was sent.

        Returns:
            The answer.

        Raises:
            AnswerError: It is not signed, or its signature does not hold.
        """
        if self._signed is None:
            raise TypeError  # pragma: no cover - a request was signed, or none was sent
        try:
            verify_answer(
                answer.status,
                answer.headers,
                answer.body,
                key=self._secret,
                request=self._signed,
            )
        except SignatureError as error:
            # Anybody may have said it; it may help all the same.
            said = excerpt(answer) or "nothing"
            raise bad_answer(answer, f"{error}; it says: {said}") from error
        return answer

    def open(self, answer: Answer) -> Answer:
        """The answer as it is; nothing is sealed."""
        return answer
