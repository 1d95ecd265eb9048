"""Certificate, key and trust of the server, read again whenever their files change.

A new certificate is for new connections; those that are open keep theirs. What cannot
be read, such as a certificate whose key has not been written yet, changes nothing.
"""

from __future__ import annotations

import logging
import os
import ssl
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

from toolserver.errors import StartError
from toolserver.settings import ServerSettings

__all__ = ["Certificates", "make_certificates"]

log = logging.getLogger("toolserver.tls")

#: How long before its end a certificate is warned of, and how often, seconds.
_SOON, _WARNING_INTERVAL = 14 * 86400, 86400
#: More than this is no certificate, bytes.
_LARGEST = 1024 * 1024
_MODES = {
    "none": ssl.CERT_NONE,
    "optional": ssl.CERT_OPTIONAL,
    "required": ssl.CERT_REQUIRED,
}


def make_certificates(settings: ServerSettings, folder: Path) -> Certificates | None:
    """Read what the settings name for TLS.

    Args:
        settings: Where certificate and key are, and what is asked of clients.
        folder: Folder to which relative paths refer.

    Returns:
        The certificates, or None where none is configured.

    Raises:
        StartError: A file is missing or is not what it should be.
    """
    asks = settings.tls_client_auth != "none"
    if not settings.tls_certificate and not settings.tls_key:
        if asks or settings.tls_client_ca:
            raise StartError(
                "server.tls_client_auth and tls_client_ca need tls_certificate and "
                "tls_key"
            )
        return None
    if not settings.tls_certificate or not settings.tls_key:
        raise StartError("server.tls_certificate and server.tls_key go together")
    if asks and not settings.tls_client_ca:
        raise StartError(
            "server.tls_client_auth: server.tls_client_ca has to name who is trusted"
        )
    found = Certificates(settings, folder)
    found.load()
    return found


class Certificates:
    """The TLS context of the server, as its files are now.

    Args:
        settings: Where they are, and what is asked of clients.
        folder: Folder to which relative paths refer.
        clock: Tells the time in seconds since the epoch.
    """

    def __init__(
        self,
        settings: ServerSettings,
        folder: Path,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._certificate = folder / settings.tls_certificate
        self._key = folder / settings.tls_key
        self._trusted = (
            folder / settings.tls_client_ca if settings.tls_client_ca else None
        )
        self._mode = _MODES[settings.tls_client_auth]
        self._clock = clock
        self._seen: object = None
        self._context: ssl.SSLContext | None = None
        self._ends = float("inf")
        self._warn_at = 0.0

    @property
    def context(self) -> ssl.SSLContext:
        """The context for new connections.

        Raises:
            RuntimeError: `load` has not been called.
        """
        if self._context is None:
            raise RuntimeError("the certificates were not loaded")
        return self._context

    def load(self) -> None:
        """Read the files.

        Raises:
            StartError: One is missing or is not what it should be; nothing changes.
        """
        self._seen = self._identity()
        context = self._make()
        self._ends = _end_of(self._certificate)
        self._context = context
        self._warn_at = 0.0
        self.warn()

    def refresh(self) -> bool:
        """Read the files again if one has changed; what cannot be read is told.

        Returns:
            Whether there is a new context.
        """
        self.warn()
        if self._identity() == self._seen:
            return False
        try:
            self.load()
        except StartError as error:
            log.error("%s; what was there before still holds", error)
            return False
        log.info("%s: read again", self._certificate)
        return True

    def warn(self) -> None:
        """Tell the log, once a day, of a certificate that ends soon."""
        now = self._clock()
        if now < self._warn_at or self._ends - now > _SOON:
            return
        self._warn_at = now + _WARNING_INTERVAL
        day = datetime.fromtimestamp(self._ends, UTC).date()
        verb = "has expired on" if self._ends <= now else "expires on"
        log.warning("%s: the certificate %s %s", self._certificate, verb, day)

    def _identity(self) -> object:
        return [
            (path, stat.st_mtime_ns, stat.st_size, stat.st_ino)
            for path in self._files()
            if (stat := _stat(path)) is not None
        ]

    def _files(self) -> Iterator[Path]:
        yield from (self._certificate, self._key)
        if self._trusted is not None:
            yield from _trusted_files(self._trusted)

    def _make(self) -> ssl.SSLContext:
        for path in (self._certificate, self._key):
            if not path.is_file():
                raise StartError(f"{path}: no such file, needed for TLS")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
        context.set_alpn_protocols(["http/1.1"])
        try:
            context.load_cert_chain(self._certificate, self._key, password=_no_password)
        except (ssl.SSLError, OSError, ValueError) as error:
            raise StartError(
                f"{self._certificate}: certificate and key cannot be used: {error}"
            ) from error
        if self._trusted is not None and self._mode is not ssl.CERT_NONE:
            self._trust(context, self._trusted)
        return context

    def _trust(self, context: ssl.SSLContext, trusted: Path) -> None:
        """Ask clients for certificates of those who are trusted."""
        context.verify_mode = self._mode
        # A resumed session would not be judged by who is trusted by then.
        context.options |= ssl.OP_NO_TICKET
        context.num_tickets = 0
        files = list(_trusted_files(trusted))
        if not files:
            raise StartError(f"{trusted}: no such file, and no folder of *.pem files")
        for file in files:
            try:
                context.load_verify_locations(cafile=file)
            except (ssl.SSLError, OSError) as error:
                raise StartError(f"{file}: no certificates: {error}") from error


def _trusted_files(trusted: Path) -> list[Path]:
    if trusted.is_dir():
        return sorted(trusted.glob("*.pem"))
    return [trusted] if trusted.is_file() else []


def _stat(path: Path) -> os.stat_result | None:
    try:
        return path.stat()
    except OSError:
        return None


def _no_password() -> str:
    # Else OpenSSL would ask at a terminal that nobody looks at.
    raise ValueError("the key is encrypted, which a server cannot use")


def _end_of(certificate: Path) -> float:
    """When the first certificate of a file ends, seconds since the epoch."""
    # Only servers with TLS wait for the library to be imported.
    from cryptography import x509

    try:
        with certificate.open("rb") as file:
            found = x509.load_pem_x509_certificates(file.read(_LARGEST))
    except (OSError, ValueError) as error:
        raise StartError(f"{certificate}: cannot be read: {error}") from error
    return found[0].not_valid_after_utc.timestamp()
