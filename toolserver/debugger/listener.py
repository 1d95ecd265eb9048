"""Lets clients attach to this process, after it is clear that they may."""

from __future__ import annotations

import errno
import itertools
import logging
import os
import stat
from contextlib import suppress
from functools import partial

import gevent
from gevent import socket

import toolserver
from toolserver.debugger.admission import (
    Admit,
    Admitted,
    NotAdmittedError,
    PasswordCheck,
    admit_owner,
)
from toolserver.debugger.audit import AuditTrail
from toolserver.debugger.changes import Changes
from toolserver.debugger.commands import DebuggedServer
from toolserver.debugger.credentials import read_key
from toolserver.debugger.messages import (
    MAX_ANSWER,
    MAX_LINE,
    ClientMessage,
    LineReader,
    Refused,
    Welcome,
    line,
    server_reader,
)
from toolserver.debugger.places import (
    folder_of,
    loopback_address,
    short_path,
    socket_of,
    workers_of,
)
from toolserver.debugger.session import Session
from toolserver.errors import StartError

__all__ = ["Debugger", "make_debugger"]

log = logging.getLogger("toolserver.debugger")

#: Clients that are attached at once.
_MOST_SESSIONS = 8
#: Seconds to show who one is.
_ANSWER_S = 10.0
#: Seconds after which a port that is taken is tried again, and an accepting that fails.
_RETRY_S, _PAUSE_S = 1.0, 0.2
#: Seconds that sessions get to end.
_STOP_S = 2.0
_numbers = itertools.count(1)


def make_debugger(server: DebuggedServer, worker: int = 0) -> Debugger | None:
    """Make what lets clients attach, where the settings want it.

    Args:
        server: The server process.
        worker: Its number among the workers.

    Raises:
        StartError: The settings cannot be followed.
    """
    return Debugger(server, worker) if server.settings.debugger.enabled else None


