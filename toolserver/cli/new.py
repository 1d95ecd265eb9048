"""The command that writes a starter tool."""

from __future__ import annotations

import ast
import importlib.util
import keyword
import re
from pathlib import Path

import click

from toolserver.errors import StartError
from toolserver.home import Home
from toolserver.registry import RESERVED

__all__ = ["new"]

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*(\.[A-Za-z][A-Za-z0-9_]*)*")

_TOOL = '''\
"""The tool {namespace}."""

from dataclasses import dataclass

from toolserver import StandardTool, read_only, register


@dataclass(frozen=True)
class Settings:
    """What the section [tool."{namespace}"] of config/toolserver.toml may set."""

    greeting: str = "Hello"


@register("{namespace}")
class {cls}(StandardTool):
    """Says hello: replace it by what your tool does.

    Every public method can be called from outside, over every protocol. Its type
    hints are its interface: arguments are checked against them before it runs.
    """

    settings = Settings()

    # "read_only" lets links and other sites call it: it changes nothing.
    @read_only
    def greet(self, name: str, times: int = 1) -> str:
        """Greet somebody.

        Args:
            name: Who is greeted.
            times: How often.
        """
        return " ".join([f"{{self.settings.greeting}} {{name}}!"] * times)
'''

_TEST = '''\
"""Tests of the tool {namespace}; run them with ``pytest``."""

import pytest

from {module} import {cls}
from toolserver.errors import InvalidParams
from toolserver.testing import serve


@pytest.fixture
def server():
    with serve({cls}) as running:
        yield running


def test_greets(server):
    assert server.call("{namespace}.greet", "Ann") == "Hello Ann!"


def test_refuses_what_is_no_number(server):
    with pytest.raises(InvalidParams, match="times"):
        server.call("{namespace}.greet", "Ann", times="often")


def test_answers_over_rest(server):
    answer = server.http.get("/{path}/greet", params={{"name": "Ann", "times": 2}})
    assert answer.text == "Hello Ann! Hello Ann!"


def test_settings_change_it():
    with serve({cls}, settings={{"{namespace}": {{"greeting": "Moin"}}}}) as server:
        assert server.call("{namespace}.greet", "Ann") == "Moin Ann!"
'''

_CONFTEST = '''\
"""What all tests of this home share."""

# Where ../pytest.ini is not read: it patches the process for gevent.
import toolserver.pytest_plugin  # noqa: F401, I001, RUF100  # for what it does

import sys
from pathlib import Path

# The tools and what they import, as the server sees them.
HOME = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(HOME / "tools"), str(HOME / "lib")]
'''


#: Patches the process for gevent before plugins of others are imported.
_PYTEST = """\
[pytest]
addopts = -p toolserver.pytest_plugin
"""
#: Where pytest may be configured already.
_PYTEST_FILES = ("pytest.ini", ".pytest.ini", "pyproject.toml", "tox.ini", "setup.cfg")


@click.command()
@click.argument("name")
@click.pass_obj
def new(given: str | None, name: str) -> None:
    """Write a starter tool and its test.

    NAME is the namespace of the tool, such as shop.orders. The tool goes to tools/
    of the home and its test to tests/; files that exist are not touched.
    """
    if _NAME.fullmatch(name) is None:
        raise click.BadParameter(
            f"got {name!r}, expected letters, digits and underscores, in parts joined "
            "by dots, each beginning with a letter"
        )
    if name.partition(".")[0] in RESERVED:
        raise click.BadParameter(f"{name!r} belongs to the server")
    home = Home.find(given)
    home.check()
    taken = _find_tool(home.tools, name)
    if taken is not None:
        raise StartError(f"{name!r} is taken by a tool in {taken}")
    module = name.replace(".", "_").lower()
    # The file must not hide a module that others import.
    if keyword.iskeyword(module) or importlib.util.find_spec(module) is not None:
        module += "_tool"
    words = {
        "namespace": name,
        "path": name.replace(".", "/"),
        "module": module,
        "cls": "".join(part[:1].upper() + part[1:] for part in re.split(r"[._]", name)),
    }
    tests = home.path / "tests"
    files = {
        home.tools / f"{module}.py": _TOOL.format(**words),
        tests / f"test_{module}.py": _TEST.format(**words),
    }
    for file in files:
        if file.exists():
            raise StartError(f"{file}: exists, and is not overwritten")
    conftest = tests / "conftest.py"
    if not conftest.exists():
        files[conftest] = _CONFTEST
    if not any((home.path / file).exists() for file in _PYTEST_FILES):
        files[home.path / "pytest.ini"] = _PYTEST
    for file, text in files.items():
        _write(file, text)
        click.echo(f"wrote {file}")


def _find_tool(folder: Path, namespace: str) -> Path | None:
    """The file below a folder that registers a tool under a namespace."""
    for file in sorted(folder.rglob("*.py")):
        try:
            tree = ast.parse(file.read_bytes())
        except (OSError, SyntaxError, ValueError):
            continue
        if any(_registers(node, namespace) for node in ast.walk(tree)):
            return file
    return None


def _registers(node: ast.AST, namespace: str) -> bool:
    if not (isinstance(node, ast.Call) and node.args):
        return False
    name = getattr(node.func, "attr", None) or getattr(node.func, "id", None)
    given = node.args[0]
    return (
        name == "register"
        and isinstance(given, ast.Constant)
        and given.value == namespace
    )


def _write(file: Path, text: str) -> None:
    file.parent.mkdir(exist_ok=True)
    # "x": whoever made the file in the meantime keeps it, too.
    stream = file.open("x", encoding="utf-8")
    try:
        with stream:
            stream.write(text)
    except OSError as error:
        # Half a file would be in the way of the next attempt.
        file.unlink()
        raise StartError(f"{file}: {error.strerror}") from error
