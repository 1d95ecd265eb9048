"""Preconditions and ranges: which conditions of a request hold, what they ask for.

Pure functions on header fields and on the validators of a representation, its entity
tag and its time of change. Nothing here raises on what a client sent: a field that
cannot be read counts as not sent, as RFC 9110 asks.

Order of the preconditions (RFC 9110, section 13.2.2)::

    If-Match             false: 412    else go on
    If-Unmodified-Since  false: 412    looked at only without If-Match
    If-None-Match        false: 304 for GET and HEAD, else 412
    If-Modified-Since    false: 304    only for GET and HEAD without If-None-Match
    Range                with If-Range: 206 where it holds, else the whole

Entity tags of one resource in several content codings differ by a suffix that names
the coding (`encoded_etag`). If-Match and If-None-Match look through it: whoever read
a page compressed may write it back on the strength of the tag that came with it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import formatdate
from functools import lru_cache
from hashlib import blake2b
from itertools import pairwise

__all__ = [
    "check_preconditions",
    "encoded_etag",
    "format_date",
    "make_etag",
    "matching_etag",
    "parse_date",
    "parse_range",
    "requested_ranges",
]

# More parts than this help no client, and each costs the server a header and a read.
_MAX_RANGES = 8

_ETAG = re.compile(r'(?:W/)?"[\x21\x23-\x7e\x80-\xff]*"')
_CODING_SUFFIX = re.compile(r'--(?:gzip|deflate|br|zstd)"\Z')
# Twenty digits hold any file's size; int() itself refuses more than 4300.
_SPAN = re.compile(r"([0-9]{0,20})-([0-9]{0,20})")

_MONTHS = "jan feb mar apr may jun jul aug sep oct nov dec"
_TIME = r"([0-9]{2}):([0-9]{2}):([0-9]{2})"
_IMF_DATE = re.compile(
    rf"[a-z]{{3}}, ([0-9]{{2}}) ([a-z]{{3}}) ([0-9]{{4}}) {_TIME} gmt"
)
_RFC850_DATE = re.compile(
    rf"[a-z]{{6,9}}, ([0-9]{{2}})-([a-z]{{3}})-([0-9]{{2}}) {_TIME} gmt"
)
_ASCTIME_DATE = re.compile(
    rf"[a-z]{{3}} ([a-z]{{3}}) ([ 0-9][0-9]) {_TIME} ([0-9]{{4}})"
)


def make_etag(body: bytes) -> str:
    """The strong entity tag of a body: equal bytes, equal tag.

    Args:
        body: The representation before any content coding.

    Returns:
        The tag with its quotes, as it stands in an ``ETag`` field.
    """
    return f'"{blake2b(body, digest_size=12).hexdigest()}"'


def encoded_etag(etag: str, coding: str) -> str:
    """The entity tag of a representation after a content coding was applied to it.

    A strong tag stands for exact bytes (RFC 9110, section 8.8.3.3), so each coding
    needs one of its own.

    Args:
        etag: The tag before, with its quotes.
        coding: Name of the content coding, such as ``"gzip"``.

    Returns:
        The tag after, as strong or weak as before.
    """
    return f'{etag[:-1]}--{coding}"' if etag.endswith('"') else etag


def format_date(timestamp: float) -> str:
    """A time as HTTP writes it: ``Sun, 06 Nov 1994 08:49:37 GMT``.

    Args:
        timestamp: Seconds since 1970; a fraction is cut off.
    """
    return formatdate(int(timestamp), usegmt=True)


@lru_cache(maxsize=256)
def parse_date(value: str) -> int | None:
    """Read a date in any of the three forms of RFC 9110, section 5.6.7.

    Args:
        value: The field value; a parameter as old clients append it is dropped.

    Returns:
        Seconds since 1970, or None if it is no such date.
    """
    text = value.partition(";")[0].strip().lower()
    if found := _IMF_DATE.fullmatch(text):
        day, month, year, *clock = found.groups()
    elif found := _RFC850_DATE.fullmatch(text):
        day, month, year, *clock = found.groups()
        year = str(_full_year(int(year), datetime.now(UTC).year))
    elif found := _ASCTIME_DATE.fullmatch(text):
        month, day, *clock, year = found.groups()
    else:
        return None
    hour, minute, second = map(int, clock)
    try:
        moment = datetime(
            int(year),
            _MONTHS.find(month) // 4 + 1,
            int(day),
            hour,
            minute,
            # datetime knows no leap second.
            59 if second == 60 else second,
            tzinfo=UTC,
        )
    except ValueError:
        return None
    return int(moment.timestamp())


def _full_year(year: int, this_year: int) -> int:
    # RFC 9110, section 5.6.7: more than 50 years ahead means the past.
    full = this_year - this_year % 100 + year
    return full - 100 if full > this_year + 50 else full


def matching_etag(field: str, etag: str, *, weak: bool) -> str:
    """The member of an If-Match or If-None-Match field that names a representation.

    Args:
        field: The field value: ``*`` or a list of entity tags.
        etag: The tag of the current representation, empty if it has none.
        weak: Compare weakly, as If-None-Match does, or strongly, as If-Match
            (RFC 9110, section 8.8.3.2).

    Returns:
        The tag that matched, as the client sent it; `etag` for ``*``; empty if
        none matched. An answer 304 carries it.
    """
    if field.strip() == "*":
        return etag
    if not etag or (not weak and etag.startswith("W/")):
        return ""
    for sent in _ETAG.findall(field):
        if (weak or not sent.startswith("W/")) and _bare(sent) == _bare(etag):
            return str(sent)
    return ""


def _bare(etag: str) -> str:
    """The tag without its mark of weakness and the name of a content coding."""
    return _CODING_SUFFIX.sub('"', etag.removeprefix("W/"))


def check_preconditions(
    method: str,
    headers: Mapping[str, str],
    *,
    etag: str = "",
    modified: float | None = None,
    exists: bool = True,
) -> int | None:
    """Whether the conditions of a request hold (RFC 9110, section 13.2.2).

    Args:
        method: The verb, in upper case.
        headers: The request's fields, looked up in lower case.
        etag: Entity tag of what the request is about, empty if it has none.
        modified: When it changed last, seconds since 1970; None if not known.
        exists: Whether there is a current representation at all.

    Returns:
        None to go on; 304 or 412 to answer with.
    """
    reading = method in ("GET", "HEAD")
    since = None if modified is None else int(modified)
    if (field := headers.get("if-match")) is not None:
        if not exists or not _names(field, etag, weak=False):
            return 412
    elif since is not None and (field := headers.get("if-unmodified-since")):
        date = parse_date(field)
        if date is not None and since > date:
            return 412
    if (field := headers.get("if-none-match")) is not None:
        if exists and _names(field, etag, weak=True):
            return 304 if reading else 412
    elif reading and since is not None and (field := headers.get("if-modified-since")):
        date = parse_date(field)
        if date is not None and since <= date:
            return 304
    return None


def _names(field: str, etag: str, *, weak: bool) -> bool:
    return field.strip() == "*" or bool(matching_etag(field, etag, weak=weak))


def parse_range(field: str, size: int) -> list[range] | None:
    """Read a Range field (RFC 9110, section 14.2) for a representation.

    Args:
        field: The field value, such as ``bytes=0-99,-500``.
        size: Length of the representation in bytes.

    Returns:
        The spans of bytes in the order asked for, each within the representation
        and not empty; an empty list if none can be satisfied (416); None if the
        field is to be ignored: another unit, malformed, more than a few spans, or
        spans that overlap, all of which the RFC permits.
    """
    unit, equals, spans = field.partition("=")
    if not equals or unit.strip().lower() != "bytes":
        return None
    asked = [span.strip(" \t") for span in spans.split(",", maxsplit=4 * _MAX_RANGES)]
    asked = [span for span in asked if span]
    if not asked or len(asked) > _MAX_RANGES:
        return None
    ranges = []
    for span in asked:
        found = _SPAN.fullmatch(span)
        if found is None:
            return None
        first, last = found.groups()
        if first and last and int(first) > int(last):
            return None
        if first:
            start, stop = int(first), min(int(last) + 1, size) if last else size
        elif last:
            start, stop = max(size - int(last), 0), size
        else:
            return None
        if start < stop:
            ranges.append(range(start, stop))
    ordered = sorted(ranges, key=lambda span: span.start)
    if any(a.stop > b.start for a, b in pairwise(ordered)):
        return None
    return ranges


def requested_ranges(
    method: str,
    headers: Mapping[str, str],
    size: int,
    *,
    etag: str = "",
    modified: float | None = None,
) -> list[range] | None:
    """The spans of bytes to send, after If-Range has had its say.

    Args:
        method: The verb, in upper case; only GET has ranges.
        headers: The request's fields, looked up in lower case.
        size: Length of the representation in bytes.
        etag: Its entity tag, empty if it has none.
        modified: When it changed last, seconds since 1970; None if not known.

    Returns:
        As `parse_range`: spans, an empty list for 416, or None for the whole. An
        empty representation is always sent as a whole.
    """
    field = headers.get("range")
    if field is None or method != "GET" or size == 0:
        return None
    condition = headers.get("if-range")
    if condition is not None and not _is_unchanged(condition.strip(), etag, modified):
        return None
    return parse_range(field, size)


def _is_unchanged(condition: str, etag: str, modified: float | None) -> bool:
    # RFC 9110, section 13.1.5: strong comparison, and a date must match exactly.
    if condition.endswith('"'):
        return condition == etag and not etag.startswith("W/")
    date = parse_date(condition)
    return date is not None and modified is not None and date == int(modified)
