"""Names and passwords in each request.

Spec: RFC 7617 (Basic).
"""

from __future__ import annotations

import base64
import binascii

from toolserver.auth.accounts import Accounts
from toolserver.auth.base import Identity
from toolserver.errors import Unauthenticated
from toolserver.message import Request

__all__ = ["BasicAuthenticator"]


class BasicAuthenticator:
    """Judges names and passwords.

    Args:
        accounts: Checks them.
    """

    def __init__(self, accounts: Accounts) -> None:
        self._accounts = accounts

    def authenticate(self, request: Request) -> Identity | None:
        """Judge the credentials of a request; see `Authenticator`."""
        field = request.headers.get("authorization")
        if field is None:
            return None
        scheme, _, token = field.partition(" ")
        if scheme.lower() != "basic":
            return None
        try:
            text = base64.b64decode(token.strip(), validate=True).decode()
        except (binascii.Error, ValueError) as error:
            raise Unauthenticated("malformed credentials") from error
        name, colon, password = text.partition(":")
        if not colon:
            raise Unauthenticated("malformed credentials")
        if not self._accounts.check(name, password, request.peer):
            # Which of the two it was is nobody's business.
            raise Unauthenticated("wrong name or password")
        return Identity(name, "Basic")
