"""Modules of remote tools: they run, they are typed, and they hold nothing else."""

from __future__ import annotations

import ast
import datetime as dt
import importlib.util
import json
import math
import os
import shutil
import subprocess
import sys
import typing
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.client.protocols import OPEN
from tests.sample import Color, Faults, Line, Types
from toolserver import CRAMSettings, OnlyRPCCRAMTool, StandardTool, read_only, register
from toolserver.client.stubs import class_name, module_name, write_stub
from toolserver.client.stubtypes import Names
from toolserver.testing import serve

T = typing.TypeVar("T")
ROOT = Path(__file__).parents[2]


@dataclass
class Page(typing.Generic[T]):
    items: list[T]
    next: Page[T] | None = None


class Tagged(msgspec.Struct, tag=True):
    x: int


@dataclass
class Odd:
    list: list[int]
    Any: int = 0
    when: dt.datetime = dt.datetime(2026, 1, 1)
    tags: set[str] = field(default_factory=set)
    color: Color = Color.RED
    """A default that is no literal."""


@register("sample.odd")
class OddTool(StandardTool):
    """Has names that are in the way of others."""

    def list(self, value: Page[int]) -> Page[int]:
        """Say "no\\thing"."""
        return value

    def str(self, dict: Mapping[str, Sequence[int]] = {}) -> Iterator[str]:
        return iter(dict)

    def Protocol(self, odd: Odd) -> Odd:
        return odd

    def tagged(
        self, value: Tagged | None = None, *, how: str = "a\nb"
    ) -> Tagged | None:
        return value

    @read_only
    def bare(self, a: list, b: dict, c: tuple, *d: float, **e: Line) -> typing.Any:
        return [a, b, c, d, e]


@register("sample.locked")
class Locked(OnlyRPCCRAMTool):
    settings = CRAMSettings(secret="s")

    def add(self, a: int, b: int = 1) -> int:
        return a + b


@pytest.fixture(scope="module")
def server():
    with serve(Types, Faults, OddTool, Locked) as running:
        yield running


@pytest.fixture(scope="module")
def folder(server, tmp_path_factory):
    """A folder with the modules of all tools, the server's own among them."""
    path = tmp_path_factory.mktemp("stubs")
    remote = server.remote()
    for namespace in remote.tools():
        text = write_stub(
            namespace,
            remote.describe(namespace),
            remote.call("system.types", namespace),
        )
        (path / f"{module_name(namespace)}.py").write_text(text)
    return path


