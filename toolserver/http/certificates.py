"""The TLS context of the server."""

from __future__ import annotations

import ssl
from pathlib import Path

from toolserver.errors import StartError
from toolserver.settings import ServerSettings

__all__ = ["server_context"]


def server_context(settings: ServerSettings, folder: Path) -> ssl.SSLContext | None:
    """Make the TLS context that the settings ask for.

    Args:
        settings: Where certificate and key are.
        folder: Folder to which relative paths refer.

    Returns:
        The context, or None where no certificate is configured.

    Raises:
        StartError: A file is missing or is not what it should be.
    """
    if not settings.tls_certificate and not settings.tls_key:
        return None
    if not settings.tls_certificate or not settings.tls_key:
        raise StartError("server.tls_certificate and server.tls_key go together")
    certificate = folder / settings.tls_certificate
    key = folder / settings.tls_key
    for path in (certificate, key):
        if not path.is_file():
            raise StartError(f"{path}: no such file, needed for TLS")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    try:
        context.load_cert_chain(certificate, key)
    except (ssl.SSLError, OSError) as error:
        raise StartError(
            f"{certificate}: certificate and key cannot be used: {error}"
        ) from error
    return context
