"""Runs what is typed at a prompt."""

from __future__ import annotations

import ast
import builtins
import itertools
import linecache
import traceback
from collections.abc import Callable
from typing import Any

import gevent
import msgspec
from greenlet import getcurrent, greenlet

from toolserver.contexts import Context, bind
from toolserver.debugger.messages import MAX_LINE, Done
from toolserver.errors import ApplicationError
from toolserver.nativethreads import in_native_thread
from toolserver.plain import to_plain
from toolserver.turns import Turns

__all__ = ["Detach", "Evaluation"]

#: Characters that one piece of code may print, and of its value.
_MOST_PRINTED, _MOST_SHOWN = 2**20, 2**18
_numbers = itertools.count(1)


class Detach(BaseException):
    """The session shall end: what `exit` raises."""


class Evaluation:
    """Runs code in the names of one session, one piece after the other.

    Args:
        context: The context in which it runs.
        tell: Hands on what is printed; may wait.
        tell_soon: The same for who must not wait: calls that run injected code.

    Attributes:
        names: The names.
    """

    def __init__(
        self,
        context: Context,
        tell: Callable[[str], None],
        tell_soon: Callable[[str], None],
    ) -> None:
        self.names: dict[str, Any] = {
            "__name__": "__debugger__",
            "__builtins__": builtins,
            "print": self._print,
        }
        self._context = context
        self._tell = tell
        self._tell_soon = tell_soon
        self._loop = gevent.get_hub().loop
        self._file = f"<debugger {next(_numbers)}"
        self._pieces = itertools.count(1)
        self._sources: list[str] = []
        self._printed = 0
        self._turns = Turns()
        # Whoever runs code just now.
        self._running: greenlet | None = None
        self._is_closed = False

    def run(self, source: str, *, as_json: bool) -> Done:
        """Run some code.

        Args:
            source: The code.
            as_json: Whether the value is written as JSON.

        Returns:
            The value of its last expression, or how it failed.
        """
        file = f"{self._file}.{next(self._pieces)}>"
        lines = source.splitlines(keepends=True)
        # So that tracebacks show what was typed.
        linecache.cache[file] = (len(source), None, lines, file)
        self._sources.append(file)
        self._printed = 0
        self._turns = Turns()
        try:
            with bind(self._context):
                self._running = getcurrent()
                try:
                    value = self._execute(source, file)
                    shown = self._show(value, as_json=as_json)
                finally:
                    self._running = None
        except Detach:
            return Done(is_last=True)
        except gevent.GreenletExit:
            if self._is_closed:
                raise
            return Done(error="GreenletExit\n")
        except BaseException as error:  # SystemExit and KeyboardInterrupt, too
            return Done(error=_describe(error))
        return Done(value=shown)

    def interrupt(self) -> None:
        """Raise `KeyboardInterrupt` in what runs, where it waits."""
        running = self._running

        def interrupt() -> None:
            # It may have come to its end by itself.
            if running is not None and self._running is running:
                running.throw(KeyboardInterrupt())

        self._loop.run_callback(interrupt)

    def close(self) -> None:
        """Take note that the session ends: what is printed goes nowhere from now on."""
        self._is_closed = True
        for file in self._sources:
            linecache.cache.pop(file, None)

    def _execute(self, source: str, file: str) -> Any:
        tree = ast.parse(source, file)
        last = tree.body.pop() if tree.body else None
        if last is not None and not isinstance(last, ast.Expr):
            tree.body.append(last)
            last = None
        exec(compile(tree, file, "exec"), self.names)  # noqa: S102  # what it is for
        if last is None:
            return None
        expression = ast.Expression(last.value)
        value = eval(compile(expression, file, "eval"), self.names)  # noqa: S307  # see above
        if value is not None:
            self.names["_"] = value
        return value

    def _show(self, value: Any, *, as_json: bool) -> str:
        if as_json:
            try:
                # Some are mappings, too, of what has no plain form.
                wire = getattr(type(value), "__wire__", to_plain)
                text = msgspec.json.encode(to_plain(wire(value))).decode()
            except (ApplicationError, TypeError, ValueError):
                text = msgspec.json.encode(_clean(repr(value))).decode()
            if len(text) > MAX_LINE:
                raise ValueError(
                    f"the value is {len(text)} bytes of JSON, expected at most "
                    f"{MAX_LINE}"
                )
            return text
        if value is None:
            return ""
        text = _clean(repr(value))
        if len(text) > _MOST_SHOWN:
            text = f"{text[:_MOST_SHOWN]}... ({len(text)} characters)"
        return text

    def _print(
        self,
        *values: Any,
        sep: str | None = " ",
        end: str | None = "\n",
        **options: Any,
    ) -> None:
        """Print to this session; with `file`, as usual."""
        if options.get("file") is not None or self._is_closed:
            builtins.print(*values, sep=sep, end=end, **options)
            return
        sep, end = " " if sep is None else sep, "\n" if end is None else end
        text = _clean(sep.join(map(str, values)) + end)
        if in_native_thread():
            self._loop.run_callback_threadsafe(self._tell_soon, text)
            return
        if getcurrent() is not self._running:
            self._tell_soon(text)
            return
        left = _MOST_PRINTED - self._printed
        self._printed += len(text)
        if left > 0:
            if len(text) > left:
                text = f"{text[:left]}...\n(more than {_MOST_PRINTED} characters)\n"
            self._tell(text)
        # Who prints without end must not have the server for himself.
        self._turns.offer()


def _describe(error: BaseException) -> str:
    # The frames of this module, and of the parser, are of no interest.
    trace = None if isinstance(error, SyntaxError) else error.__traceback__
    while trace is not None and trace.tb_frame.f_code.co_filename == __file__:
        trace = trace.tb_next
    try:
        lines = traceback.format_exception(type(error), error, trace)
    except Exception:  # its class is anybody's
        lines = [f"{type(error).__name__}\n"]
    return _clean("".join(lines)[-_MOST_SHOWN:])


def _clean(text: str) -> str:
    """Text that can be sent: halves of characters cannot."""
    return text.encode("utf-8", "backslashreplace").decode()
