"""The virtual environment of the peers, apart from the one of Toolserver."""

from __future__ import annotations

import json
import subprocess
import sys
import venv
from pathlib import Path

HERE = Path(__file__).parent
REQUIREMENTS = HERE / "requirements.txt"
FOLDER = HERE / ".env"
PYTHON = FOLDER / "bin" / "python"
#: A copy of the requirements that are installed; written last.
INSTALLED = FOLDER / "installed.txt"


def prepare() -> None:
    """Install the peers, unless just these versions are there already."""
    wanted = REQUIREMENTS.read_text() + f"# {sys.version}\n"
    if INSTALLED.exists() and INSTALLED.read_text() == wanted:
        return
    print(f"installing the peers into {FOLDER}", file=sys.stderr)
    venv.create(FOLDER, clear=True, with_pip=True)
    subprocess.run(
        [PYTHON, "-m", "pip", "install", "--quiet", "-r", REQUIREMENTS], check=True
    )
    INSTALLED.write_text(wanted)


def versions(python: str | Path, *names: str) -> dict[str, str]:
    """Versions of installed packages, asked of the interpreter that has them."""
    code = (
        "import json, sys, importlib.metadata as m;"
        "print(json.dumps({n: m.version(n) for n in sys.argv[1:]}))"
    )
    done = subprocess.run(
        [python, "-c", code, *names], check=True, capture_output=True, text=True
    )
    found: dict[str, str] = json.loads(done.stdout)
    return found
