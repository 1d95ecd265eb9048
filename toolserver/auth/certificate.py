"""Client certificates (RFC 5280), which TLS has verified, as names of callers."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from toolserver.auth.base import Identity
from toolserver.auth.keys import SERVER
from toolserver.errors import Forbidden
from toolserver.message import Request

__all__ = ["CertificateAuthenticator"]

_KINDS = {"dns": "DNS", "email": "email", "uri": "URI"}
_NAME = re.compile(r"[A-Za-z0-9._@:/-]{1,255}")


class CertificateAuthenticator:
    """Tells from a client's certificate who is calling.

    Args:
        name: What of it is the name: ``"cn"``, ``"dns"``, ``"email"`` or ``"uri"``.
    """

    def __init__(self, name: str) -> None:
        self._name = name

    def authenticate(self, request: Request) -> Identity | None:
        """Read the name in the certificate.

        Args:
            request: The request.

        Returns:
            Who is calling, or None where no certificate was shown.

        Raises:
            Forbidden: It has no such name, several, or one that nobody may have.
        """
        certificate = request.certificate
        if not certificate:
            return None
        names = set(self._names(certificate))
        if len(names) != 1:
            raise Forbidden(
                f"the certificate has {len(names)} names of the kind {self._name!r}, "
                "expected one"
            )
        (name,) = names
        if name == SERVER or _NAME.fullmatch(name) is None:
            raise Forbidden(f"the certificate names {name!r:.80}, which is no caller")
        return Identity(name, "Certificate")

    def _names(self, certificate: Mapping[str, Any]) -> Iterator[str]:
        if self._name == "cn":
            for part in certificate.get("subject", ()):
                for kind, value in part:
                    if kind == "commonName":
                        yield value
            return
        for kind, value in certificate.get("subjectAltName", ()):
            if kind == _KINDS[self._name]:
                yield value
