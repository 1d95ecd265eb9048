"""Sends requests by a session of requests: time-outs, retries, bounded answers."""

from __future__ import annotations

import errno
import functools
import io
import os
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from requests.auth import AuthBase, HTTPBasicAuth
from urllib3.exceptions import HTTPError
from urllib3.response import HTTPResponse

from toolserver import __version__
from toolserver.client.causes import explain, was_sent
from toolserver.client.codecs import Answer, Outgoing
from toolserver.client.failures import (
    AnswerError,
    AnswerTimeout,
    ConnectionFailed,
    TransportError,
)
from toolserver.client.unixsocket import UnixAdapter
from toolserver.traces import outgoing

if TYPE_CHECKING:
    from toolserver.client.sharedsecrets import SecretSignature
    from toolserver.client.signatures import Signature

__all__ = ["Options", "Transport"]

_SCHEMES = ("http", "https", "http+unix")
_PIECE = 65536
#: Connections that are kept open, for as many calls at the same time.
_KEPT = 256
#: Seconds before the second attempt; each further one waits twice as long.
_BACKOFF = 0.1
#: Seconds for which a server may keep its answer back.
_PATIENCE = 20.0
#: Seconds after which a server that asks to come again is not asked again.
_LONGEST_WAIT = 60.0


@dataclass(frozen=True)
class Options:
    """How requests are sent.

    Attributes:
        basic: Name and password for Basic authentication (RFC 7617).
        token: Bearer token (RFC 6750).
        timeout: Seconds for a call with all its attempts; None for no bound.
        retries: Further attempts after failures that have done nothing.
        verify: Whether certificates are checked, or a file of those to trust.
        cert: File of the client's own certificate and key, or a file of each.
        proxies: URLs of proxies by scheme; None for those of the environment.
        headers: Further header fields of each request.
        privkey: File with the client's private key, with which requests are signed.
        pubkey: File with the server's public key; answers have to be signed then.
        localname: The name by which the server knows the client.
        secrets: What is shared with tools, by their namespaces.
        max_answer: Size of an answer, bytes, decompressed.
    """

    basic: tuple[str, str] | None = None
    token: str | None = None
    timeout: float | None = 60.0
    retries: int = 2
    verify: bool | str = True
    cert: str | tuple[str, str] | None = None
    proxies: Mapping[str, str] | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    privkey: str | None = None
    pubkey: str | None = None
    localname: str | None = None
    secrets: Mapping[str, str] = field(default_factory=dict)
    max_answer: int = 64 * 1024 * 1024