def load(folder, name):
    spec = importlib.util.spec_from_file_location(name, folder / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    # Dataclasses look their module up.
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("protocol", OPEN)
def test_results_have_the_types_of_the_module(server, folder, protocol):
    made = load(folder, "sample_types")
    tool = server.remote(protocol).get_tool("sample.types", made.SampleTypes)
    order = made.Order(id=7, lines=[made.Line(item="book")])
    assert tool.record(order) == order
    assert tool.enum(made.Color.BLUE) is made.Color.BLUE
    assert tool.named_tuple(made.Point(1, y=2)) == made.Point(1, 2)
    assert tool.struct(made.Compact(key="k")) == made.Compact(key="k")
    assert tool.typed_dict({"title": "Metropolis"}) == {"title": "Metropolis"}
    assert tool.bytes_(b"\0") == b"\0"
    assert tool.decimal(Decimal("1.5")) == Decimal("1.5")
    assert tool.datetime(dt.datetime(2026, 1, 2)) == dt.datetime(2026, 1, 2)
    assert tool.timedelta(dt.timedelta(1)) == dt.timedelta(1)
    assert tool.set_({1}) == {1}
    assert isinstance(tool.uuid(uuid.uuid4()), uuid.UUID)
    assert tool.none() is None


def test_names_that_are_in_the_way(server, folder):
    made = load(folder, "sample_odd")
    tool = server.remote().get_tool("sample.odd", made.SampleOdd)
    page = made.Page_int(items=[1], next=made.Page_int(items=[2]))
    assert tool.list(page) == page
    assert tool.str({"a": [1]}) == ["a"]
    odd = made.Odd(list=[1], when=dt.datetime(2026, 1, 2), color=made.Color.BLUE)
    assert tool.Protocol(odd) == odd
    assert tool.tagged(how="x") is None
    assert tool.bare([1], {}, [2], 1.5) == [[1], {}, [2], [1.5], {}]


def test_tokens_are_made_by_the_client(server, folder):
    made = load(folder, "sample_locked")
    tool = server.remote().get_tool("sample.locked", made.SampleLocked, secret="s")
    assert tool.add(2, b=3) == 5


USE = """
from datetime import date, timedelta
from sample_odd import SampleOdd
from sample_types import Color, Line, Order, Point, SampleTypes

def use(types: SampleTypes, odd: SampleOdd) -> list[Line]:
    order: Order = types.record(Order(id=7, lines=[Line(item="book", count=2)]))
    color: Color = types.enum(Color.RED)
    point: Point = types.named_tuple(Point(1, 2))
    day: date = types.date(date(2026, 1, 1))
    title: str = types.typed_dict({"title": "Metropolis"})["title"]
    number: int | None = types.optional()
    number = types.optional(value=3)
    many: list[object] = types.many(1, 2, 3, factor=2, a="b")
    names = [name.upper() for name in odd.str({"a": [1]})]
    number = types.int_.enqueue(5, 7).result()
    order = types.record.start(value=order).result(timeout=5)
    many = types.many.schedule(timedelta(seconds=5), 1, factor=2, a="b").result()
    print(color, point.x, day, title, number, many, names)
    return order.lines
"""
#: Each line is wrong.
WRONG = """
from sample_types import Line, SampleTypes

def use(types: SampleTypes) -> None:
    types.int_("x")
    types.no_such()
    types.record(7)
    types.str_(1).upper()
    types.literal("b")
    types.many("x")
    types.int_.enqueue("x", 7)
    types.int_.enqueue(5, "x")
    types.str_.start("x").result().no_such()
    types.str_.schedule("x", "x")
    Line()
    print(types.str_("x") + 1)
"""


def wrong_lines():
    return [n for n, line in enumerate(WRONG.splitlines(), 1) if line[:5] == "    t"]


def check(folder, command):
    """Run a type checker on a right program and a wrong one; the lines it dislikes."""
    (folder / "right.py").write_text(USE)
    (folder / "wrong.py").write_text(WRONG)
    done = subprocess.run(
        [*command, "."],
        cwd=folder,
        env={**os.environ, "MYPYPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=55,
    )
    told = [line for line in done.stdout.splitlines() if "error" in line]
    strange = [line for line in told if "wrong.py:" not in line and ".py:" in line]
    assert not strange, done.stdout + done.stderr
    return {
        int(line.split("wrong.py:")[1].split(":")[0]) for line in told if ".py:" in line
    }


def test_mypy_accepts_the_modules_and_checks_calls(folder):
    command = [sys.executable, "-m", "mypy", "--strict", "--no-error-summary"]
    # As of any installed package, errors of ours are not told.
    command += ["--follow-imports", "silent"]
    found = check(folder, [*command, "--cache-dir", str(folder / ".cache")])
    assert set(wrong_lines()) <= found


def test_pyright_accepts_the_modules_and_checks_calls(folder):
    program = shutil.which("pyright") or shutil.which(
        "pyright", path=os.path.dirname(sys.executable)
    )
    if program is None:
        if os.environ.get("CI"):
            pytest.fail("pyright is not installed")
        pytest.skip("pyright is not installed")
    config = {"typeCheckingMode": "strict", "extraPaths": [str(ROOT)]}
    (folder / "pyrightconfig.json").write_text(json.dumps(config))
    assert set(wrong_lines()) <= check(folder, [program, "--pythonversion", "3.11"])


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.text()
    | st.sampled_from(
        ["int", "list[Order]", 'a"""', "x\nimport os", "Order", "1 if 1 else 2", "a.b"]
    ),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=5,
)
NAMES = st.sampled_from(
    ["a", "Order", "class", "a b", "x: int = print()", "mro", "int", "_x", 'q"""', ""]
) | st.text(max_size=5)
TYPES = JSON | st.sampled_from(
    ["Order | None", "dict[str, Order]", "'a' | -1", "__import__('os')"]
)
PARAMETERS = st.fixed_dictionaries(
    {"name": NAMES, "type": TYPES, "required": st.booleans()},
    optional={"default": JSON, "kind": st.sampled_from(["positional", "keyword"])},
)
METHODS = st.fixed_dictionaries(
    {"name": NAMES, "parameters": st.lists(PARAMETERS, max_size=3), "returns": TYPES},
    optional={"summary": JSON, "rest": PARAMETERS, "extra": PARAMETERS},
)
DEFINITIONS = st.dictionaries(
    NAMES,
    st.fixed_dictionaries(
        {
            "kind": st.sampled_from(["record", "dict", "enum", "tuple", "any", "x"]),
            "members": st.lists(
                st.fixed_dictionaries(
                    {
                        "name": NAMES,
                        "type": TYPES,
                        "required": st.booleans(),
                        "value": JSON,
                    },
                    optional={"default": JSON},
                ),
                max_size=3,
            ),
        }
    ),
    max_size=3,
)
#: All that may happen when such a module is imported.
MODULES = sys.stdlib_module_names | {"collections.abc", "toolserver.client"}
HARMLESS = (
    *(ast.Module, ast.ImportFrom, ast.alias, ast.ClassDef, ast.FunctionDef, ast.arg),
    *(ast.arguments, ast.AnnAssign, ast.Assign, ast.Expr, ast.Constant, ast.Name),
    *(ast.Load, ast.Store, ast.Subscript, ast.Tuple, ast.BinOp, ast.BitOr, ast.keyword),
    *(ast.UnaryOp, ast.USub, ast.Pass, ast.Lambda, ast.List, ast.Dict),
)


@example(
    "a",
    [],
    {"¼": {"kind": "record", "members": []}, "a²": {"kind": "any", "members": []}},
)
@given(
    st.text(max_size=10) | st.just("shop.orders"),
    st.lists(METHODS, max_size=3) | JSON,
    DEFINITIONS | JSON,
)
def test_nothing_but_names_and_literals_gets_into_a_module(namespace, methods, types):
    try:
        text = write_stub(namespace, methods, types)
    except ValueError:
        return
    assert module_name(namespace).isidentifier()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Call):
            assert node.func.id.rstrip("_") in ("dataclass", "field", "set")
        else:
            assert isinstance(node, HARMLESS), ast.dump(node)
            if isinstance(node, ast.ImportFrom):
                assert node.module in MODULES