class Debugger:
    """Lets clients attach to a server process.

    Args:
        server: The server process.
        worker: Its number among the workers.

    Raises:
        StartError: The settings cannot be followed.
    """

    def __init__(self, server: DebuggedServer, worker: int) -> None:
        self._server = server
        self._worker = worker
        self._home = server.home
        settings = server.settings.debugger
        self._address: tuple[str, int] | None = None
        self._key = b""
        if settings.address:
            host, port = loopback_address(settings.address)
            port += worker if port else 0
            if port > 65535:
                raise StartError(
                    f"debugger.address: worker {worker} would have port {port}, "
                    "expected at most 65535"
                )
            self._address = (host, port)
            if not settings.password_file:
                raise StartError(
                    "debugger.address: there is no debugger.password_file; over TCP "
                    "only a password tells who may attach"
                )
            self._key = read_key(server.home.path / settings.password_file)
        self._trail = AuditTrail(server.home.log / "audit.log")
        self._changes = Changes(server.services.registry)
        self._listeners: list[socket.socket] = []
        self._accepting: list[gevent.Greenlet[..., None]] = []
        self._connections: set[gevent.Greenlet[..., None]] = set()
        self._sessions: set[Session] = set()
        self._path = socket_of(server.home, worker)
        self._inode = 0

    @property
    def address(self) -> tuple[str, int] | None:
        """Where clients attach over TCP; None where they cannot."""
        for listener in self._listeners:
            if listener.family != socket.AF_UNIX:
                host, port, *_ = listener.getsockname()
                return host, port
        return None

    def start(self) -> None:
        """Let clients attach from now on.

        Raises:
            StartError: The socket cannot be made.
        """
        try:
            self._open_unix()
        except OSError as error:
            raise StartError(
                f"debugger: cannot listen on {self._path}: {error.strerror or error}"
            ) from error
        if self._address is not None:
            address = self._address
            self._accepting.append(gevent.spawn(self._open_tcp, *address))

    def leave(self) -> None:
        """Let nobody attach any more, as another process does; sessions go on."""
        gevent.killall(self._accepting)
        for listener in self._listeners:
            listener.close()
        self._listeners.clear()
        with suppress(OSError):
            if os.stat(self._path).st_ino == self._inode:
                os.unlink(self._path)

    def stop(self) -> None:
        """Let nobody attach any more, and end all sessions."""
        self.leave()
        for session in list(self._sessions):
            session.end()
        if self._sessions:
            gevent.joinall(list(self._connections), timeout=_STOP_S)
        gevent.killall(list(self._connections))

    # --- sockets

    def _open_unix(self) -> None:
        folder = folder_of(self._home)
        folder.mkdir(mode=0o700, exist_ok=True)
        status = folder.lstat()
        if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid():
            raise StartError(f"debugger: {folder} is not the server's own folder")
        folder.chmod(0o700)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        made = self._path.with_suffix(f".{os.getpid()}")
        try:
            made.unlink(missing_ok=True)
            with short_path(made) as path:
                listener.bind(path)
            made.chmod(0o600)
            listener.listen(_MOST_SESSIONS)
            self._inode = made.stat().st_ino
            # At once in the place of one that a worker leaves, or has left behind.
            made.rename(self._path)
        except OSError:
            listener.close()
            raise
        self._listen(listener, partial(admit_owner, self._trail))
        self._remove_stale()

    def _remove_stale(self) -> None:
        """Remove what workers have left behind that were killed, and are no more."""
        for worker in workers_of(self._home):
            if worker >= self._server.settings.server.workers:
                socket_of(self._home, worker).unlink(missing_ok=True)

    def _open_tcp(self, host: str, port: int) -> None:
        """Listen on a port as soon as it is free: a worker may be leaving it."""
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        was_told = False
        while True:
            listener = socket.socket(family, socket.SOCK_STREAM)
            try:
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                listener.bind((host, port))
                listener.listen(_MOST_SESSIONS)
                break
            except OSError as error:
                listener.close()
                if not was_told:
                    log.warning(
                        "debugger: cannot listen on port %d of %s yet: %s",
                        *(port, host, error.strerror),
                    )
                was_told = True
                gevent.sleep(_RETRY_S)
        log.info(
            "debugger: listening on port %d of %s", listener.getsockname()[1], host
        )
        self._listen(listener, PasswordCheck(self._key, self._trail))

    def _listen(self, listener: socket.socket, admit: Admit) -> None:
        self._listeners.append(listener)
        self._accepting.append(gevent.spawn(self._accept, listener, admit))

    def _accept(self, listener: socket.socket, admit: Admit) -> None:
        while True:
            try:
                sock, _ = listener.accept()
            except OSError as error:
                if error.errno == errno.EBADF:
                    return
                gevent.sleep(_PAUSE_S)
                continue
            serving = gevent.spawn(self._serve, sock, admit)
            self._connections.add(serving)
            serving.rawlink(self._connections.discard)

    # --- clients

    def _serve(self, sock: socket.socket, admit: Admit) -> None:
        with sock:
            try:
                late = NotAdmittedError("it took too long")
                with gevent.Timeout(_ANSWER_S, late):
                    reader, admitted = self._meet(sock, admit)
                self._attend(sock, reader, admitted)
            except NotAdmittedError as error:
                with suppress(OSError):
                    sock.settimeout(_PAUSE_S)
                    sock.sendall(line(Refused(str(error))))
            except (OSError, ValueError) as error:
                log.info("debugger: a client was not admitted: %s", error)

    def _meet(
        self, sock: socket.socket, admit: Admit
    ) -> tuple[LineReader[ClientMessage], Admitted]:
        if len(self._sessions) >= _MOST_SESSIONS:
            raise NotAdmittedError(f"{_MOST_SESSIONS} are attached already")
        reader = server_reader(MAX_ANSWER)
        admitted = admit(sock, reader)
        reader.limit = MAX_LINE
        return reader, admitted

    def _attend(
        self,
        sock: socket.socket,
        reader: LineReader[ClientMessage],
        admitted: Admitted,
    ) -> None:
        name = f"session {os.getpid()}-{next(_numbers)}"
        try:
            self._trail.record(name, f"begins, worker {self._worker}, {admitted.who}")
        except OSError as error:
            log.error("debugger: the audit log cannot be written: %s", error)
            raise NotAdmittedError("the audit log cannot be written") from error
        welcome = Welcome(
            self._worker, os.getpid(), toolserver.__version__, admitted.response
        )
        session = Session(self._server, self._changes, sock, reader, self._trail, name)
        self._sessions.add(session)
        try:
            sock.sendall(line(welcome))
            session.serve()
        finally:
            self._sessions.discard(session)
            self._trail.note(name, "ends")
