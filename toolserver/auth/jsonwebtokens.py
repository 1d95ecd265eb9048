"""Bearer tokens that somebody else issues: JSON Web Tokens, signed by an issuer.

Nothing is kept of them. What a token says is believed when it is signed by a key of the
issuer, meant for this server, and valid now.

Spec: RFC 7519 (JSON Web Token), RFC 8725 (best current practices), RFC 9068 (profile
for access tokens), RFC 6750 (bearer tokens).
"""

from __future__ import annotations

import base64
import binascii
import re
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import jwt

from toolserver import strictjson
from toolserver.auth.base import Authenticator, Identity
from toolserver.auth.claims import check_claims
from toolserver.auth.jwks import ALGORITHMS, FileKeys, IssuerKeys
from toolserver.auth.jwksfetching import FetchedKeys
from toolserver.auth.keys import SERVER
from toolserver.auth.tokens import bearer_of, is_own, refusal
from toolserver.errors import Overload, ParseError, StartError
from toolserver.home import Home
from toolserver.message import Request
from toolserver.settings import AuthSettings

__all__ = ["JWTAuthenticator", "make_authenticator"]

#: Characters of a token, and of its header.
_LONGEST, _LONGEST_HEADER = 8192, 2048
#: What the header may call itself; others are made for something else.
_TYPES = frozenset({"jwt", "at+jwt", "application/at+jwt", "application/jwt"})
_NAME = re.compile(r"[!-~]{1,255}")
#: Groups that one token may tell.
_MOST_GROUPS = 1000
#: The claims that may tell the scopes: RFC 9068, section 2.2.3, and what older ones do.
_SCOPES = ("scope", "scp")

#: The library's algorithms, and the name that RFC 9864 has for one of them.
_verifier = jwt.PyJWS(algorithms=[*ALGORITHMS])
_verifier.register_algorithm("Ed25519", jwt.algorithms.OKPAlgorithm())


def make_authenticator(
    home: Home, settings: AuthSettings, own: Authenticator
) -> JWTAuthenticator:
    """Make what judges the tokens of the issuer that the settings name.

    Args:
        home: The folder that the file of its keys is relative to.
        settings: The settings.
        own: Judges the server's own tokens.

    Returns:
        The authenticator; its keys are not read yet.

    Raises:
        StartError: The settings do not fit together.
    """
    where, allowed = settings.jwt_keys, settings.jwt_algorithms
    keys: IssuerKeys = (
        FetchedKeys(where, allowed)
        if "://" in where
        else FileKeys(home.path / where, allowed)
    )
    return JWTAuthenticator(settings, keys, own)


