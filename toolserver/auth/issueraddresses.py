"""Addresses of who issues tokens: what is fetched from there decides who may call."""

from __future__ import annotations

from ipaddress import ip_address
from urllib.parse import urlsplit

__all__ = ["is_safe"]


def is_safe(url: str) -> bool:
    """Whether nobody in between can change what an address says.

    Args:
        url: The address: by ``https``, or by ``http`` on this machine.
    """
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
    except ValueError:
        return False
    return bool(host) and (
        parts.scheme == "https" or (parts.scheme == "http" and _is_loopback(host))
    )


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
