"""Tells a service manager how the server is, as systemd wants to know it.

Each message is a datagram of lines ``NAME=value`` to the Unix socket of the variable
``NOTIFY_SOCKET``; without the variable nothing is told.

Spec: sd_notify(3) and sd_watchdog_enabled(3) of systemd.
"""

from __future__ import annotations

import logging
import os
import socket
import time
from collections.abc import MutableMapping

import gevent

__all__ = ["Notifier"]

log = logging.getLogger("toolserver.serve")

_SOCKET = "NOTIFY_SOCKET"
_WATCHDOG = "WATCHDOG_USEC"
_WATCHDOG_PID = "WATCHDOG_PID"
#: Seconds that a service manager gets to take a message.
_PATIENCE_S = 5.0
#: Bytes of a status at most, so that a message is never too large for a datagram.
_MOST_STATUS_BYTES = 2000


class Notifier:
    """Tells the service manager of this process how it is; nothing where there is none.

    Args:
        environment: Variables of the process; those that are meant for it alone are
            taken out, so that no process that it starts takes them for its own.

    Attributes:
        environment: The variables that were taken out, for a process that executes
            itself anew.
    """

    def __init__(self, environment: MutableMapping[str, str]) -> None:
        self.environment = {
            name: environment.pop(name)
            for name in (_SOCKET, _WATCHDOG, _WATCHDOG_PID)
            if name in environment
        }
        self._address = _address(self.environment.get(_SOCKET, ""))
        self._watchdog_us = _watchdog_us(self.environment) if self._address else 0
        self._feeding: gevent.Greenlet[..., None] | None = None

    def tell_status(self, text: str) -> None:
        """Tell people how the server is.

        Args:
            text: How, in one line.
        """
        self._send(_status(text))

    def tell_ready(self, text: str) -> None:
        """Tell that the server serves, after its start or after loading all anew.

        From now on the service manager's watchdog is fed, twice in its time, as long
        as the loop of this process turns.

        Args:
            text: How it is, in one line.
        """
        lines = ["READY=1", _status(text)]
        if self._watchdog_us and self._feeding is None:
            # The code that was before may have asked for more time to load.
            lines.append(f"WATCHDOG_USEC={self._watchdog_us}")
            self._feeding = gevent.spawn(self._feed)
        self._send(*lines)

    def tell_reloading(self) -> None:
        """Tell that everything is being loaded anew; `tell_ready` follows."""
        # Compared with the service manager's own clock: is it the answer to the
        # reload that it has just asked for?
        now_us = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        self._send("RELOADING=1", f"MONOTONIC_USEC={now_us}", _status("loading anew"))

    def tell_stopping(self) -> None:
        """Tell that the server ends."""
        self._send("STOPPING=1", _status("stopping"))

    def ask_for_time(self, seconds: float) -> None:
        """Have the watchdog wait while the process executes itself anew.

        Args:
            seconds: How long that may take.
        """
        if self._watchdog_us:
            longer = max(self._watchdog_us, round(seconds * 1_000_000))
            self._send("WATCHDOG=1", f"WATCHDOG_USEC={longer}")

    def _feed(self) -> None:
        while True:
            gevent.sleep(self._watchdog_us / 2_000_000)
            self._send("WATCHDOG=1")

    def _send(self, *lines: str) -> None:
        if not self._address:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
                sender.settimeout(_PATIENCE_S)
                sender.connect(self._address)
                sender.sendall("\n".join(lines).encode())
        except OSError as error:
            log.warning("the service manager was not told %r: %s", lines[0], error)


def _address(text: str) -> str:
    """The address of a Unix socket; empty for what is none."""
    if text.startswith("@"):
        # Stands for the zero byte that abstract names begin with.
        return "\0" + text[1:]
    return text if text.startswith("/") else ""


def _status(text: str) -> str:
    # A further line would be a message of its own.
    line = " ".join(text.split()).encode()[:_MOST_STATUS_BYTES]
    return f"STATUS={line.decode(errors='ignore')}"


def _watchdog_us(environment: MutableMapping[str, str]) -> int:
    """Microseconds in which the watchdog is to be fed; 0 where there is none."""
    try:
        pid = int(environment.get(_WATCHDOG_PID, os.getpid()))
        found = int(environment.get(_WATCHDOG, "0"))
    except ValueError:
        return 0
    return max(0, found) if pid == os.getpid() else 0
