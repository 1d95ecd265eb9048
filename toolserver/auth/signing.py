"""Signs requests and checks signed answers: what a client needs, and no server.

Spec: RFC 9421 (HTTP Message Signatures), RFC 9530 (Content-Digest).
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from toolserver.auth.algorithms import (
    SigningKey,
    VerifyingKey,
    algorithm_of,
    sign,
    verify,
)
from toolserver.auth.digests import DigestCheck, content_digest
from toolserver.auth.keys import SERVER
from toolserver.auth.profile import (
    LABEL,
    REQUEST_COMPONENTS,
    REQUEST_SIGNATURE,
    TAG,
    authority,
    check_params,
    read_label,
    signature_base,
)
from toolserver.auth.structured import InnerList, Item

__all__ = [
    "SignatureError",
    "SignedRequest",
    "covers",
    "make_nonce",
    "sign_request",
    "verify_answer",
]

#: What a client asks for; of an answer without a body's type that is left out.
_ASKED = InnerList(
    (
        Item("@status"),
        Item("content-digest"),
        Item("content-type"),
        REQUEST_SIGNATURE,
    ),
    {"created": True, "tag": TAG},
)


class SignatureError(ValueError):
    """An answer is not signed, or its signature does not hold."""


@dataclass(frozen=True)
class SignedRequest:
    """The signature of a request.

    Attributes:
        fields: Header fields that go with the request.
        signature: The signature itself, to which that of the answer refers.
    """

    fields: Mapping[str, str]
    signature: bytes


def make_nonce() -> str:
    """Make a nonce: random text that no other request has."""
    return secrets.token_urlsafe(24)


def sign_request(
    method: str,
    url: str,
    headers: Mapping[str, str],
    body: bytes,
    *,
    keyid: str,
    key: SigningKey,
    cover: tuple[str, ...] = (),
    asks: bool = True,
    nonce: str | None = None,
    now: float | None = None,
) -> SignedRequest:
    """Sign a request; a request that is sent again has to be signed again.

    Args:
        method: The verb.
        url: The whole URL, as it is going to be sent.
        headers: The header fields, of which ``Content-Type`` is signed.
        body: The body as it is sent: compressed, if it is.
        keyid: The name of the client.
        key: Its private key, or a shared secret.
        cover: Further header fields that are signed.
        asks: Whether to ask for a signed answer.
        nonce: What makes the request one of its kind, where something in it depends
            on that: as `make_nonce` makes it.
        now: The time, seconds since the epoch; by default the present one.

    Returns:
        The signature.

    Raises:
        ValueError: The URL cannot be signed, or a field to cover is missing.
    """
    parts = urlsplit(url)
    fields = {"Content-Digest": content_digest(body)}
    if asks:
        fields["Accept-Signature"] = f"{LABEL}={_ASKED}"
    lowered = {name.lower(): value for name, value in headers.items()}
    lowered.update((name.lower(), value) for name, value in fields.items())
    values = {
        "@method": method,
        "@authority": authority(parts.netloc.rpartition("@")[2], parts.scheme),
        "@path": parts.path or "/",
        "@query": f"?{parts.query}",
        **{name: value.strip() for name, value in lowered.items()},
    }
    names = [*REQUEST_COMPONENTS, *(name.lower() for name in cover)]
    if "content-type" in lowered and "content-type" not in names:
        names.append("content-type")
    covered = InnerList(
        tuple(map(Item, names)),
        {
            "created": int(time.time() if now is None else now),
            "keyid": keyid,
            "nonce": nonce or make_nonce(),
            "tag": TAG,
            "alg": algorithm_of(key),
        },
    )
    base = signature_base(covered, lambda item: values.get(str(item.value)))
    signature = sign(key, base)
    fields["Signature-Input"] = f"{LABEL}={covered}"
    fields["Signature"] = f"{LABEL}={Item(signature)}"
    return SignedRequest(fields, signature)


def covers(headers: Mapping[str, str], name: str) -> bool:
    """Whether the signature of a message, which holds, covers a field.

    Args:
        headers: The header fields of the message, their names in lower case.
        name: The name of the field, in lower case.
    """
    covered, _ = read_label((headers["signature-input"], headers["signature"]))
    return Item(name) in covered.items


def verify_answer(
    status: int,
    headers: Mapping[str, str],
    body: bytes,
    *,
    key: VerifyingKey,
    request: SignedRequest,
    now: float | None = None,
) -> None:
    """Make sure that an answer comes from the server and belongs to a request.

    Args:
        status: The status.
        headers: The header fields; several of one name are joined by commas.
        body: The body as it was sent: not yet decompressed.
        key: The server's public key, or the shared secret.
        request: The signature of the request.
        now: The time, seconds since the epoch; by default the present one.

    Raises:
        SignatureError: The answer is not signed, or not by this server, or it belongs
            to another request.
    """
    lowered = {name.lower(): value.strip() for name, value in headers.items()}
    missing = {"signature-input", "signature", "content-digest"} - lowered.keys()
    if missing:
        raise SignatureError(f"the answer is not signed: no {', '.join(missing)}")
    values = {
        "@status": str(status),
        **lowered,
        str(REQUEST_SIGNATURE): str(Item(request.signature)),
    }

    def value_of(item: Item) -> str | None:
        return values.get(str(item) if item.params else str(item.value))

    try:
        covered, signature = read_label(
            (lowered["signature-input"], lowered["signature"])
        )
        params = check_params(
            covered, ("created", "keyid"), time.time() if now is None else now
        )
        needed = [Item("@status"), Item("content-digest"), REQUEST_SIGNATURE]
        if "content-type" in lowered:
            needed.append(Item("content-type"))
        for item in needed:
            if item not in covered.items:
                raise ValueError(f"{item}: not covered")
        if params["keyid"] != SERVER or params.get("alg", "") not in (
            "",
            algorithm_of(key),
        ):
            raise ValueError("made with another key")
        base = signature_base(covered, value_of)
        digest = DigestCheck(lowered["content-digest"])
    except ValueError as error:
        raise SignatureError(f"the answer's signature: {error}") from error
    if not verify(key, base, signature):
        raise SignatureError("the answer's signature does not hold")
    digest.update(body)
    if not digest.holds:
        raise SignatureError("the answer's body is not the one that was signed")
