"""Which web pages of other origins may call a tool.

Spec: Fetch standard, section 3.2 (CORS protocol); RFC 6454 for origins.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["CORS"]

_ORIGIN = re.compile(
    r"[a-z][a-z0-9+.-]*://(?:\[[0-9a-f:.]+\]|[a-z0-9._-]+)(?::[0-9]+)?"
)
_DEFAULT_PORTS = {"http": ":80", "https": ":443"}
_FIELD_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
ANY = "*"


@dataclass(frozen=True)
class CORS:
    """Lets web pages of other origins call a tool.

    Attributes:
        origins: Origins as browsers send them, such as ``"https://shop.example"``;
            ``"*"`` for any.
        credentials: Whether browsers may send along cookies and passwords that their
            users have for this server.
        expose: Header fields of answers that pages may read, besides the usual ones.
        max_age: Seconds for which browsers may remember that they may call.

    Raises:
        ValueError: An origin or a field is malformed, or credentials are to be sent
            along by pages of any origin.
    """

    origins: str | Sequence[str]
    credentials: bool = False
    expose: str | Sequence[str] = ()
    max_age: int = 600

    def __post_init__(self) -> None:
        for name in ("origins", "expose"):
            given = getattr(self, name)
            several = (given,) if isinstance(given, str) else tuple(given)
            object.__setattr__(self, name, several)
        for origin in self.origins:
            _check_origin(origin)
        for field in self.expose:
            if _FIELD_NAME.fullmatch(field) is None:
                raise ValueError(f"expose: got {field!r}, expected a header field")
        if self.credentials and ANY in self.origins:
            raise ValueError(
                "credentials: cannot be sent along by pages of any origin ('*'); "
                "name the origins"
            )

    @property
    def is_open(self) -> bool:
        """Whether pages of any origin may call."""
        return ANY in self.origins

    def allows(self, origin: str | None) -> bool:
        """Whether pages of an origin may call.

        Args:
            origin: What the browser has sent as ``Origin``; None if it sent nothing.
        """
        return origin is not None and (self.is_open or origin in self.origins)


def _check_origin(origin: str) -> None:
    if origin == ANY:
        return
    if _ORIGIN.fullmatch(origin) is None:
        # "null" is what pages without an origin send: anybody can make one.
        raise ValueError(
            f"origins: got {origin!r}, expected an origin such as "
            "'https://shop.example', in lower case and without a path"
        )
    scheme = origin.partition(":")[0]
    port = _DEFAULT_PORTS.get(scheme)
    if port is not None and origin.endswith(port):
        raise ValueError(f"origins: got {origin!r}, expected no usual port")
