"""Imports the files and modules that register tools.

Each file of a tools folder is imported once under its stem. The folders are on
``sys.path``, so tools can import each other and what lies beside them.
"""

from __future__ import annotations

import importlib
import importlib.machinery
import importlib.metadata
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path

from toolserver.errors import StartError

__all__ = ["load_modules", "load_tools", "tool_files"]

#: Packages offer modules with tools under this group of entry points.
ENTRY_POINTS = "toolserver.tools"


def tool_files(folders: Sequence[Path]) -> dict[str, Path]:
    """Find the files to import.

    Args:
        folders: Folders of tools; a file in an earlier one shadows those of the
            same name in later ones.

    Returns:
        Files, and folders that are packages, by the name of their module. Names
        that begin with an underscore or a dot are left out.

    Raises:
        StartError: A folder cannot be read, or a name cannot be a module's.
    """
    found: dict[str, Path] = {}
    for folder in folders:
        try:
            entries = sorted(folder.iterdir())
        except OSError as error:
            raise StartError(
                f"{folder}: folder of tools cannot be read: {error.strerror}"
            ) from error
        for entry in entries:
            is_package = (entry / "__init__.py").is_file()
            if entry.name.startswith(("_", ".")) or not (
                is_package or (entry.suffix == ".py" and entry.is_file())
            ):
                continue
            if not entry.stem.isidentifier():
                raise StartError(
                    f"{entry}: the name of a file of tools has to be a Python name"
                )
            found.setdefault(entry.stem, entry)
    return found


def load_tools(folders: Sequence[Path], *, library: Path | None = None) -> None:
    """Import all files of some folders.

    Args:
        folders: Folders of tools, the first one going before the others.
        library: A folder with modules that tools import.

    Raises:
        StartError: A file cannot be imported; names file, line and cause.
    """
    files = tool_files(folders)
    for name, file in files.items():
        taken = _taken_by(name, file)
        if taken:
            raise StartError(
                f"{file}: the name hides the module {name!r} ({taken}); rename the file"
            )
    for folder in [*([library] if library is not None else []), *reversed(folders)]:
        path = str(folder)
        if path not in sys.path:
            sys.path.insert(0, path)
    importlib.invalidate_caches()
    for name, file in files.items():
        _import(name, str(file))


def import_again(name: str, file: Path) -> None:
    """Import a file once more, as a new module in the place of the old one.

    Args:
        name: Name of the module.
        file: The file, or the folder of a package.

    Raises:
        StartError: It cannot be imported; the old module is in its place again.
    """
    old = {
        known: module
        for known, module in sys.modules.items()
        if known == name or known.startswith(f"{name}.")
    }
    for known in old:
        del sys.modules[known]
    importlib.invalidate_caches()
    try:
        _import(name, str(file))
    except BaseException:
        sys.modules.update(old)
        raise


def load_modules(modules: Sequence[str], *, entry_points: bool = False) -> None:
    """Import modules that register tools.

    Args:
        modules: Their dotted names.
        entry_points: Whether those that installed packages offer are imported, too.

    Raises:
        StartError: One cannot be imported.
    """
    names = list(modules)
    if entry_points:
        names += [
            point.module
            for point in importlib.metadata.entry_points(group=ENTRY_POINTS)
        ]
    for name in names:
        _import(name, name)


def _taken_by(name: str, file: Path) -> str:
    """Where another module of that name comes from; empty if there is none."""
    if name in sys.builtin_module_names:
        return "built in"
    loaded = sys.modules.get(name)
    if loaded is not None:
        origin = getattr(loaded, "__file__", None) or "built in"
        return "" if _is_same(origin, file) else origin
    found = importlib.machinery.PathFinder.find_spec(name)
    if found is None or found.origin is None:
        return ""
    return "" if _is_same(found.origin, file) else found.origin


def _is_same(origin: str, file: Path) -> bool:
    path = Path(origin)
    return (path.parent if path.name == "__init__.py" else path).resolve() == (
        file.resolve()
    )


def _import(name: str, source: str) -> None:
    try:
        importlib.import_module(name)
    except StartError:
        raise
    except SyntaxError as error:
        where = f"{error.filename}:{error.lineno}" if error.filename else source
        raise StartError(f"{where}: {type(error).__name__}: {error.msg}") from error
    except (Exception, SystemExit) as error:
        frames = traceback.extract_tb(error.__traceback__)
        # The importing itself is of no interest; the last frame of the tool's is.
        own = [f for f in frames if f.filename.startswith(source)] or [
            f
            for f in frames
            if "importlib" not in f.filename and f.filename != __file__
        ]
        where = f"{own[-1].filename}:{own[-1].lineno}" if own else source
        raise StartError(
            f"{where}: cannot be imported: {type(error).__name__}: {error}"
        ) from error
