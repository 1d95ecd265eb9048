"""What the client would like: media types, content codings, and compression.

A field that cannot be read in part counts as if that part had not been sent; nothing
here raises on what a client sent.

Spec: RFC 9110, sections 12.4.2 (weights), 12.5.1 (Accept), 12.5.3 (Accept-Encoding)
and 8.4.1 (codings); RFC 7932 (br), RFC 8878 (zstd).
"""

from __future__ import annotations

import gzip
import importlib
import re
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from itertools import islice
from typing import Any, NamedTuple

import gevent

from toolserver.message import Response
from toolserver.web.conditional import encoded_etag

__all__ = [
    "CODINGS",
    "add_vary",
    "choose_encoding",
    "choose_media_type",
    "compress",
    "compress_response",
    "is_compressible",
]

#: Below this the head of the answer outweighs what compression would save.
_SMALLEST = 512
#: Above this the loop would wait noticeably: the native thread pool does the work.
_IN_THREAD = 64 * 1024
# No client has that many wishes; it bounds the work that a field can ask for.
_MAX_MEMBERS = 64

_WEIGHT = re.compile(r"(?:0(?:\.[0-9]*)?|1(?:\.0*)?|\.[0-9]+)")
_NAME = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_MEDIA_RANGE = re.compile(rf"({_NAME})/({_NAME})")
_CODING = re.compile(_NAME)
# A quoted string may hold the separators. The repetitions are possessive and a string
# left open ends with the field, or a hostile field would take quadratic time.
_QUOTED = r'"(?:[^"\\]|\\.)*+"?'
_MEMBER = re.compile(rf'(?:[^",]++|{_QUOTED})++')
_PARAMETER = re.compile(rf'(?:[^";]++|{_QUOTED})++')

_COMPRESSIBLE = re.compile(
    r"text/(?!event-stream).*"
    r"|.*\+(?:json|xml|text|yaml)"
    r"|application/(?:json|xml|javascript|ecmascript|wasm|graphql|sql|toml|yaml"
    r"|x-ndjson|json-seq|x-www-form-urlencoded|vnd\.ms-fontobject|rtf|x-tar)"
    r"|font/(?:ttf|otf|collection)"
    r"|image/(?:bmp|x-icon|vnd\.microsoft\.icon|x-ms-bmp)"
)


class _MediaRange(NamedTuple):
    main: str
    sub: str
    parameters: frozenset[tuple[str, str]]
    weight: float

    def precision(self, offer: _MediaRange) -> int:
        """How precisely this range names an offer; 0 if it does not."""
        if self.main == "*":
            return 1 if self.sub == "*" else 0
        if self.main != offer.main:
            return 0
        if self.sub == "*":
            return 2
        if self.sub != offer.sub or not self.parameters <= offer.parameters:
            return 0
        return 3 + len(self.parameters)


def choose_media_type(accept: str | None, offered: Sequence[str]) -> str | None:
    """The media type that suits the client best.

    Args:
        accept: The Accept field; None if it was not sent.
        offered: What can be sent, with parameters if any; the earlier wins a tie.

    Returns:
        One of `offered`; None if the client accepts none of them (406). Without a
        field, or with one that says nothing readable, the first.
    """
    wishes = _media_ranges(accept) if accept else ()
    if not wishes:
        return offered[0] if offered else None
    best, weight = None, 0.0
    for offer in offered:
        described = _media_range(offer)
        if described is None:
            continue
        matches = [(wish.precision(described), wish.weight) for wish in wishes]
        # The most precise range decides; of equal ones the kindest.
        found = max(matches)
        if found[0] and found[1] > weight:
            best, weight = offer, found[1]
    return best


def choose_encoding(accept_encoding: str | None, offered: Sequence[str]) -> str:
    """The content coding that suits the client best.

    Args:
        accept_encoding: The Accept-Encoding field; None if it was not sent.
        offered: Names of codings besides identity, in lower case; the earlier
            wins a tie.

    Returns:
        One of `offered`, or ``"identity"``: where the client names none of them,
        prefers it plain, or refuses everything, since a plain body is what it can
        most likely still read.
    """
    if not accept_encoding or not offered:
        return "identity"
    weights = _coding_weights(accept_encoding)
    others = weights.get("*", 0.0)
    best, weight = "identity", 0.0
    for coding in offered:
        found = weights.get(coding, others)
        if found > weight:
            best, weight = coding, found
    # Plain is always acceptable but a last resort, unless it is asked for by name.
    return "identity" if weights.get("identity", 0.0) > weight else best


@lru_cache(maxsize=256)
def _media_ranges(accept: str) -> tuple[_MediaRange, ...]:
    found = map(_media_range, _members(accept))
    return tuple(wish for wish in found if wish is not None)


@lru_cache(maxsize=256)
def _media_range(text: str) -> _MediaRange | None:
    name, *rest = _PARAMETER.findall(text) or [""]
    kind = _MEDIA_RANGE.fullmatch(name.strip())
    if kind is None or (kind[1] == "*" and kind[2] != "*"):
        return None
    parameters = []
    for piece in rest:
        key, equals, value = piece.strip().partition("=")
        key = key.strip().lower()
        if key == "q":
            weight = _weight(value)
            if weight is None:
                return None
            # What follows the weight is no part of the type (RFC 7231 extensions).
            break
        if equals:
            parameters.append((key, value.strip().strip('"').lower()))
    else:
        weight = 1.0
    return _MediaRange(kind[1].lower(), kind[2].lower(), frozenset(parameters), weight)