class Transport:
    """The way to one server; may be used by any number of threads or greenlets.

    Args:
        url: Address of the server, ``http+unix:///path`` for a Unix socket.
        options: How requests are sent.

    Raises:
        ValueError: The address is none.
        FileNotFoundError: A file of certificates is not there.
    """

    def __init__(self, url: str, options: Options) -> None:
        self.url = url
        self._options = options
        self._session = session = requests.Session()
        scheme, path = _check_url(url)
        _check_files(options)
        if scheme == "http+unix":
            self._base = "http://localhost"
            session.mount("http://", UnixAdapter(path))
            session.trust_env = False
        else:
            self._base = url.partition("?")[0].rstrip("/")
            adapter = HTTPAdapter(pool_maxsize=_KEPT)
            session.mount(f"{scheme}://", adapter)
            # What is said here is not to be changed by the environment.
            session.trust_env = options.proxies is None
        if options.basic is not None and options.token is not None:
            raise ValueError("basic and token exclude each other")
        session.auth = self._basic = _basic(options.basic) or _bearer(options.token)
        self._signer = _signer(options)
        self._sign_for = _secret_signer(options, self._basic)
        session.cert = options.cert
        session.proxies.update(options.proxies or {})
        session.headers["User-Agent"] = f"toolserver/{__version__}"
        session.headers.update(options.headers)

    @property
    def patience(self) -> float:
        """Seconds for which a server may be asked to wait before it answers."""
        timeout = self._options.timeout
        return _PATIENCE if timeout is None else min(_PATIENCE, timeout / 2)

    def close(self) -> None:
        """Close all connections."""
        self._session.close()

    def send(self, request: Outgoing, is_repeatable: Callable[[], bool]) -> Answer:
        """Send a request and wait for the answer.

        Args:
            request: The request.
            is_repeatable: Tells whether it does no harm to send it twice; only asked
                when that matters.

        Returns:
            The answer.

        Raises:
            ConnectionFailed: There was no connection, or it broke.
            AnswerTimeout: There was no answer in time.
            AnswerError: The answer is too large, or cannot be read.
        """
        options = self._options
        deadline = None
        if options.timeout is not None:
            deadline = time.monotonic() + options.timeout
        attempt = 0
        while True:
            wait = _BACKOFF * 2**attempt * random.uniform(0.5, 1.5)  # noqa: S311 - no secret
            is_last = attempt >= options.retries
            try:
                answer = self._exchange(request, deadline)
            except ConnectionFailed as error:
                is_repeated = request.key is not None or not error.is_sent
                if is_last or not (is_repeated or is_repeatable()):
                    raise
            else:
                still_runs = request.key is not None and _still_runs(answer)
                told = _retry_after(answer) if still_runs else _told_wait(answer)
                if told is None or (is_last and not still_runs):
                    return answer
                # An attempt that was thought lost is answered in the end: waiting for
                # it is no further one.
                attempt -= still_runs
                wait = max(wait, told)
                if deadline is not None and time.monotonic() + wait > deadline:
                    return answer
            if deadline is not None:
                wait = min(wait, max(0.0, deadline - time.monotonic()))
            time.sleep(wait)
            attempt += 1

    def _exchange(self, request: Outgoing, deadline: float | None) -> Answer:
        signature: Signature | SecretSignature | None = None
        if self._sign_for is not None and request.signed_for is not None:
            signature = self._sign_for(request.signed_for)
        elif self._signer is not None:
            signature = self._signer(self._basic, seals=request.is_sealed)
        answer, instead = self._attempt(request, deadline, signature)
        if instead is not None:
            # The server knows nothing of the session any more.
            answer, _ = self._attempt(request, deadline, instead)
        return answer

    def _attempt(
        self,
        request: Outgoing,
        deadline: float | None,
        signature: Signature | SecretSignature | None,
    ) -> tuple[Answer, Signature | None]:
        """The answer, and what signs the request if it has to be sent once more."""
        remaining = None
        if deadline is not None:
            # Zero would mean not to wait at all.
            remaining = max(0.001, deadline - time.monotonic())
        try:
            response = self._session.request(
                "GET" if request.body is None else "POST",
                self._base + request.path,
                data=request.body,
                headers=_headers(request),
                auth=signature,
                timeout=remaining,
                # That of the session would give way to what the environment says.
                verify=self._options.verify,
                allow_redirects=False,
                stream=True,
            )
        except (requests.RequestException, HTTPError, OSError, ValueError) as error:
            raise self._failure(error, is_sent=was_sent(error)) from error
        headers = {name.lower(): value for name, value in response.headers.items()}
        answer = Answer(self.url, response.status_code, headers, b"")
        with response:
            try:
                if signature is None:
                    return self._read(response.raw, answer, deadline), None
                # What is signed is what was sent, compressed if it was.
                sent = self._read(response.raw, answer, deadline, unpacks=False)
                instead = signature.instead(sent)
                if instead is not None:
                    return sent, instead
                sent = signature.check(sent)
                opened = self._read(_packed(sent), answer, deadline)
                return signature.open(opened), None
            except (requests.RequestException, HTTPError) as error:
                raise self._failure(error, is_sent=True) from error

    def _read(
        self,
        raw: HTTPResponse,
        answer: Answer,
        deadline: float | None,
        *,
        unpacks: bool = True,
    ) -> Answer:
        """Complete an answer by its body."""
        most = self._options.max_answer
        pieces, size = [], 0
        while piece := raw.read1(_PIECE, decode_content=unpacks):
            size += len(piece)
            if size > most:
                raise AnswerError(
                    f"answer of more than {most} bytes",
                    url=self.url,
                    status=answer.status,
                )
            if deadline is not None and time.monotonic() > deadline:
                raise self._timeout()
            pieces.append(piece)
        return replace(answer, body=b"".join(pieces))

    def _failure(self, error: Exception, *, is_sent: bool) -> TransportError:
        text = explain(error)
        if text is None:
            return self._timeout()
        return ConnectionFailed(text, url=self.url, is_sent=is_sent)

    def _timeout(self) -> AnswerTimeout:
        return AnswerTimeout(
            f"no answer within {self._options.timeout:g} s", url=self.url
        )


