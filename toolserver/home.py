"""The folders of one server."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from toolserver.errors import StartError

__all__ = ["Home"]

VARIABLE = "TOOLSERVER_HOME"
#: Folders and their modes; keys are for their owner alone.
FOLDERS = {
    "config": 0o755,
    "pubkeys": 0o755,
    "privkeys": 0o700,
    "tools": 0o755,
    "wsgi": 0o755,
    "lib": 0o755,
    "www": 0o755,
    "var": 0o755,
    "log": 0o755,
}


@dataclass(frozen=True)
class Home:
    """A folder that holds one server: configuration, keys, tools, files, state, logs.

    Attributes:
        path: The folder, absolute.
    """

    path: Path

    @classmethod
    def find(
        cls,
        given: str | os.PathLike[str] | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> Home:
        """Find out which home is meant; it need not exist.

        Args:
            given: The folder named on the command line, if any.
            environment: Variables, by name; by default those of the process.

        Returns:
            The home that was given, else that of ``$TOOLSERVER_HOME``, else the
            current folder if it is one, else ``~/.toolserver``.

        Raises:
            StartError: There is no home of the user either.
        """
        if environment is None:
            environment = os.environ
        named = given or environment.get(VARIABLE)
        if named:
            return cls(Path(named).expanduser().absolute())
        try:
            here = cls(Path.cwd())
            if here.settings_file.is_file():
                return here
        except OSError:
            # The current folder was deleted, or may not be looked into.
            pass
        user = environment.get("HOME") or os.path.expanduser("~")
        if not os.path.isabs(user):
            raise StartError(f"no home folder: give --home DIR or set ${VARIABLE}")
        return cls(Path(user) / ".toolserver")

    @property
    def settings_file(self) -> Path:
        """The configuration file."""
        return self.path / "config" / "toolserver.toml"

    @property
    def config(self) -> Path:
        """Configuration: settings, accounts, hosts."""
        return self.path / "config"

    @property
    def pubkeys(self) -> Path:
        """Public keys of those who may call, and the server's own."""
        return self.path / "pubkeys"

    @property
    def privkeys(self) -> Path:
        """Private keys."""
        return self.path / "privkeys"

    @property
    def tools(self) -> Path:
        """Files that register tools."""
        return self.path / "tools"

    @property
    def wsgi(self) -> Path:
        """WSGI applications."""
        return self.path / "wsgi"

    @property
    def lib(self) -> Path:
        """Modules that tools import."""
        return self.path / "lib"

    @property
    def www(self) -> Path:
        """Static files."""
        return self.path / "www"

    @property
    def var(self) -> Path:
        """State: pid file, sockets, jobs, the tools' private files."""
        return self.path / "var"

    @property
    def log(self) -> Path:
        """Access and error log."""
        return self.path / "log"

    def create(self) -> list[Path]:
        """Make what is missing of the folders, and shut the private ones.

        Returns:
            The folders that were made or shut.

        Raises:
            StartError: One cannot be made.
        """
        changed = []
        for name, mode in {"": 0o755, **FOLDERS}.items():
            folder = self.path / name
            try:
                if not folder.is_dir():
                    folder.mkdir(mode=mode, parents=True)
                    changed.append(folder)
                elif mode == 0o700 and folder.stat().st_mode & 0o077:
                    folder.chmod(mode)
                    changed.append(folder)
            except OSError as error:
                raise StartError(
                    f"{folder}: cannot be made: {error.strerror}"
                ) from error
        return changed

    def check(self) -> None:
        """Make sure that there is a home that can be read.

        Raises:
            StartError: There is none, or it may not be read; says what to do.
        """
        try:
            self.settings_file.stat()
        except (FileNotFoundError, NotADirectoryError) as error:
            raise StartError(
                f"{self.path}: no home of a server; "
                f"run 'tsctl --home {self.path} init' to make it one"
            ) from error
        except OSError as error:
            raise StartError(
                f"{self.settings_file}: cannot be read: {error.strerror}"
            ) from error

    def prepare(self) -> None:
        """Make sure that a server can run here; makes folders that are missing.

        Raises:
            StartError: It cannot; says what to do.
        """
        self.check()
        self.create()
        for folder in (self.var, self.log):
            if not os.access(folder, os.W_OK | os.X_OK):
                raise StartError(
                    f"{folder}: cannot be written; its owner has to run the server, "
                    "or has to allow it"
                )
        for folder in (self.config, self.tools, self.lib, self.www):
            if not os.access(folder, os.R_OK | os.X_OK):
                raise StartError(f"{folder}: cannot be read")
