"""A native thread that works on an SQLite file for the greenlets of the loop.

What is asked in one turn of the loop, and whatever is asked while it works on one
transaction, is done in the next one, together, in the order in which it was asked for:
the commit, which costs most, is shared by all, and so is the way to the thread and
back. Where one of them fails, or they cannot be kept together, as the disk is full,
each is done anew in a transaction of its own: what fails undoes nothing of the others.
"""

from __future__ import annotations

import logging
import os
import sqlite3
from _queue import Empty, SimpleQueue  # the patched one would wait for the loop
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

from gevent.hub import Waiter, get_hub
from gevent.monkey import get_original

from toolserver.errors import JobNotStored
from toolserver.sqlitelocks import execute_patiently, is_locked

__all__ = ["SQLiteStore"]

log = logging.getLogger("toolserver.jobs")

T = TypeVar("T")
Operation = Callable[[sqlite3.Connection], Any]

#: Operations in one transaction at most: other processes wait for their turn.
_BATCH = 500
#: Seconds for which the file may be locked by other processes.
_BUSY = 30.0

_sleep_natively: Any = get_original("time", "sleep")
_start_native_thread: Any = get_original("_thread", "start_new_thread")


class _Task:
    """An operation, and who waits for it."""

    __slots__ = ("error", "operation", "value", "waiter")

    def __init__(self, operation: Operation, waiter: Any) -> None:
        self.operation = operation
        self.waiter = waiter
        self.value: Any = None
        self.error: BaseException | None = None


