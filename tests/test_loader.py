"""Files and modules that register tools."""

import sys
import uuid

import pytest

from toolserver.errors import StartError
from toolserver.loader import ENTRY_POINTS, load_modules, load_tools, tool_files


@pytest.fixture
def name(monkeypatch):
    """A module name that nothing else uses; the module goes with the test."""
    made = f"tools_{uuid.uuid4().hex}"
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield made
    sys.modules.pop(made, None)


def test_files_and_packages_are_found_and_others_left_out(tmp_path):
    for file in ("one.py", "_hidden.py", ".dot.py", "text.txt"):
        (tmp_path / file).touch()
    (tmp_path / "package").mkdir()
    (tmp_path / "package" / "__init__.py").touch()
    (tmp_path / "folder").mkdir()
    assert sorted(tool_files([tmp_path])) == ["one", "package"]


def test_an_earlier_folder_shadows_a_later_one(tmp_path, name):
    for folder, value in (("home", 1), ("shared", 2)):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / f"{name}.py").write_text(f"value = {value}")
    load_tools([tmp_path / "home", tmp_path / "shared"])
    assert sys.modules[name].value == 1


def test_tools_import_what_lies_in_the_library(tmp_path, name):
    library = tmp_path / "lib"
    tools = tmp_path / "tools"
    library.mkdir()
    tools.mkdir()
    (library / f"{name}_lib.py").write_text("value = 7")
    (tools / f"{name}.py").write_text(f"from {name}_lib import value")
    load_tools([tools], library=library)
    assert sys.modules[name].value == 7


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x = 1\ndef broken(:\n", r"\.py:2: SyntaxError: "),
        (
            "x = 1\n\nraise ValueError('no')",
            r"\.py:3: cannot be imported: ValueError: no",
        ),
        ("import nowhere_at_all", r"\.py:1: cannot be imported: ModuleNotFoundError"),
        ("raise SystemExit(1)", r"\.py:1: cannot be imported: SystemExit: 1"),
        (
            "import json\n\njson.loads('{')",
            r"\.py:3: cannot be imported: JSONDecodeError",
        ),
    ],
)
def test_what_cannot_be_imported_is_named_with_its_line(tmp_path, name, text, message):
    (tmp_path / f"{name}.py").write_text(text)
    with pytest.raises(StartError, match=name + message):
        load_tools([tmp_path])


@pytest.mark.parametrize("taken", ["json", "sys", "click"])
def test_a_file_that_hides_a_module_is_refused(tmp_path, monkeypatch, taken):
    monkeypatch.setattr(sys, "path", list(sys.path))
    (tmp_path / f"{taken}.py").touch()
    with pytest.raises(StartError, match=f"hides the module '{taken}'"):
        load_tools([tmp_path])


def test_a_name_that_is_no_python_name_is_refused(tmp_path):
    (tmp_path / "my-tool.py").touch()
    with pytest.raises(StartError, match="Python name"):
        tool_files([tmp_path])


def test_a_folder_that_is_not_there_is_named(tmp_path):
    with pytest.raises(StartError, match="nowhere: folder of tools cannot be read"):
        tool_files([tmp_path / "nowhere"])


@pytest.mark.parametrize("taken", ["this", "xxlimited"])
def test_a_file_that_hides_a_module_which_nobody_uses_is_refused(tmp_path, taken):
    (tmp_path / f"{taken}.py").touch()
    assert taken not in sys.modules
    with pytest.raises(StartError, match=f"hides the module '{taken}'"):
        load_tools([tmp_path])


def test_what_a_tool_says_of_its_own_start_is_told_as_it_is(tmp_path, name):
    text = "from toolserver.errors import StartError\nraise StartError('no license')"
    (tmp_path / f"{name}.py").write_text(text)
    with pytest.raises(StartError, match=r"\Ano license\Z"):
        load_tools([tmp_path])


def test_installed_packages_offer_tools(tmp_path, name, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / f"{name}.py").write_text("value = 2")
    facts = tmp_path / f"{name}-1.0.dist-info"
    facts.mkdir()
    (facts / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\n")
    (facts / "entry_points.txt").write_text(f"[{ENTRY_POINTS}]\nmine = {name}\n")
    load_modules([])
    assert name not in sys.modules
    load_modules([], entry_points=True)
    assert sys.modules[name].value == 2


def test_modules_are_imported_by_name(tmp_path, name, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / f"{name}.py").write_text("value = 1")
    load_modules([name])
    assert sys.modules[name].value == 1
    with pytest.raises(StartError, match="No module named"):
        load_modules(["nowhere_at_all.tools"])
