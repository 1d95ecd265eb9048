"""The command that writes a starter tool."""

from __future__ import annotations

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

import sys
from pathlib import Path

# The tools and what they import, as the server sees them.
HOME = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(HOME / "tools"), str(HOME / "lib")]
'''


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
            "by dots"
        )
    if name.partition(".")[0] in RESERVED:
        raise click.BadParameter(f"{name!r} belongs to the server")
    home = Home.find(given)
    home.check()
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
    for file, text in files.items():
        _write(file, text)
        click.echo(f"wrote {file}")


def _write(file: Path, text: str) -> None:
    file.parent.mkdir(exist_ok=True)
    # "x": whoever made the file in the meantime keeps it, too.
    with file.open("x", encoding="utf-8") as stream:
        stream.write(text)