@lru_cache(maxsize=256)
def _coding_weights(accept_encoding: str) -> Mapping[str, float]:
    weights: dict[str, float] = {}
    for member in _members(accept_encoding):
        name, _, rest = member.partition(";")
        coding = name.strip().lower()
        if not _CODING.fullmatch(coding):
            continue
        key, _, value = rest.partition("=")
        weight: float | None = 1.0
        if key.strip().lower() == "q":
            weight = _weight(value)
        if weight is not None:
            # RFC 9110, section 8.4.1.3: x-gzip is another name of gzip.
            weights["gzip" if coding == "x-gzip" else coding] = weight
    return weights


def _members(field: str) -> list[str]:
    found = islice(_MEMBER.finditer(field), _MAX_MEMBERS)
    return [match[0].strip() for match in found]


def _weight(text: str) -> float | None:
    text = text.strip()
    return float(text) if _WEIGHT.fullmatch(text) else None


def _optional(*names: str) -> Any:
    """The first of some modules that is installed, or None."""
    for name in names:
        try:
            return importlib.import_module(name)
        except ImportError:
            continue
    return None


def _compressors() -> dict[str, Callable[[bytes], bytes]]:
    known: dict[str, Callable[[bytes], bytes]] = {}
    zstd = _optional("compression.zstd", "backports.zstd")
    if zstd is not None:
        known["zstd"] = lambda body: bytes(zstd.compress(body, level=3))
    brotli = _optional("brotli")
    if brotli is not None:
        # Above 5 the time grows many times over for a few percent of size.
        known["br"] = lambda body: bytes(brotli.compress(body, quality=4))
    # mtime: equal bodies give equal bytes.
    known["gzip"] = lambda body: gzip.compress(body, compresslevel=6, mtime=0)
    # RFC 9110, section 8.4.1.2: "deflate" means the zlib format.
    known["deflate"] = lambda body: zlib.compress(body, level=6)
    return known


_COMPRESSORS = _compressors()

#: The content codings that can be made here, the preferred first.
CODINGS = tuple(_COMPRESSORS)


def compress(body: bytes, coding: str) -> bytes:
    """Apply a content coding; large bodies are compressed in the native thread pool.

    Args:
        body: What to compress.
        coding: One of `CODINGS`.

    Returns:
        The compressed body.

    Raises:
        LookupError: The coding is not known, or its library is not installed.
    """
    compressor = _COMPRESSORS.get(coding)
    if compressor is None:
        raise LookupError(f"coding: got {coding!r}, expected one of {CODINGS}")
    if len(body) <= _IN_THREAD:
        return compressor(body)
    compressed: bytes = gevent.get_hub().threadpool.apply(compressor, (body,))
    return compressed


def is_compressible(content_type: str) -> bool:
    """Whether bodies of a media type tend to get smaller by compression.

    Args:
        content_type: A Content-Type field; parameters do not matter.
    """
    media_type = content_type.partition(";")[0].strip().lower()
    return _COMPRESSIBLE.fullmatch(media_type) is not None


def add_vary(headers: Iterable[tuple[str, str]], name: str) -> list[tuple[str, str]]:
    """Header fields that tell caches that the answer depends on a request field.

    Args:
        headers: The fields so far.
        name: The request field.

    Returns:
        The fields with `name` in their Vary field, new or extended.
    """
    pairs = []
    listed: list[str] = []
    for key, value in headers:
        if key.lower() == "vary":
            listed += [member.strip() for member in value.split(",") if member.strip()]
        else:
            pairs.append((key, value))
    if "*" not in listed and name.lower() not in map(str.lower, listed):
        listed.append(name)
    pairs.append(("Vary", ", ".join(listed)))
    return pairs


def compress_response(response: Response, accept_encoding: str | None) -> Response:
    """Compress the body of a response if that suits it and the client.

    Bodies of bytes are, of a compressible type, that get smaller by it. What is made
    piece by piece goes out as it is made: a compressor would hold pieces back. So do
    files, which have precompressed neighbours; and parts of a representation (206).

    Args:
        response: The response; it is left as it is.
        accept_encoding: The request's Accept-Encoding field; None if not sent.

    Returns:
        A compressed response, with a tag of its own (`encoded_etag`); or the same
        body with Vary, as another client might get it compressed; or `response`
        itself where nobody would.
    """
    body = response.body
    if not isinstance(body, bytes) or len(body) < _SMALLEST:
        return response
    if response.status < 200 or response.status in (204, 205, 206, 304):
        return response
    fields = {name.lower(): value for name, value in response.headers}
    if (
        "content-encoding" in fields
        or "content-range" in fields
        or not is_compressible(fields.get("content-type", ""))
        or "no-transform" in fields.get("cache-control", "").lower()
    ):
        return response
    headers = add_vary(response.headers, "Accept-Encoding")
    coding = choose_encoding(accept_encoding, CODINGS)
    if coding != "identity":
        smaller = compress(body, coding)
        if len(smaller) < len(body):
            body = smaller
            headers = [_recoded(pair, coding) for pair in headers if _stays(pair)]
            headers.append(("Content-Encoding", coding))
    return Response(body, status=response.status, headers=headers)


def _stays(pair: tuple[str, str]) -> bool:
    # Both are about the bytes before.
    return pair[0].lower() not in ("content-length", "content-md5")


def _recoded(pair: tuple[str, str], coding: str) -> tuple[str, str]:
    name, value = pair
    return (name, encoded_etag(value, coding)) if name.lower() == "etag" else pair