@pytest.mark.parametrize(
    ("told", "written"),
    [
        ("-1", "Literal[-1]"),
        ("'a' | -1 | None", "Literal['a'] | Literal[-1] | None"),
        ("tuple[int, ...]", "tuple[int, ...]"),
        ("Iterator[Decimal]", "list[Decimal]"),
        ("dict", "dict[str, Any]"),
        ("Page[int]", "Page_int"),
        # What means nothing to a client is anything.
        ("Page[str]", "Any"),
        ("print[int]", "Any"),
        ("print", "Any"),
        ("1 if 1 else 2", "Any"),
        ("", "Any"),
    ],
)
def test_types_as_a_module_has_them(told, written):
    assert Names([], ["Page[int]"]).hint(told) == written


def test_members_that_have_no_literal_default():
    members = [
        {"name": "count", "type": "int", "required": False, "default": 3},
        {"name": "tags", "type": "set[str]", "required": False},
        {"name": "when", "type": "datetime", "required": False, "default": "2026"},
        {"name": "share", "type": "float", "required": False, "default": math.inf},
    ]
    types = {
        "Line": {"kind": "record", "members": members},
        "Nothing": {"kind": "enum", "members": []},
        "Bare": {"kind": "dict", "members": []},
    }
    text = write_stub("shop", [], types)
    assert "    count: int = 3\n" in text
    assert "    tags: set[str] = field(default_factory=lambda: set())\n" in text
    assert "    when: datetime\n" in text
    assert "    share: float\n" in text
    assert "class Nothing(Enum):\n    pass\n" in text
    assert "class Bare(TypedDict):\n    pass\n" in text


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ([("a", False), ("b", True)], "a required one after one with a default"),
        ([("a b", True)], "got 'a b', expected a name"),
        ([("class", True)], "got 'class', expected a name"),
    ],
)
def test_parameters_that_no_method_can_have(parameters, message):
    told = [{"name": name, "type": "int", "required": r} for name, r in parameters]
    method = {"name": "place", "parameters": told, "returns": "int"}
    with pytest.raises(ValueError, match=message):
        write_stub("shop", [method], {})


@pytest.mark.parametrize(
    ("namespace", "module", "cls"),
    [
        ("shop.orders", "shop_orders", "ShopOrders"),
        ("", "root", "Root"),
        ("class", "tool_class", "Class"),
        ("blog.1-a", "blog_1_a", "Blog1A"),
        ("1", "tool_1", "Tool1"),
    ],
)
def test_names_of_modules(namespace, module, cls):
    assert (module_name(namespace), class_name(namespace)) == (module, cls)
