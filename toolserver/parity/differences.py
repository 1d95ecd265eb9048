"""What protocols force upon results: the only differences between doors.

A difference either keeps a call from being made or answered through some doors, or
changes what arrives. Whatever differs in another way is a fault. The documentation has
the same list, and a test compares them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from toolserver.parity.calls import Failure

__all__ = [
    "DIFFERENCES",
    "JSON_DOORS",
    "NAMES_ONLY",
    "NIL_MEMBERS",
    "OPEN_TYPES",
    "PLACES_ONLY",
    "SIGNALS",
    "SIGNAL_KINDS",
    "STREAMED",
    "UNKNOWN_KINDS",
    "UNKNOWN_NAMES",
    "XML_DOORS",
    "Difference",
    "is_refusal",
    "refusals",
]

#: Doors whose values are JSON, and those whose values are XML.
JSON_DOORS = ("REST", "JSON-RPC", "MCP", "job")
XML_DOORS = ("XML-RPC", "SOAP rpc/encoded", "SOAP document/literal")

#: XML 1.0, section 2.2: characters that no document can have.
_NO_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_HALF = re.compile("[\ud800-\udfff]")

#: What a call that cannot be expressed ends with, here or there.
_REFUSALS = frozenset(
    {"InvalidParams", "ApplicationError", "ParseError", "InvalidRequest"}
    # What a stream breaks off with in its middle.
    | {"ConnectionError"}
)
_REFUSAL_CODES = frozenset({-32602, -32500, -32700, -32600})


@dataclass(frozen=True)
class Difference:
    """Something that a protocol cannot express, or expresses in another way.

    Attributes:
        name: What it is about, in a few words.
        doors: Where it is seen.
        effect: What is seen there.
        reason: Why it cannot be otherwise.
        refuses: Tells of a part of an argument or a result that it cannot be sent;
            None where nothing is refused.
    """

    name: str
    doors: tuple[str, ...]
    effect: str
    reason: str
    refuses: Callable[[Any], bool] | None = None


def _is_nonfinite(value: Any) -> bool:
    return value.__class__ is float and (value != value or abs(value) == float("inf"))


def _is_beyond_64_bits(value: Any) -> bool:
    return value.__class__ is int and not -(2**63) <= value < 2**63


def _has_no_xml(value: Any) -> bool:
    return value.__class__ is str and _NO_XML.search(value) is not None


def _has_half(value: Any) -> bool:
    return value.__class__ is str and _HALF.search(value) is not None


_REFUSED: tuple[Difference, ...] = (
    Difference(
        "NaN and infinities",
        (*JSON_DOORS, "XML-RPC"),
        "refused",
        "neither JSON (RFC 8259, section 6) nor XML-RPC has such numbers",
        refuses=_is_nonfinite,
    ),
    Difference(
        "integers beyond 64 bits",
        XML_DOORS,
        "refused",
        "the largest types are i8 of XML-RPC and long of XML Schema",
        refuses=_is_beyond_64_bits,
    ),
    Difference(
        "characters that XML cannot carry",
        XML_DOORS,
        "refused",
        "XML 1.0, section 2.2, leaves out most control characters, even escaped",
        refuses=_has_no_xml,
    ),
    Difference(
        "halves of characters",
        JSON_DOORS,
        "refused",
        "UTF-8, in which JSON is sent, cannot write them (RFC 3629, section 3)",
        refuses=_has_half,
    ),
)
#: Differences that are no refusals.
NIL_MEMBERS = Difference(
    "members that are None",
    ("XML-RPC",),
    "left out, so that they have their defaults; `xmlrpc.nil_members` sends them",
    "`<nil/>` is no part of XML-RPC, and some of its clients fail on it",
)
STREAMED = Difference(
    "iterators",
    ("REST",),
    "sent piece by piece: all of text or bytes arrive as one, none as an empty body",
    "a stream begins before it is known what follows",
)
OPEN_TYPES = Difference(
    "values whose type the hint leaves open",
    (*JSON_DOORS, *XML_DOORS),
    "arrive in the form that JSON has for them, as bytes in base64 and times in text",
    "only PickleRPC tells each class from all others",
)
NAMES_ONLY = Difference(
    "arguments that only have names",
    ("XML-RPC",),
    "cannot be given",
    "the parameters of XML-RPC have an order and no names",
)
PLACES_ONLY = Difference(
    "arguments that only have places",
    ("SOAP document/literal", "MCP"),
    "cannot be given, but for those of `*args` over SOAP",
    "members of objects and elements of a schema have names",
)
UNKNOWN_NAMES = Difference(
    "tools and methods that do not exist",
    ("REST", "MCP"),
    "`NotFound` over REST, or that the caller may not use the tool; over MCP an "
    "unknown tool in either case",
    "what is below the URL of a tool may be anything, and for MCP each method is a "
    "tool",
)
SIGNALS = Difference(
    "redirects and responses of a tool's own",
    ("REST",),
    "the answer itself; through other doors the call fails",
    "only HTTP can express them",
)
#: All known differences.
DIFFERENCES = (
    *_REFUSED,
    NIL_MEMBERS,
    NAMES_ONLY,
    PLACES_ONLY,
    STREAMED,
    OPEN_TYPES,
    UNKNOWN_NAMES,
    SIGNALS,
)
#: Such answers, by their classes.
SIGNAL_KINDS = frozenset({"Redirect", "NotModified", "DirectResponse", "AlreadyDone"})
#: The errors that stand for a missing tool or method where these are others.
UNKNOWN_KINDS = {
    "REST": frozenset({"NotFound", "Forbidden", "Unauthenticated"}),
    "MCP": frozenset({"MethodNotFound"}),
}


def refusals(door: str, values: Iterable[Any]) -> list[Difference]:
    """Which differences keep values from being sent through a door.

    Args:
        door: Its name.
        values: Arguments and result, plain.

    Returns:
        The differences; none where it has to work.
    """
    leaves: list[Any] | None = None
    found = []
    for each in _REFUSED:
        if each.refuses is not None and door in each.doors:
            leaves = list(_leaves(values)) if leaves is None else leaves
            if any(map(each.refuses, leaves)):
                found.append(each)
    return found


def is_refusal(failure: Failure) -> bool:
    """Whether a failure says that something could not be expressed.

    Args:
        failure: The failure.
    """
    if failure.kind is None:
        return failure.code in _REFUSAL_CODES
    return failure.kind in _REFUSALS


def _leaves(values: Iterable[Any]) -> Iterator[Any]:
    for value in values:
        if isinstance(value, dict):
            yield from value
            yield from _leaves(value.values())
        elif isinstance(value, (list, tuple)):
            yield from _leaves(value)
        else:
            yield value