def _check_url(url: str) -> tuple[str, str]:
    """The scheme and the path of an address."""
    try:
        parts = urlsplit(url)
        has_host = bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError as error:
        raise ValueError(f"url: got {url!r}: {error}") from error
    if parts.scheme not in _SCHEMES or not (
        has_host or (parts.scheme == "http+unix" and parts.path)
    ):
        raise ValueError(f"url: got {url!r}, expected http://HOST:PORT/")
    return parts.scheme, parts.path


def _check_files(options: Options) -> None:
    """Miss files of certificates now, and not only when they are used."""
    cert = options.cert or ()
    for name in (options.verify, *((cert,) if isinstance(cert, str) else cert)):
        if isinstance(name, str) and not os.path.exists(name):
            raise FileNotFoundError(
                errno.ENOENT, "no file of certificates", os.fspath(name)
            )


class _Bearer(AuthBase):
    """Sends a token; a header alone would give way to what ``.netrc`` says."""

    def __init__(self, token: str) -> None:
        self._field = f"Bearer {token}"

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = self._field
        return request


def _bearer(token: str | None) -> AuthBase | None:
    if token is None:
        return None
    if not token or not token.isascii() or not token.isprintable() or " " in token:
        raise ValueError("token: expected one word of printable ASCII")
    return _Bearer(token)


def _basic(pair: tuple[str, str] | None) -> AuthBase | None:
    if pair is None:
        return None
    # As text requests would send it in Latin-1.
    return HTTPBasicAuth(*(part.encode() for part in pair))


def _signer(options: Options) -> Callable[..., Signature] | None:
    """What makes the signature of each request; None without keys."""
    if options.privkey is None:
        if options.pubkey is not None or options.localname is not None:
            raise ValueError("privkey: missing, expected with pubkey and localname")
        return None
    # Most clients have no keys, and need not load what reads them.
    from toolserver.client.signatures import Signature, Signer

    pubkey = None if options.pubkey is None else Path(options.pubkey)
    signer = Signer(Path(options.privkey), pubkey, options.localname)
    return functools.partial(Signature, signer)


def _secret_signer(
    options: Options, further: AuthBase | None
) -> Callable[[str], SecretSignature] | None:
    """What makes the signature of a request to a tool; None without secrets."""
    secrets = options.secrets
    if not secrets:
        return None
    if options.privkey is not None:
        raise ValueError("secrets and privkey exclude each other")
    for namespace, secret in secrets.items():
        if not secret:
            raise ValueError(f"secrets: got none for {namespace!r}, expected text")
    from toolserver.client.sharedsecrets import SecretSignature

    return lambda namespace: SecretSignature(namespace, secrets[namespace], further)


def _packed(answer: Answer) -> HTTPResponse:
    """A body that has arrived, to be read once more."""
    coding = answer.headers.get("content-encoding")
    return HTTPResponse(
        io.BytesIO(answer.body),
        headers={} if coding is None else {"Content-Encoding": coding},
        preload_content=False,
    )


def _headers(request: Outgoing) -> dict[str, str]:
    headers = dict(request.headers)
    if request.key is not None:
        headers["Idempotency-Key"] = _quoted(request.key)
    return headers | outgoing()


def _quoted(key: str) -> str:
    """A key as its header carries it (RFC 9651, section 3.3.3)."""
    escaped = key.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _still_runs(answer: Answer) -> bool:
    """Whether an earlier request with the same key is not answered yet."""
    return (
        answer.status == 409 and answer.headers.get("x-rest-errorobject") == "KeyInUse"
    )


def _told_wait(answer: Answer) -> float | None:
    """Seconds after which a server asks to come again with what it did not do."""
    if answer.status != 503 or (
        # This call has been made, for as long as it may take.
        answer.headers.get("x-rest-errorobject") == "CallTimeout"
    ):
        return None
    return _retry_after(answer)


def _retry_after(answer: Answer) -> float | None:
    """The seconds that an answer names; None for very many or none."""
    told = answer.headers.get("retry-after", "")
    wait = float(told) if told.isdecimal() else _LONGEST_WAIT
    return wait if wait < _LONGEST_WAIT else None
