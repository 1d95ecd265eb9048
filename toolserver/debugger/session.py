"""One prompt: what its client asks for, and what it is told.

Three greenlets work for it. One reads, so that an interrupt is heard while code runs;
one runs what is asked for, one thing after the other; and one writes, so that nothing
that is told, such as of a call that is watched, waits for a slow client.
"""

from __future__ import annotations

import logging
import socket
from contextlib import suppress

import gevent
from gevent.event import Event
from gevent.queue import Full, Queue

from toolserver.contexts import Context
from toolserver.debugger.audit import AuditTrail
from toolserver.debugger.changes import Changes
from toolserver.debugger.commands import Commands, DebuggedServer
from toolserver.debugger.completion import complete
from toolserver.debugger.evaluation import Evaluation
from toolserver.debugger.messages import (
    ClientMessage,
    Complete,
    Done,
    Interrupt,
    LineReader,
    Output,
    Run,
    ServerMessage,
    Words,
    line,
)

__all__ = ["Session"]

log = logging.getLogger("toolserver.debugger")

_READ_SIZE = 65536
#: Messages that wait for the client, and requests of it that wait.
_UNSENT, _UNDONE = 1000, 16
#: Characters of what is completed.
_LONGEST_TEXT = 1000
#: Seconds that code gets to end when its client has gone, and how often it is told.
_END_S, _TIMES_TOLD = 0.2, 10


class Session:
    """A client that is attached.

    Args:
        server: The server process.
        changes: What was done to its methods, by all sessions.
        sock: The connection.
        reader: Reads what arrives on it.
        trail: Where each line is written down.
        name: What the trail calls the session.
    """

    def __init__(
        self,
        server: DebuggedServer,
        changes: Changes,
        sock: socket.socket,
        reader: LineReader[ClientMessage],
        trail: AuditTrail,
        name: str,
    ) -> None:
        self._sock = sock
        self._reader = reader
        self._trail = trail
        self._name = name
        self._unsent: Queue[ServerMessage] = Queue(_UNSENT)
        self._undone: Queue[Run | Complete] = Queue(_UNDONE)
        self._lost = 0
        self._has_ended = Event()
        self._commands = Commands(server, changes, self._tell_soon)
        self._evaluation = Evaluation(
            Context(services=server.services),
            lambda text: self._send(Output(text)),
            self._tell_soon,
        )
        self._evaluation.names.update(self._commands.names())

    def serve(self) -> None:
        """Do what the client asks for until it goes, and leave nothing behind."""
        reading, writing = gevent.spawn(self._read), gevent.spawn(self._write)
        working = gevent.spawn(self._work)
        try:
            self._has_ended.wait()
        finally:
            reading.kill(block=False)
            writing.kill(block=False)
            self._commands.close()
            self._evaluation.close()
            # What runs may catch what ends it, but hardly each time.
            for _ in range(_TIMES_TOLD):
                working.kill(timeout=_END_S)
                if working.ready():
                    break
            else:
                log.warning("debugger: %s: its code does not end", self._name)

    def end(self) -> None:
        """End the session."""
        self._has_ended.set()

    def _read(self) -> None:
        """Take what the client asks for; ends the session with the connection."""
        try:
            while data := self._sock.recv(_READ_SIZE):
                for message in self._reader.feed(data):
                    if isinstance(message, Interrupt):
                        self._interrupt()
                    elif isinstance(message, (Run, Complete)):
                        self._undone.put_nowait(message)
        except (OSError, ValueError, Full) as error:
            log.info("debugger: %s: %s", self._name, error)
        finally:
            self.end()

    def _interrupt(self) -> None:
        """End what runs, and what was to be run: both were asked for before."""
        while not self._undone.empty():
            if isinstance(self._undone.get_nowait(), Run):
                self._unsent.put_nowait(Done(error="KeyboardInterrupt\n"))
        self._evaluation.interrupt()

    def _write(self) -> None:
        with suppress(OSError):
            while True:
                message = self._unsent.get()
                self._sock.sendall(line(message))
                if isinstance(message, Done) and message.is_last:
                    break
        self.end()

    def _work(self) -> None:
        try:
            # What could not be ended may end by itself, long after the session.
            while not self._has_ended.is_set():
                asked = self._undone.get()
                if isinstance(asked, Complete):
                    # Nobody types longer ones.
                    text = asked.text[-_LONGEST_TEXT:]
                    self._send(Words(complete(text, self._evaluation.names)))
                else:
                    self._send(self._run(asked))
        finally:
            self.end()

    def _run(self, asked: Run) -> Done:
        try:
            self._trail.record(self._name, f"> {asked.source}")
        except OSError as error:
            # Whoever fills the disk must not go on unseen.
            return Done(
                error=f"not run: the audit log cannot be written: {error.strerror}\n"
            )
        return self._evaluation.run(asked.source, as_json=asked.as_json)

    def _send(self, message: ServerMessage) -> None:
        self._unsent.put(message)

    def _tell_soon(self, text: str) -> None:
        """Tell something that nobody waits for; a client that is slow misses some."""
        try:
            if self._lost:
                text = f"({self._lost} lines lost)\n{text}"
            self._unsent.put_nowait(Output(text))
            self._lost = 0
        except Full:
            self._lost += 1
