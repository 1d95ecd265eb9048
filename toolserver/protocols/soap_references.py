"""Puts what references point to into their places.

In SOAP's encoding a value may stand elsewhere in the Body, and any number of elements
refer to it: ``href="#id"`` in SOAP 1.1, ``enc:ref="id"`` in SOAP 1.2. Elements are
shared, not copied, so that a message cannot grow; but who reads it follows each
reference, so what it would be without references has to fit the bounds of a message
without them. Values that contain themselves have no end, and are refused.

Spec: SOAP 1.1, section 5.4.1; SOAP 1.2, part 2, section 3.1.5.
"""

from __future__ import annotations

from xml.etree.ElementTree import Element

from toolserver.errors import InvalidRequest, ParseError
from toolserver.protocols.soap_names import SOAP12
from toolserver.settings import Limits

__all__ = ["check_depth", "resolve_references"]

_REF = f"{{{SOAP12.encoding}}}ref"
_ID = f"{{{SOAP12.encoding}}}id"
#: Elements around the one that is read: Envelope and Body.
_AROUND = 2


def check_depth(root: Element, limits: Limits) -> None:
    """Refuse elements that are nested too deep.

    Args:
        root: The root of a message.
        limits: The bound.

    Raises:
        ParseError: They are.
    """
    level = [root]
    for _ in range(limits.xml_depth):
        level = [child for element in level for child in element]
        if not level:
            return
    raise ParseError(f"XML nested deeper than {limits.xml_depth}")


def resolve_references(body: Element, operation: Element, limits: Limits) -> None:
    """Give all elements that refer to others the content of these.

    Args:
        body: The Body of a message, which is changed.
        operation: The element in it that is going to be read.
        limits: Bounds for what that would be without references.

    Raises:
        InvalidRequest: A reference leads nowhere or in a circle.
        ParseError: Without references the message would be too large or too deep.
    """
    targets: dict[str, Element] = {}
    referring = []
    for element in body.iter():
        name = element.get("id") or element.get(_ID)
        if name:
            targets.setdefault(name, element)
        reference = _reference(element)
        if reference is not None:
            referring.append((element, reference))
    if not referring:
        return
    remaining = limits.xml_elements
    for element, reference in referring:
        target = _follow(reference, targets, limits.xml_depth)
        # Each reference has a list of its own of the elements that it shares.
        remaining -= len(target)
        if remaining < 0:
            raise ParseError(f"XML: more than {limits.xml_elements} elements")
        element.text = target.text
        element[:] = target[:]
        for name, value in target.items():
            element.attrib.setdefault(name, value)
    _Sizes(limits).check(operation)


def _reference(element: Element) -> str | None:
    href = element.get("href")
    if href is not None and href.startswith("#"):
        return href[1:]
    return element.get(_REF)


def _follow(reference: str, targets: dict[str, Element], most: int) -> Element:
    """Find what a reference leads to, be it by way of further references."""
    name = reference
    for _ in range(most):
        target = targets.get(name)
        if target is None:
            raise InvalidRequest(f"reference to {name[:60]!r}: there is no such id")
        further = _reference(target)
        if further is None:
            return target
        name = further
    raise InvalidRequest(f"reference to {reference[:60]!r}: leads in a circle")


class _Sizes:
    """Counts what a message would be without references, each element once."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        #: Elements, characters and depth of what is at and below an element; None
        #: while it is looked at.
        self._known: dict[Element, tuple[int, int, int] | None] = {}

    def check(self, element: Element) -> None:
        elements, characters, below = self._measure(element, _AROUND + 1)
        if _AROUND + below > self._limits.xml_depth:
            raise ParseError(f"XML nested deeper than {self._limits.xml_depth}")
        if elements > self._limits.xml_elements:
            raise ParseError(f"XML: more than {self._limits.xml_elements} elements")
        if characters > self._limits.body:
            raise ParseError(f"XML: more than {self._limits.body} characters")

    def _measure(self, element: Element, depth: int) -> tuple[int, int, int]:
        if element in self._known:
            known = self._known[element]
            if known is None:
                raise InvalidRequest("references lead in a circle")
            return known
        if depth > self._limits.xml_depth:
            raise ParseError(f"XML nested deeper than {self._limits.xml_depth}")
        self._known[element] = None
        elements, characters, below = 1, len(element.text or ""), 0
        for child in element:
            inner = self._measure(child, depth + 1)
            elements += inner[0]
            characters += inner[1]
            below = max(below, inner[2])
        found = elements, characters, below + 1
        self._known[element] = found
        return found
