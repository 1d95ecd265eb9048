"""The folders of a home: who may read and write there, and is there room?"""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

from toolserver.doctor.findings import Case, Finding, problem
from toolserver.home import FOLDERS

__all__ = ["check_permissions", "check_room"]

#: Folders whose files are run, or believed, by the server.
_TRUSTED = ("config", "pubkeys", "privkeys", "tools", "wsgi", "lib")
#: Files in ``config/`` that nobody else may read.
_SECRET = ("passwd", "tokens")
#: Less than this is too little for logs and jobs, bytes; and files.
_LEAST_BYTES, _LEAST_FILES = 100 * 1024 * 1024, 1000


def check_permissions(case: Case) -> Iterator[Finding]:
    """Find folders that the server cannot use, and those that are open to others.

    Args:
        case: What is examined.
    """
    home = case.home.path
    for name in FOLDERS:
        folder = home / name
        if not folder.is_dir():
            yield problem(f"{folder}: no such folder", f"run: tsctl --home {home} init")
            continue
        mode = os.R_OK | os.X_OK
        if name in ("var", "log"):
            mode |= os.W_OK
        if not os.access(folder, mode):
            what = "written" if mode & os.W_OK else "read"
            yield problem(
                f"{folder}: cannot be {what} by this user (uid {os.geteuid()})",
                "run the server, and this command, as the owner of the home",
            )
    for name in _TRUSTED:
        yield from _writable_by_others(home / name)
    keys = home / "privkeys"
    yield from _readable(0o077, keys, *sorted(keys.glob("*")))
    # Whoever may change accounts may be a group; the server itself does not mind.
    secrets = [home / "config" / name for name in _SECRET]
    of_tls = case.configuration.settings.server.tls_key
    if of_tls:
        secrets.append(home / of_tls)
    yield from _readable(0o007, *secrets)


def check_room(case: Case, least: int = _LEAST_BYTES) -> Iterator[Finding]:
    """Find disks that are nearly full.

    Args:
        case: What is examined.
        least: Bytes that have to be free.
    """
    for folder in (case.home.var, case.home.log):
        if not folder.is_dir():
            continue
        free = shutil.disk_usage(folder).free
        if free < least:
            yield problem(
                f"{folder}: {free // (1024 * 1024)} MB are free on its disk",
                "make room: jobs and logs are written there",
            )
        counts = os.statvfs(folder)
        # Some file systems count no files.
        if counts.f_files and counts.f_favail < _LEAST_FILES:
            yield problem(
                f"{folder}: {counts.f_favail} more files fit on its disk",
                "remove small files there",
            )


def _writable_by_others(folder: Path) -> Iterator[Finding]:
    """Find what strangers could change: they would run as the server."""
    for path in (folder, *sorted(folder.glob("*"))):
        mode = _mode(path)
        # A sticky folder, too, lets others put files there.
        if mode is not None and mode & stat.S_IWOTH:
            yield problem(
                f"{path}: everybody on this machine may change it (mode {mode:o})",
                f"run: chmod o-w {path}",
            )


def _readable(bits: int, *paths: Path) -> Iterator[Finding]:
    for path in paths:
        mode = _mode(path)
        if mode is not None and mode & bits:
            yield problem(
                f"{path}: others may read it (mode {mode:o})",
                f"run: chmod {mode & ~bits & 0o777:o} {path}",
            )


def _mode(path: Path) -> int | None:
    try:
        return stat.S_IMODE(path.stat().st_mode)
    except OSError:
        return None