class SQLiteStore:
    """Runs operations on an SQLite file, in a thread of its own.

    Args:
        path: The file.
        begin: How a transaction begins: ``"BEGIN IMMEDIATE"`` for who writes, so that
            it waits for other processes before it has read anything.
        settings: Statements for the connection, when the file was prepared.
        busy: Seconds for which the file may be locked by other processes.
    """

    def __init__(
        self,
        path: Path,
        begin: str = "BEGIN IMMEDIATE",
        settings: Sequence[str] = (),
        *,
        busy: float = _BUSY,
    ) -> None:
        self._path = path
        self._begin = begin
        self._settings = settings
        self._busy = busy
        #: What was asked in this turn of the loop, and before.
        self._asked: list[_Task] = []
        self._tasks: SimpleQueue[list[_Task] | None] = SimpleQueue()
        self._done: deque[_Task] = deque()
        self._watcher: Any = None
        self._closing: _Task | None = None
        self._identity: tuple[int, int] | None = None

    def open(self, prepare: Callable[[sqlite3.Connection], T]) -> T:
        """Open the file.

        Args:
            prepare: The first operation, outside of a transaction.

        Returns:
            What it returned.

        Raises:
            sqlite3.Error: The file cannot be used.
        """
        self._watcher = get_hub().loop.async_()
        self._watcher.start(self._wake)
        task = _Task(prepare, Waiter())
        _start_native_thread(self._work, (task,))
        try:
            return _outcome(task)  # type: ignore[no-any-return]
        except BaseException:
            self._let_go()
            raise

    def run(self, operation: Callable[[sqlite3.Connection], T]) -> T:
        """Run an operation and wait until it is committed.

        Args:
            operation: What to do in a transaction; it may be done anew.

        Returns:
            What it returned.

        Raises:
            JobNotStored: It could not be done, or could not be kept.
        """
        if self._watcher is None or self._closing is not None:
            raise JobNotStored("the store is not open")
        task = _Task(operation, Waiter())
        if not self._asked:
            # The thread is told when all have asked whose turn it is.
            get_hub().loop.run_callback(self._hand_over)
        self._asked.append(task)
        try:
            return _outcome(task)  # type: ignore[no-any-return]
        except sqlite3.Error as error:
            # Where the file is is the operator's business alone.
            log.error("%s: %s", self._path, error)
            raise JobNotStored(f"the store cannot be used now: {error}") from error

    def run_later(self, operation: Operation) -> None:
        """Run an operation and wait for nothing; from any thread."""
        self._tasks.put([_Task(operation, None)])

    def close(self) -> None:
        """Finish what was asked for, and close the file."""
        if self._watcher is None or self._closing is not None:
            return
        self._closing = _Task(lambda base: None, Waiter())
        self._hand_over()
        self._tasks.put(None)
        _outcome(self._closing)
        self._let_go()

    def _let_go(self) -> None:
        self._watcher.stop()
        self._watcher.close()
        self._watcher = None

    def _hand_over(self) -> None:
        if self._asked:
            self._tasks.put(self._asked)
            self._asked = []

    def _wake(self) -> None:
        # In the hub: whoever waits goes on from here.
        while self._done:
            task = self._done.popleft()
            if task.waiter is not None:
                task.waiter.switch(None)

    def _work(self, first: _Task) -> None:
        """In the native thread."""
        base = None
        try:
            base = sqlite3.connect(
                self._path,
                isolation_level=None,
                timeout=self._busy,
                cached_statements=256,
            )
            first.value = first.operation(base)
            self._identity = _identity(self._path)
            for statement in self._settings:
                execute_patiently(base, statement, self._busy, _sleep_natively)
        except BaseException as error:  # it is raised for who opens the file
            first.error = error
            if base is not None:
                base.close()
            self._tell([first])
            return
        self._tell([first])
        is_open = True
        while is_open:
            tasks, is_open = self._next_tasks()
            for start in range(0, len(tasks), _BATCH):
                batch = tasks[start : start + _BATCH]
                self._run_batch(base, batch)
                self._tell(batch)
        base.close()
        self._tell([self._closing])  # type: ignore[list-item]  # set by `close`

    def _next_tasks(self) -> tuple[list[_Task], bool]:
        found: list[_Task] = []
        tasks = self._tasks.get()
        while tasks is not None:
            found += tasks
            if len(found) >= _BATCH:
                return found, True
            try:
                tasks = self._tasks.get_nowait()
            except Empty:
                return found, True
        return found, False

    def _run_batch(self, base: sqlite3.Connection, tasks: list[_Task]) -> None:
        if _identity(self._path) != self._identity:
            # What is written now would end with this process, or be out of the sight
            # of others that have opened the new file.
            for task in tasks:
                task.error = sqlite3.OperationalError(
                    "the file was removed or replaced"
                )
            return
        if len(tasks) > 1 and self._run_together(base, tasks):
            return
        for task in tasks:
            self._run_alone(base, task)

    def _run_together(self, base: sqlite3.Connection, tasks: list[_Task]) -> bool:
        """Run tasks in one transaction; whether no more can be done for them."""
        try:
            base.execute(self._begin)
            for task in tasks:
                task.value = task.operation(base)
            base.execute("COMMIT")
        except BaseException as error:
            _roll_back(base)
            if not is_locked(error):
                return False
            for task in tasks:
                task.error = error
        return True

    def _run_alone(self, base: sqlite3.Connection, task: _Task) -> None:
        try:
            base.execute(self._begin)
            task.value = task.operation(base)
            base.execute("COMMIT")
        except BaseException as error:  # it is raised for who waits
            task.error = error
            _roll_back(base)

    def _tell(self, tasks: list[_Task]) -> None:
        self._done.extend(tasks)
        self._watcher.send()


def _outcome(task: _Task) -> Any:
    task.waiter.get()
    if task.error is not None:
        try:
            raise task.error
        finally:
            # Its traceback holds this frame, which would hold it.
            task.error = None
    return task.value


def _identity(path: Path) -> tuple[int, int] | None:
    """What tells a file from another one of its name; None where there is none."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _roll_back(base: sqlite3.Connection) -> None:
    if base.in_transaction:
        with suppress(sqlite3.Error):
            base.execute("ROLLBACK")
