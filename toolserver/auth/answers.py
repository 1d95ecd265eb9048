"""Signed answers, for who asks for one with a signed request.

Only signed requests get them: a signature costs a thousand times what a request costs,
and should not be had by strangers.

Spec: RFC 9421, sections 2.4 (the signature of the request is covered) and 5
(``Accept-Signature``); RFC 9530, section 2, for answers without a body.
"""

from __future__ import annotations

import copy
import functools
import itertools
import logging
import os
import time
from collections.abc import Callable, Iterable, Iterator

from toolserver.auth.algorithms import SigningKey, algorithm_of, sign
from toolserver.auth.digests import content_digest
from toolserver.auth.keys import SERVER
from toolserver.auth.profile import LABEL, REQUEST_SIGNATURE, TAG, signature_base
from toolserver.auth.sessionkeys import SESSION_FIELD
from toolserver.auth.structured import BareItem, InnerList, Item, parse_dictionary
from toolserver.message import FileBody, Request, Response
from toolserver.nativethreads import offload

__all__ = ["AnswerSigner", "changed", "gather"]

log = logging.getLogger("toolserver.auth")

#: Answers up to this size are held back until they are whole, to be signed.
_LARGEST = 1024 * 1024
_LONGEST_FIELD = 2048
_STATUS, _DIGEST, _KIND = map(Item, ("@status", "content-digest", "content-type"))
_SESSION = Item(SESSION_FIELD)
_OFFERED = (_STATUS, _DIGEST, _KIND, REQUEST_SIGNATURE, _SESSION)
#: Protocols whose answers to signed requests are signed always.
_ALWAYS = frozenset({"PYRPC"})
_EVENTS = "text/event-stream"
_OWN = frozenset({"content-digest", "signature", "signature-input"})


class AnswerSigner:
    """Signs answers.

    Args:
        key: The server's private key, or the secret by which the request was signed.
        clock: Tells the time in seconds since the epoch.
    """

    def __init__(self, key: SigningKey, clock: Callable[[], float] = time.time) -> None:
        self._key = key
        self._clock = clock
        self._algorithm = algorithm_of(key)

    def is_asked(self, request: Request) -> bool:
        """Whether the answer to a signed request has to be signed.

        Args:
            request: The request.
        """
        first = request.raw_path[1:].partition("/")[0]
        field = request.headers.get("accept-signature")
        return first in _ALWAYS or _wanted(field, self._algorithm) is not None

    def sign(self, request: Request, signature: bytes, response: Response) -> Response:
        """Sign an answer; waits for one that is made piece by piece.

        Args:
            request: The request.
            signature: The signature of the request.
            response: The answer.

        Returns:
            The same answer with a signature; without one where it is too long to be
            held back.
        """
        body = gather(response)
        if body is None:
            return response
        is_bodiless = request.method == "HEAD" or response.status in (204, 304)
        fields = [pair for pair in response.headers if pair[0].lower() not in _OWN]
        digest = content_digest(b"" if is_bodiless else body)
        values = {
            _STATUS.text: str(response.status),
            _DIGEST.text: digest,
            REQUEST_SIGNATURE.text: Item(signature).text,
        }
        kinds = [value for name, value in fields if name.lower() == "content-type"]
        if kinds:
            values[_KIND.text] = ", ".join(map(str.strip, kinds))
        granted = [value for name, value in fields if name.lower() == SESSION_FIELD]
        if granted:
            values[_SESSION.text] = granted[0]
        covered = InnerList(
            tuple([item for item in _OFFERED if item.text in values]),
            self._params(request),
        )
        base = signature_base(covered, lambda item: values.get(item.text))
        # Other calls go on meanwhile: a signature by RSA takes milliseconds.
        signed = (
            sign(self._key, base)
            if isinstance(self._key, bytes)
            else offload(sign, self._key, base)
        )
        added = [
            ("Content-Digest", digest),
            ("Signature-Input", f"{LABEL}={covered}"),
            ("Signature", f"{LABEL}={Item(signed)}"),
        ]
        return changed(response, body, [*fields, *added])

    def _params(self, request: Request) -> dict[str, BareItem]:
        params: dict[str, BareItem] = {
            "created": int(self._clock()),
            "keyid": SERVER,
            "alg": self._algorithm,
            "tag": TAG,
        }
        field = request.headers.get("accept-signature")
        wanted = _wanted(field, self._algorithm)
        nonce = wanted.params.get("nonce") if wanted is not None else None
        if isinstance(nonce, str):
            params["nonce"] = nonce
        return params


@functools.lru_cache(256)
def _wanted(field: str | None, algorithm: str) -> InnerList | None:
    """What a request asks for; None for nothing, or for what is not offered."""
    if field is None or len(field) > _LONGEST_FIELD:
        return None
    try:
        wanted = parse_dictionary(field)
    except ValueError:
        return None
    asked = wanted.get(LABEL)
    if len(wanted) != 1 or not isinstance(asked, InnerList):
        return None
    fixed = {"tag": TAG, "keyid": SERVER, "alg": algorithm}
    for name, value in asked.params.items():
        if name not in ("created", "nonce") and value != fixed.get(name):
            return None
    return asked if all(item in _OFFERED for item in asked.items) else None


def changed(
    response: Response, body: bytes, headers: list[tuple[str, str]]
) -> Response:
    """A copy of an answer with another body; a tool may keep the answer itself.

    Args:
        response: The answer.
        body: The body of the copy.
        headers: Its header fields.
    """
    if type(response) is Response:
        # A copy by the library takes longer than to seal it.
        made = Response.__new__(Response)
        made.status = response.status
    else:
        made = copy.copy(response)
    made.body = body
    made.headers = headers
    return made


def gather(response: Response) -> bytes | None:
    """The whole body of an answer; waits for one that is made piece by piece.

    Args:
        response: The answer.

    Returns:
        The body; None where it is too long to be held back, or made of events: the
        answer can be sent as before.
    """
    body = response.body
    if isinstance(body, bytes):
        return body
    if isinstance(body, FileBody):
        if body.length > _LARGEST:
            return None
        try:
            data = offload(os.pread, body.fileno(), body.length, body.offset)
        finally:
            response.close()
        if len(data) != body.length:
            raise EOFError("the file ended before its span")
        return data
    if any(
        name.lower() == "content-type" and value.startswith(_EVENTS)
        for name, value in response.headers
    ):
        # Events are sent as they happen, and for as long as somebody listens.
        return None
    pieces: list[bytes] = []
    size = 0
    remaining = iter(body)
    try:
        for piece in remaining:
            pieces.append(piece)
            size += len(piece)
            if size > _LARGEST:
                response.body = _Resumed(pieces, remaining, body)
                return None
    except BaseException:
        response.close()
        raise
    response.close()
    return b"".join(pieces)


class _Resumed:
    """Pieces that were held back, and those that follow."""

    def __init__(
        self, pieces: list[bytes], remaining: Iterator[bytes], body: Iterable[bytes]
    ) -> None:
        self._pieces = itertools.chain(pieces, remaining)
        self._body = body

    def __iter__(self) -> Iterator[bytes]:
        return self._pieces

    def close(self) -> None:
        close = getattr(self._body, "close", None)
        if close is not None:
            close()