class JWTAuthenticator:
    """Judges tokens of an issuer; leaves the server's own to their authenticator.

    Args:
        settings: Who issues them, for whom, and what of them is used.
        keys: The issuer's keys.
        own: Judges the server's own tokens.
        clock: Tells the time in seconds since the epoch.

    Attributes:
        keys: The same.

    Raises:
        StartError: The settings do not fit together.
    """

    def __init__(
        self,
        settings: AuthSettings,
        keys: IssuerKeys,
        own: Authenticator,
        clock: Callable[[], float] = time.time,
    ) -> None:
        if not settings.jwt_audience:
            # RFC 8725, section 3.9: what is meant for others is not to be taken.
            raise StartError(
                "auth.jwt_audience: missing, expected the names by which the issuer "
                "knows this server"
            )
        for name in settings.jwt_algorithms:
            if name not in ALGORITHMS:
                expected = ", ".join(sorted(ALGORITHMS))
                raise StartError(
                    f"auth.jwt_algorithms: got {name!r}, expected some of {expected}"
                )
        self._settings = settings
        self._allowed = frozenset(settings.jwt_algorithms)
        self.keys = keys
        self._own = own
        self._clock = clock

    def authenticate(self, request: Request) -> Identity | None:
        """Judge the token of a request; see `Authenticator`."""
        token = bearer_of(request)
        if token is None:
            return None
        if is_own(token):
            return self._own.authenticate(request)
        claims = self._check(token)
        return Identity(
            self._name(claims),
            "JWT",
            groups=self._groups(claims),
            namespaces=self._namespaces(claims),
            scope_prefix=self._settings.jwt_scopes,
        )

    def _check(self, token: str) -> dict[str, Any]:
        """Make sure that a token holds; what it claims."""
        kid, algorithm = self._read_header(token)
        if algorithm not in self._allowed:
            raise refusal("the token's algorithm is not allowed")
        key = self.keys.find(kid, algorithm)
        if key is None and not self.keys.are_known:
            # Not the token's fault: later it may hold.
            raise Overload("the keys of the issuer are not known yet")
        if key is None:
            raise refusal("the token is signed with a key that is not known")
        try:
            text = _verifier.decode(token, key, algorithms=[algorithm])
            claims = strictjson.decode(text)
        except jwt.InvalidSignatureError as error:
            raise refusal("the token's signature does not hold") from error
        except (jwt.PyJWTError, ParseError) as error:
            raise refusal("malformed token") from error
        if not isinstance(claims, dict):
            raise refusal("malformed token")
        try:
            check_claims(
                claims,
                issuer=self._settings.jwt_issuer,
                audience=self._settings.jwt_audience,
                leeway=self._settings.jwt_leeway,
                now=self._clock(),
            )
        except ValueError as error:
            raise refusal(str(error)) from error
        return claims

    def _read_header(self, token: str) -> tuple[str | None, str]:
        """The key and the algorithm that a token names."""
        parts = token.split(".")
        if len(token) > _LONGEST or len(parts) != 3 or len(parts[0]) > _LONGEST_HEADER:
            raise refusal("malformed token")
        padding = "=" * (-len(parts[0]) % 4)
        try:
            text = base64.b64decode(parts[0] + padding, altchars="-_", validate=True)
            header = strictjson.decode(text, max_depth=4)
        except (binascii.Error, ValueError, ParseError) as error:
            raise refusal("malformed token") from error
        if not isinstance(header, dict):
            raise refusal("malformed token")
        kid, algorithm = header.get("kid"), header.get("alg")
        kind = header.get("typ", "JWT")
        if not isinstance(algorithm, str) or not isinstance(kid, (str, type(None))):
            raise refusal("malformed token")
        # RFC 7515, section 4.1.11: what is critical and not understood is refused.
        if "crit" in header or not isinstance(kind, str) or kind.lower() not in _TYPES:
            raise refusal("a token of another type")
        return kid, algorithm

    def _name(self, claims: Mapping[str, Any]) -> str:
        name = claims.get(self._settings.jwt_name)
        if not isinstance(name, str) or _NAME.fullmatch(name) is None or name == SERVER:
            raise refusal(f"the token's claim {self._settings.jwt_name} is no name")
        return name

    def _groups(self, claims: Mapping[str, Any]) -> frozenset[str]:
        claim = self._settings.jwt_groups
        told = claims.get(claim, ()) if claim else ()
        groups = [told] if isinstance(told, str) else told
        if (
            not isinstance(groups, (list, tuple))
            or len(groups) > _MOST_GROUPS
            or not all(isinstance(group, str) for group in groups)
        ):
            raise refusal(f"the token's claim {claim} is no list of groups")
        return frozenset(groups)

    def _namespaces(self, claims: Mapping[str, Any]) -> tuple[str, ...] | None:
        """The tools that a token is for; None for all."""
        prefix = self._settings.jwt_scopes
        if not prefix:
            return None
        found = [
            scope.removeprefix(prefix)
            for scope in _scopes(claims)
            if scope.startswith(prefix)
        ]
        return None if "*" in found else tuple(found)


def _scopes(claims: Mapping[str, Any]) -> Iterable[str]:
    for name in _SCOPES:
        told = claims.get(name)
        if isinstance(told, str):
            return told.split()
        if isinstance(told, list):
            return [each for each in told if isinstance(each, str)]
    return ()
