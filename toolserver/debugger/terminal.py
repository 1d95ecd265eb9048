"""The prompt of a terminal: history, completion, and code of several lines."""

from __future__ import annotations

import codeop
import os
import readline
import sys
import traceback
from contextlib import suppress
from pathlib import Path

from toolserver.debugger.client import Attachment, Detached

__all__ = ["Terminal"]

_PROMPT, _MORE = ">>> ", "... "
#: What parts words for completion: not what joins names, attributes and keys.
_DELIMITERS = " \t\n`~!@#$%^&*()-=+{}\\|;:,<>/?"
_HISTORY_LENGTH = 2000
#: The file of the history; the variable names another one, or with "" none.
_HISTORY = ".toolserver_debug_history"
_VARIABLE = "TOOLSERVER_DEBUG_HISTORY"


class Terminal:
    """Types for a session what somebody types, until the end of it.

    Output that comes by itself is written above the line that is being typed.
    """

    def __init__(self) -> None:
        # What stands before what is being typed; empty while nobody types.
        self._prompt = ""
        self._is_shown = sys.stdin.isatty()
        self._words: list[str] = []
        self._attachment: Attachment | None = None

    def show(self, text: str) -> None:
        """Show what the server prints; called by any thread.

        Args:
            text: The text.
        """
        if self._prompt and self._is_shown:
            # The line below is as the library believes that it still stands there.
            text = f"\r\033[K{text}{self._prompt}{readline.get_line_buffer()}"
        sys.stdout.write(text)
        sys.stdout.flush()

    def run(self, attachment: Attachment) -> None:
        """Read, run and show, until the input or the session ends.

        Args:
            attachment: The session.

        Raises:
            Abandoned: Somebody does not wait for the end of what he has interrupted.
        """
        self._attachment = attachment
        if self._is_shown:
            self._read_history()
            readline.set_completer_delims(_DELIMITERS)
            readline.set_completer(self._complete)
            is_libedit = "libedit" in (readline.__doc__ or "")
            readline.parse_and_bind(
                "bind ^I rl_complete" if is_libedit else "tab: complete"
            )
        try:
            self._converse(attachment)
        except Detached:
            print("the session has ended")
        finally:
            readline.set_completer(None)
            if self._is_shown:
                self._write_history()

    def _converse(self, attachment: Attachment) -> None:
        while True:
            try:
                source = self._read()
                if not source.strip():
                    continue
                done = attachment.run(source)
                if done.is_last:
                    return
                self.show(done.error or (f"{done.value}\n" if done.value else ""))
            except KeyboardInterrupt:
                print("\nKeyboardInterrupt")
            except EOFError:
                if self._is_shown:
                    print()
                return

    def _read(self) -> str:
        """One piece of code, whole as far as Python can tell."""
        lines: list[str] = []
        while True:
            try:
                lines.append(self._read_line(_MORE if lines else _PROMPT))
            except EOFError:
                if not lines or not any(lines):
                    raise
                # The input may end without the empty line that ends a block.
                return "\n".join(lines)
            source = "\n".join(lines)
            try:
                if codeop.compile_command(source, "<stdin>") is not None:
                    return source
            except (SyntaxError, ValueError, OverflowError) as error:
                text = traceback.format_exception_only(type(error), error)
                print("".join(text), end="")
                return ""

    def _read_line(self, prompt: str) -> str:
        self._prompt = prompt
        try:
            return input(prompt if self._is_shown else "")
        finally:
            self._prompt = ""

    def _complete(self, text: str, state: int) -> str | None:
        if state == 0:
            begin = readline.get_line_buffer()[: readline.get_begidx()]
            if not text and not begin.strip():
                # At the begin of a line Tab indents.
                self._words = ["    "]
            elif self._attachment is not None:
                self._words = self._attachment.complete(text)
        return self._words[state] if state < len(self._words) else None

    def _read_history(self) -> None:
        path = _history_path()
        if path is not None:
            with suppress(OSError):
                readline.read_history_file(path)
        readline.set_history_length(_HISTORY_LENGTH)

    def _write_history(self) -> None:
        path = _history_path()
        if path is None:
            return
        # What is typed may be secret.
        with suppress(OSError):
            os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))
            readline.write_history_file(path)


def _history_path() -> Path | None:
    named = os.environ.get(_VARIABLE)
    if named is not None:
        return Path(named) if named else None
    with suppress(RuntimeError):
        return Path.home() / _HISTORY
    return None
