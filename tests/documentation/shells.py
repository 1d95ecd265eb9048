"""Runs what a page shows of a shell, and compares what that prints."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

__all__ = ["Shell", "steps"]

BIN = Path(sys.executable).parent
#: What differs from one run to the next: looks like this, and is compared as its kind.
_VARYING = [
    (r"\b[0-9a-f]{32}\b", "ID"),
    (r"\b\d{4}-\d\d-\d\d[T ][\d:]+([.,]\d+)?(\+\d\d:\d\d|Z)?", "TIME"),
    (r"\bpid \d+", "pid N"),
    (r"\bworker \d+", "worker N"),
    (r"(localhost|127\.0\.0\.1):\d+", "HOST:PORT"),
]
#: Commands of clients ask the page's own server.
_TSCTL = """
tsctl() {
    case "$1" in
        call|tools|wsdl|openapi|stubs|jobs|mcp)
            command tsctl "$1" --url "$URL" "${@:2}" ;;
        *) command tsctl "$@" ;;
    esac
}
"""
#: Stands for any lines.
_ANY = "..."
_END = "end of a step, and its status:"


def steps(text: str) -> list[tuple[str, str]]:
    """The commands of a block behind their prompts, and what it shows of each."""
    found = []
    for step in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
        lines = step.rstrip("\n").split("\n")
        if wrote := re.fullmatch(r"cat > (\S+)", lines[0]):
            body = "\n".join(lines[1:])
            found.append((f"cat > {wrote[1]} <<'EOF'\n{body}\nEOF", ""))
            continue
        end = 1
        while _goes_on("\n".join(lines[:end])) and end < len(lines):
            end += 1
        found.append(("\n".join(lines[:end]), "\n".join(lines[end:])))
    return found


def _goes_on(command: str) -> bool:
    """Whether a quote is open, a document is, or a backslash ends the line."""
    if here := re.search(r"<<\s*'?(\w+)'?", command):
        return re.search(rf"^{here[1]}$", command, re.MULTILINE) is None
    try:
        shlex.split(command)
    except ValueError:
        return True
    return False


class Shell:
    """Runs the blocks of one page; folder and variables go from block to block.

    Args:
        folder: The home of who types.
        port: The port that takes the place of 4334.
        url: The page's server; None where the page starts its own.
    """

    def __init__(self, folder: Path, port: int, url: str | None) -> None:
        self._folder = folder
        self._url = url
        self._port = str(port)
        self._state = folder / ".state"
        kept = {key: os.environ[key] for key in ("LANG", "TMPDIR") if key in os.environ}
        self.environment = {
            **kept,
            "PATH": f"{BIN}:/usr/local/bin:/usr/bin:/bin:/usr/sbin",
            "HOME": str(folder),
            "URL": url or "",
            "TOOLSERVER_SERVER__PORT": self._port,
        }

    def run(self, commands: list[str]) -> list[tuple[int, str]]:
        """Run commands one after the other; of each the status, and what it prints."""
        script = [
            _TSCTL if self._url else "",
            f"[ -e {self._state} ] && . {self._state}",
        ]
        for command in commands:
            script += [command, f"printf '\\n{_END} %s\\n' $?"]
        script += [f"{{ declare -px; printf 'cd %q\\n' \"$PWD\"; }} > {self._state}"]
        done = subprocess.run(
            ["bash", "-c", "\n".join(script)],
            env=self.environment,
            cwd=self._folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=100,
        )
        parts = re.split(rf"\n{_END} (\d+)\n", done.stdout)
        assert len(parts) == 2 * len(commands) + 1, done.stdout
        return [
            (int(status), told)
            for told, status in zip(parts[::2], parts[1::2], strict=False)
        ]

    def check(self, text: str) -> None:
        """Run a block, and compare what it shows with what is printed.

        ``…`` stands for anything on a line, and a line of ``...`` for any lines.
        """
        found = steps(text.replace("4334", self._port))
        assert found, "no command: expected a prompt"
        results = self.run([re.sub(r"\bcurl ", "curl -sS ", each) for each, _ in found])
        for (command, shown), (status, printed) in zip(found, results, strict=True):
            assert status == 0, f"{command}\n{printed}"
            if shown:
                _compare(command, shown, printed)


def _compare(command: str, shown: str, printed: str) -> None:
    expected, got = _lines(shown), _lines(printed)
    # Of the head of an answer only what matters is shown.
    is_part = _ANY in map(str.strip, expected) or re.search(r"curl .*-i\b", command)
    patterns = [
        re.escape(line).replace("…", ".*") for line in expected if line.strip() != _ANY
    ]
    if is_part:
        rest = iter(got)
        for pattern in patterns:
            assert any(re.fullmatch(pattern, line) for line in rest), (pattern, printed)
    else:
        assert re.fullmatch("\n".join(patterns), "\n".join(got)), (shown, printed)


def _lines(text: str) -> list[str]:
    for pattern, kind in _VARYING:
        text = re.sub(pattern, kind, text)
    return [line.rstrip() for line in text.strip().splitlines()]
