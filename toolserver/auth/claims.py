"""Whether what a signed token claims holds here and now.

Spec: RFC 7519 (JSON Web Token), section 4.1; RFC 8725, sections 3.8 and 3.9.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

__all__ = ["check_claims"]


def check_claims(
    claims: Mapping[str, Any],
    *,
    issuer: str,
    audience: Collection[str],
    leeway: float,
    now: float,
) -> None:
    """Make sure that a token is of an issuer, meant for this server, and valid.

    Args:
        claims: What the token claims.
        issuer: Who has to have issued it.
        audience: Names of this server; one of them has to be meant.
        leeway: How far the clock of the issuer may differ, seconds.
        now: The time, seconds since the epoch.

    Raises:
        ValueError: It is not; says why.
    """
    if claims.get("iss") != issuer:
        raise ValueError("the token is of another issuer")
    meant = claims.get("aud")
    if not any(name in audience for name in _names(meant)):
        raise ValueError("the token is meant for somebody else")
    # One that never ends could not be got rid of.
    if _time(claims, "exp", needed=True) <= now - leeway:
        raise ValueError("the token has expired")
    for name in ("nbf", "iat"):
        if _time(claims, name) > now + leeway:
            raise ValueError("the token is not valid yet")


def _names(told: Any) -> list[str]:
    """One name, or several."""
    several = told if isinstance(told, list) else [told]
    return [name for name in several if isinstance(name, str)]


def _time(claims: Mapping[str, Any], name: str, *, needed: bool = False) -> float:
    found = claims.get(name)
    if found is None and not needed:
        return 0.0
    # A truth value is a number to isinstance.
    if isinstance(found, bool) or not isinstance(found, (int, float)):
        raise ValueError(f"the token's claim {name} is no time")
    return found
