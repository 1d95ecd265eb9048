"""Who may come at all, and who it is: the order in which a request is judged.

1. ``hosts.deny``: who stands there is refused, whatever it asks for
2. credentials of each kind: all that are sent have to hold and to name the same client
3. ``hosts.allow``: gives a name to who has sent none
4. ``groups``: tells the groups of that client

Nothing of the body is read for it, unless a signature has to tell whose it is.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import gevent

from toolserver.auth.accounts import Accounts, parse_accounts, parse_groups
from toolserver.auth.base import Authenticator, Identity
from toolserver.auth.basic import BasicAuthenticator
from toolserver.auth.hosts import HostList, parse_hosts
from toolserver.auth.tokens import TokenAuthenticator, parse_tokens
from toolserver.auth.watched import WatchedFile
from toolserver.errors import Forbidden, StartError, Unauthenticated
from toolserver.home import Home
from toolserver.logs import AUDIT
from toolserver.message import Request
from toolserver.settings import AuthSettings

if TYPE_CHECKING:
    from toolserver.auth.jsonwebtokens import JWTAuthenticator
    from toolserver.auth.keys import PrivateKey
    from toolserver.auth.sessions import Sessions
    from toolserver.auth.signatures import SignatureAuthenticator
    from toolserver.auth.toolsecrets import ToolSecrets

__all__ = ["Access"]

log = logging.getLogger(AUDIT)

#: How often the files are looked at, seconds.
_INTERVAL = 0.5


class Access:
    """Judges requests.

    Args:
        home: Where the files are.
        settings: Which credentials are judged, and which have to be there.
        authenticators: Further authenticators, in order; looked at when the files are
            loaded.
        secrets: What tools share with their callers, who may sign by it.

    Attributes:
        is_active: Whether there is anything to judge by; else all are anonymous.
    """

    def __init__(
        self,
        home: Home,
        *,
        settings: AuthSettings | None = None,
        authenticators: Iterable[Authenticator] = (),
        secrets: ToolSecrets | None = None,
    ) -> None:
        self._home = home
        self._settings = settings = settings or AuthSettings()
        config = home.config
        self._deny = WatchedFile[HostList](config / "hosts.deny", parse_hosts)
        self._allow = WatchedFile[HostList](config / "hosts.allow", parse_hosts)
        self._groups = WatchedFile(config / "groups", parse_groups)
        self._passwd = WatchedFile(config / "passwd", parse_accounts)
        self._tokens = WatchedFile(config / "tokens", parse_tokens)
        self._by_token = TokenAuthenticator(lambda: self._tokens.value)
        self._issuer = _make_issuer(home, settings, self._by_token)
        self._accounts = Accounts(lambda: self._passwd.value)
        self._basic = BasicAuthenticator(self._accounts) if settings.basic else None
        # Nothing more is judged here: TLS has verified what it shows.
        self._by_certificate: list[Authenticator] = []
        if settings.certificate:
            # It imports the library for keys.
            from toolserver.auth.certificate import CertificateAuthenticator

            self._by_certificate.append(
                CertificateAuthenticator(settings.certificate_name)
            )
        self._began = time.time()
        self._signatures: SignatureAuthenticator | None = None
        self._failure = ""
        self._given = authenticators
        self._secrets = secrets
        self._others: list[Authenticator] = []
        self._chain: list[Authenticator] = []
        self._watcher: gevent.Greenlet[..., Any] | None = None
        self.is_active = False

    @property
    def _files(self) -> list[WatchedFile[Any]]:
        return [self._deny, self._allow, self._groups, self._passwd, self._tokens]

    def load(self) -> None:
        """Read the files.

        Raises:
            StartError: One cannot be read; says where and why.
        """
        for file in self._files:
            file.load()
        if self._issuer is not None:
            self._issuer.keys.load()
        if self._judges_signatures():
            self._load_signatures()
        self._others = list(self._given)
        self._arrange()

    def watch(self) -> None:
        """Read the files again whenever they change, until `close`."""
        if self._watcher is None:
            self._watcher = gevent.spawn(self._keep_watching)

    def close(self) -> None:
        """Stop watching, end the threads."""
        if self._watcher is not None:
            self._watcher.kill()
            self._watcher = None
        if self._issuer is not None:
            self._issuer.keys.close()
        self._accounts.close()
        if self._signatures is not None:
            self._signatures.close()

    def offer_sessions(self, lifetime: int) -> Sessions | None:
        """Let clients open sessions by signed requests.

        Args:
            lifetime: How long one can be used, seconds.

        Returns:
            The sessions; None where no signatures are judged.

        Raises:
            StartError: They cannot be kept.
        """
        if self._signatures is None:
            return None
        return self._signatures.offer_sessions(lifetime)

    @property
    def own_key(self) -> PrivateKey | None:
        """The server's private key as it is by now; None where it has none."""
        return None if self._signatures is None else self._signatures.own_key

    def _judges_signatures(self) -> bool:
        return bool(self._settings.rsa_authenticate or self._secrets) or any(
            next(folder.glob("*.pem"), None)
            for folder in (self._home.pubkeys, self._home.privkeys)
        )

    def _load_signatures(self) -> None:
        # Only servers with keys or secrets wait for the library to be imported.
        from toolserver.auth.signatures import SignatureAuthenticator

        if self._signatures is None:
            secrets = self._secrets
            made = SignatureAuthenticator(
                self._home,
                self._settings,
                self._began,
                secrets.find if secrets is not None else lambda namespace: None,
            )
            made.load()
            self._signatures = made

    def _refresh_signatures(self) -> None:
        """Look after the keys; with the first one signatures begin to be judged."""
        if self._signatures is not None:
            self._signatures.refresh()
        elif self._judges_signatures():
            try:
                self._load_signatures()
            except StartError as error:
                if str(error) != self._failure:
                    log.error("no signature holds: %s", error)
                self._failure = str(error)
            else:
                self._arrange()

    def _keep_watching(self) -> None:
        while True:
            gevent.sleep(_INTERVAL)
            try:
                self._refresh()
            except OSError as error:
                # Such as no descriptor being left: another look may find one.
                if str(error) != self._failure:
                    log.error("cannot look for changes for now: %s", error)
                self._failure = str(error)

    def _refresh(self) -> None:
        accounts, groups = self._passwd.value, self._groups.value
        changed = [file for file in self._files if file.refresh()]
        if changed:
            self._arrange()
            _tell_changes("account", accounts, self._passwd.value)
            _tell_changes("groups of", groups, self._groups.value)
        self._refresh_signatures()
        if self._issuer is not None:
            self._issuer.keys.refresh()

    def _arrange(self) -> None:
        # Without accounts, Basic credentials are the business of who serves them.
        judges_basic = self._basic is not None and bool(self._passwd.value)
        own: list[Authenticator] = []
        if judges_basic and self._basic is not None:
            own.append(self._basic)
        # Signatures come first: no password is hashed for who lacks one.
        first = [self._signatures] if self._signatures is not None else []
        # As with passwords: without tokens they are the business of who serves them.
        if self._issuer is not None:
            own.append(self._issuer)
        elif self._tokens.value:
            own.append(self._by_token)
        self._chain = [*first, *own, *self._by_certificate, *self._others]
        self.is_active = bool(self._deny.value or self._allow.value or self._chain)

    def groups_of(self, client: str) -> frozenset[str]:
        """The groups of a client by the file of groups.

        Args:
            client: Its name.
        """
        return self._groups.value.get(client, frozenset())

    def is_known(self, client: str, auth_type: str | None) -> bool:
        """Whether a client that has proved its name could do so again.

        Args:
            client: Its name.
            auth_type: How it has proved its name; what others judge is theirs to know.
        """
        if auth_type == "Basic" and not self._others:
            return client in self._passwd.value
        if auth_type == "Bearer" and not self._others:
            return any(token.client == client for token in self._tokens.value.values())
        if auth_type == "JWT":
            # Nobody can tell whether the issuer would still vouch for the client.
            return self._issuer is not None
        if auth_type in ("Signature", "Session"):
            return self._signatures is not None and self._signatures.knows(client)
        return auth_type != "Host" or client in self._allow.value.names

    def admit(self, request: Request) -> None:
        """Refuse who may not come at all.

        Args:
            request: The request.

        Raises:
            Forbidden: Its address is among those that are denied.
        """
        name = self._deny.value.find(request.peer)
        if name is not None:
            log.warning("refused %s: denied as %r", request.peer, name)
            raise Forbidden("this address may not call")

    def identify(self, request: Request) -> tuple[Identity | None, frozenset[str]]:
        """Find out who is calling.

        Args:
            request: The request as it was sent.

        Returns:
            Who it is, or None for an anonymous caller, and its groups.

        Raises:
            Unauthenticated: Credentials are wrong, or name different clients.
            Forbidden: They are right, and do not suffice.
        """
        found: list[Identity] = []
        try:
            for authenticator in self._chain:
                identity = authenticator.authenticate(request)
                if identity is not None:
                    found.append(identity)
            named = [identity for identity in found if identity.client is not None]
            if len(named) > 1 and len({identity.client for identity in named}) > 1:
                raise Unauthenticated("the credentials name different clients")
        except (Unauthenticated, Forbidden) as error:
            log.warning("refused %s: %s", request.peer or "unix", error.message)
            raise
        if not found:
            name = self._allow.value.find(request.peer)
            if name is None:
                return None, frozenset()
            found.append(Identity(name, "Host"))
        first = found[0]
        if first.client is None and named:
            # It is first by its content and seal, and others have told the name.
            first = replace(first, client=named[0].client, auth_type=named[0].auth_type)
        scoped = [each for each in found if each.namespaces is not None]
        if scoped and first.namespaces is None:
            first = replace(
                first,
                namespaces=scoped[0].namespaces,
                scope_prefix=scoped[0].scope_prefix,
            )
        groups = frozenset[str]()
        if first.client is not None:
            groups = self._groups.value.get(first.client, groups)
        for identity in found:
            if identity.groups:
                groups |= identity.groups
        return first, groups


def _make_issuer(
    home: Home, settings: AuthSettings, own: Authenticator
) -> JWTAuthenticator | None:
    """What judges the tokens of an issuer; None where there is none."""
    if not settings.jwt_issuer:
        return None
    try:
        # Only who has the extra can import it.
        from toolserver.auth.jsonwebtokens import make_authenticator
    except ModuleNotFoundError as error:
        if error.name != "jwt":
            raise
        raise StartError("auth.jwt_issuer needs the extra: toolserver[jwt]") from error
    return make_authenticator(home, settings, own)


def _tell_changes(
    what: str, before: Mapping[str, object], now: Mapping[str, object]
) -> None:
    for name in sorted({*before, *now}):
        old, new = before.get(name), now.get(name)
        if old != new:
            done = "added" if old is None else "deleted" if new is None else "changed"
            log.info("%s %s: %s", what, name, done)
