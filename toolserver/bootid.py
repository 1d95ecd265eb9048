"""Tells one run of the machine from another."""

from __future__ import annotations

from pathlib import Path

__all__ = ["boot_id"]

_BOOT = Path("/proc/sys/kernel/random/boot_id")


def boot_id() -> str:
    """What is another one each time that the machine is started; empty if not known.

    Spec: random(4), ``/proc/sys/kernel/random/boot_id``.
    """
    try:
        return _BOOT.read_text().strip()
    except OSError:
        return ""
