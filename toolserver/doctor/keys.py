"""Keys and certificates: can they be used, and for how long?"""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509

from toolserver.auth.keys import read_private, read_public
from toolserver.doctor.findings import Case, Finding, problem, warning
from toolserver.errors import StartError
from toolserver.http.certificates import make_certificates

__all__ = ["check_certificates", "check_keys"]

#: How long before its end a certificate is warned of, seconds.
_SOON_S = 14 * 86400
#: More than this is neither key nor certificate, bytes.
_LARGEST = 1024 * 1024


def check_keys(case: Case) -> Iterator[Finding]:
    """Find keys that cannot be read, or are of a size that is not safe.

    Args:
        case: What is examined.
    """
    home = case.home
    server = case.configuration.settings.server
    of_tls = home.path / server.tls_key
    for path in sorted(home.privkeys.glob("*.pem")):
        # What TLS takes is judged with its certificate.
        if path.resolve() == of_tls.resolve():
            continue
        try:
            read_private(path)
        except StartError as error:
            yield problem(
                str(error), f"make a new pair: tsctl keygen --force {_name(path)}"
            )
    for path in sorted(home.pubkeys.glob("*.pem")):
        try:
            read_public(path.read_bytes()[:_LARGEST])
        except (OSError, ValueError) as error:
            yield problem(
                f"{path}: {error}",
                f"ask {path.stem} for another one, or remove it: it admits nobody",
            )


def _name(path: Path) -> str:
    return "--server" if path.stem == "server" else path.stem


def check_certificates(case: Case) -> Iterator[Finding]:
    """Find certificates that are not valid today, or fit no key.

    Args:
        case: What is examined.
    """
    server = case.configuration.settings.server
    try:
        make_certificates(server, case.home.path)
    except StartError as error:
        yield problem(str(error), "put right server.tls_* or the files that they name")
        return
    if server.tls_certificate:
        chain = case.home.path / server.tls_certificate
        advice = "renew it; a server that runs takes the new one by itself"
        yield from _expired(chain, advice)
    if server.tls_client_ca:
        trusted = case.home.path / server.tls_client_ca
        files = sorted(trusted.glob("*.pem")) if trusted.is_dir() else [trusted]
        for file in files:
            yield from _expired(file, "clients that it has certified are refused")


def _expired(file: Path, advice: str) -> Iterator[Finding]:
    now = time.time()
    try:
        found = x509.load_pem_x509_certificates(file.read_bytes()[:_LARGEST])
    except (OSError, ValueError) as error:  # pragma: no cover - it was read just now
        yield problem(f"{file}: cannot be read: {error}", "put it right")
        return
    for each in found:
        begins = each.not_valid_before_utc.timestamp()
        ends = each.not_valid_after_utc.timestamp()
        who = f"{file}: the certificate of {each.subject.rfc4514_string()!r}"
        if begins > now:
            yield problem(
                f"{who} is not valid before {_day(begins)}",
                "look at the clock of this machine, or wait",
            )
        elif ends <= now:
            yield problem(f"{who} has expired on {_day(ends)}", advice)
        elif ends < now + _SOON_S:
            yield warning(f"{who} expires on {_day(ends)}", advice)


def _day(seconds: float) -> str:
    return str(datetime.fromtimestamp(seconds, UTC).date())
