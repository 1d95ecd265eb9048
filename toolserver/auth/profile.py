"""What is signed of a message, and the text over which the signature is made.

A strict profile of RFC 9421: one signature, of one label and tag, over components that
leave nothing of the call open; see section 2 for the components and 2.5 for the text.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from toolserver.auth.structured import InnerList, Item, parse_dictionary

__all__ = [
    "AHEAD",
    "LABEL",
    "LEAST_NONCE",
    "MAX_AGE",
    "MOST_NONCE",
    "REQUEST_COMPONENTS",
    "REQUEST_SIGNATURE",
    "TAG",
    "authority",
    "check_params",
    "read_label",
    "signature_base",
]

LABEL = "sig1"
TAG = "toolserver"

#: What each request covers; ``content-type`` besides, where it has one.
REQUEST_COMPONENTS = ("@method", "@authority", "@path", "@query", "content-digest")
#: Ties an answer to its request.
REQUEST_SIGNATURE = Item("signature", {"req": True, "key": LABEL})

#: How old a signature may be, and how far ahead the clock of its maker, seconds.
MAX_AGE, AHEAD = 300, 30
#: Characters of a nonce: 16 bytes in base64 are 22.
LEAST_NONCE, MOST_NONCE = 22, 128

#: Types of the parameters of a signature.
_PARAMS = {
    "created": int,
    "expires": int,
    "keyid": str,
    "nonce": str,
    "tag": str,
    "alg": str,
}
_PORTS = {"http": ":80", "https": ":443"}


def authority(host: str, scheme: str) -> str:
    """The value of ``@authority``.

    Args:
        host: Name and port, as in the field ``Host``.
        scheme: ``"http"`` or ``"https"``, whose own port is left out.
    """
    return host.lower().removesuffix(_PORTS.get(scheme, ""))


def signature_base(covered: InnerList, value_of: Callable[[Item], str | None]) -> bytes:
    """The text that is signed.

    Args:
        covered: The components and the parameters of the signature.
        value_of: Tells the value of a component; None where there is none.

    Returns:
        The text.

    Raises:
        ValueError: A component has no value, or one that cannot be signed.
    """
    lines: list[str] = []
    seen: set[str] = set()
    for item in covered.items:
        name = item.text
        if type(item.value) is not str or name in seen:
            raise ValueError(f"{name}: expected text, and once")
        seen.add(name)
        value = value_of(item)
        if value is None:
            raise ValueError(f"{name}: the message has none, or it cannot be covered")
        if "\n" in value or "\r" in value or not value.isascii():
            raise ValueError(f"{name}: expected ASCII without line ends")
        lines.append(f"{name}: {value}")
    lines.append(f'"@signature-params": {covered.text}')
    return "\n".join(lines).encode("ascii")


def read_label(fields: tuple[str, str]) -> tuple[InnerList, bytes]:
    """Read the one signature of a message.

    Args:
        fields: The values of ``Signature-Input`` and of ``Signature``.

    Returns:
        The components with the parameters, and the signature.

    Raises:
        ValueError: They are malformed, or another signature is there.
    """
    inputs, signatures = map(parse_dictionary, fields)
    if list(inputs) != [LABEL] or list(signatures) != [LABEL]:
        raise ValueError(f"expected one signature, {LABEL}")
    covered, signature = inputs[LABEL], signatures[LABEL]
    if not isinstance(covered, InnerList):
        raise ValueError("signature-input: expected a list of components")
    if (
        not isinstance(signature, Item)
        or not isinstance(signature.value, bytes)
        or signature.params
    ):
        raise ValueError("signature: expected bytes in base64")
    return covered, signature.value


def check_params(
    covered: InnerList, required: Iterable[str], now: float
) -> Mapping[str, object]:
    """Check the parameters of a signature, but for those that depend on the key.

    Args:
        covered: The components and the parameters.
        required: Parameters that may not be missing.
        now: The time, seconds since the epoch.

    Returns:
        The parameters.

    Raises:
        ValueError: They are not as they have to be.
    """
    params = covered.params
    for name, value in params.items():
        expected = _PARAMS.get(name)
        # A truth value is a number to isinstance, and a token a string.
        if type(value) is not expected:
            raise ValueError(f"{name}: a parameter that is not known, or malformed")
    for name in required:
        if name not in params:
            raise ValueError(f"{name}: missing among the parameters")
    if params.get("tag") != TAG:
        raise ValueError(f"tag: expected {TAG!r}")
    created, expires = params.get("created"), params.get("expires")
    if isinstance(created, int) and created < now - MAX_AGE:
        raise ValueError(f"created: more than {MAX_AGE} s ago")
    if isinstance(created, int) and created > now + AHEAD:
        raise ValueError(f"created: more than {AHEAD} s ahead")
    if isinstance(expires, int) and expires < now:
        raise ValueError("expires: it has expired")
    return params
