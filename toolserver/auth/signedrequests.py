"""What a signed request says, and whether it holds: by itself, without any keys.

Spec: RFC 9421 (HTTP Message Signatures), RFC 9530 (Content-Digest); `profile` tells
what has to be signed.
"""

from __future__ import annotations

import functools
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import IO

from toolserver.auth.algorithms import VerifyingKey, algorithm_of, verify
from toolserver.auth.digests import DigestCheck
from toolserver.auth.profile import (
    LEAST_NONCE,
    MOST_NONCE,
    REQUEST_COMPONENTS,
    authority,
    check_params,
    read_label,
    signature_base,
)
from toolserver.auth.structured import InnerList, Item
from toolserver.message import BodyReader, Request
from toolserver.nativethreads import offload

__all__ = ["RequestSignature", "check_body", "check_head", "read_signature"]

#: Characters of each of the two fields: it bounds what a stranger can make us read.
_LONGEST_FIELD = 2048
#: Up to this size an RSA signature is checked in less time than a thread would take.
_QUICK_BITS = 4096
_PIECE = 65536


@dataclass(frozen=True)
class RequestSignature:
    """What the fields of a signed request say.

    Attributes:
        covered: The components and the parameters.
        signature: The signature.
        keyid: Whose it says to be.
        nonce: What makes the request one of its kind.
        created: When it was made, seconds since the epoch.
        algorithm: The algorithm that it names; empty where it leaves that to the key.
    """

    covered: InnerList
    signature: bytes
    keyid: str
    nonce: str
    created: int
    algorithm: str


def read_signature(request: Request, now: float, since: int) -> RequestSignature:
    """Read the signature of a request, and check its form and its time.

    Args:
        request: The request.
        now: The time, seconds since the epoch.
        since: What was made before may have been accepted before, seconds since the
            epoch.

    Returns:
        The signature, of which it is not known whether it holds.

    Raises:
        ValueError: It is not as it has to be.
    """
    fields = tuple(_single(request, name) for name in ("signature-input", "signature"))
    covered, signature = read_label((fields[0], fields[1]))
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
    if not isinstance(created, int) or created < since:
        raise ValueError(
            "created: before the memory of the server begins; sign anew in "
            f"{max(1, since - int(now))} s"
        )
    return RequestSignature(
        covered,
        signature,
        str(params["keyid"]),
        nonce,
        created,
        str(params.get("alg", "")),
    )


def check_head(request: Request, signed: RequestSignature, key: VerifyingKey) -> None:
    """Make sure that a signature was made with a key, over the head of a request.

    Args:
        request: The request.
        signed: Its signature.
        key: The key; it alone says which algorithm is used.

    Raises:
        ValueError: It was not.
    """
    if (signed.algorithm or algorithm_of(key)) != algorithm_of(key):
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


def check_body(
    request: Request, digest: DigestCheck, before: Callable[[], None]
) -> bytes | BodyReader | None:
    """Read the body that a digest is of.

    Args:
        request: The request.
        digest: Its digest, which is told of the body.
        before: Called before a body is read that is still arriving.

    Returns:
        The body, where it had to be read; it takes the place of the request's own.
    """
    if isinstance(request.content, bytes):
        digest.update(request.content)
        return None
    before()
    return _spool(request, digest)


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
