"""Every protocol against the same tools, with equal results."""

import datetime as dt
import decimal
import math
import uuid

import pytest

from tests.client.protocols import OPEN
from tests.sample import Color, Compact, Faults, Line, Order, OutOfStock, Point, Types
from toolserver import (
    CRAMSettings,
    CRAMTool,
    FactoryTool,
    OnlyRPCCRAMTool,
    StandardTool,
    TransientTool,
    errors,
    expose,
    register,
)
from toolserver.client import RemoteFault, RemoteToolserver
from toolserver.testing import serve

Decimal = decimal.Decimal
ZONED = dt.datetime(2026, 11, 23, 4, 5, 6, 789, dt.timezone(dt.timedelta(hours=1)))
NAIVE = dt.datetime(1998, 7, 17, 14, 8, 55)
ID = uuid.UUID("12345678-1234-5678-1234-567812345678")


@register("sample.named")
class Named(StandardTool):
    """Has keyword arguments of all kinds."""

    def place(self, item: str, count: int = 1, note: str | None = None) -> str:
        return f"{item} {count} {note}"

    def only(self, item: str, *, count: int = 1) -> str:
        return f"{item} {count}"


@pytest.fixture(scope="module")
def server():
    with serve(Types, Faults, Named) as running:
        yield running


@pytest.fixture(scope="module", params=OPEN)
def protocol(request):
    return request.param


@pytest.fixture(scope="module")
def remote(server, protocol):
    with RemoteToolserver(server.url(), protocol, proxies={}) as client:
        yield client


EQUAL = [
    ("bool_", True, True),
    ("int_", 7, 7),
    ("int_", -(2**63), -(2**63)),
    ("float_", 1.5, 1.5),
    ("float_", 1e-300, 1e-300),
    ("str_", "", ""),
    ("str_", " a\n<&>\r\tß\U0001f600 ", " a\n<&>\r\tß\U0001f600 "),
    ("str_", "12", "12"),
    ("timedelta", dt.timedelta(seconds=90), "PT90S"),
    ("uuid", ID, str(ID)),
    ("enum", Color.RED, "red"),
    ("literal", "a", "a"),
    ("literal", 1, 1),
    ("list_", [], []),
    ("list_", (1, 2), [1, 2]),
    ("tuple_", (1, "a"), [1, "a"]),
    ("set_", {4}, [4]),
    ("dict_", {}, {}),
    ("dict_", {"a b": 1, "item": 2}, {"a b": 1, "item": 2}),
    ("optional", 3, 3),
    ("optional", None, None),
    ("union", 1, 1),
    ("union", "1", "1"),
    ("typed_dict", {"title": "Metropolis", "year": 1927}, None),
    ("named_tuple", Point(1, 2), [1, 2]),
    ("struct", Compact("k"), {"key": "k"}),
    ("untyped", [1, [True, {"a": ["b"]}], ""], None),
]


@pytest.mark.parametrize(("method", "sent", "expected"), EQUAL)
def test_equal_results(remote, method, sent, expected):
    result = getattr(remote.get_tool("sample.types"), method)(sent)
    expected = sent if expected is None and sent is not None else expected
    assert result == expected
    assert type(result) is type(expected)
    by_name = getattr(remote.get_tool("sample.types"), method)(value=sent)
    assert by_name == expected


#: What a protocol has a type for comes back as that, else as text.
DIFFERENT = [
    ("decimal", Decimal("1.50"), {"SOAP": Decimal("1.50")}, "1.50"),
    ("bytes_", b"\0\xff", dict.fromkeys(("RPC2", "SOAP", "REST"), b"\0\xff"), "AP8="),
    ("datetime", NAIVE, dict.fromkeys(("RPC2", "SOAP"), NAIVE), NAIVE.isoformat()),
    ("datetime", ZONED, dict.fromkeys(("RPC2", "SOAP"), ZONED), ZONED.isoformat()),
    ("date", NAIVE.date(), {"SOAP": NAIVE.date()}, "1998-07-17"),
    ("time", NAIVE.time(), {"SOAP": NAIVE.time()}, "14:08:55"),
]


@pytest.mark.parametrize(("method", "sent", "own", "text"), DIFFERENT)
def test_results_in_a_form_of_the_protocols_own(
    remote, protocol, method, sent, own, text
):
    result = getattr(remote.get_tool("sample.types"), method)(sent)
    assert result == own.get(protocol, text)


def test_results_converted_to_the_hints_of_a_class(remote):
    tool = remote.get_tool("sample.types", Types)
    order = Order(7, [Line("book"), Line("pen", 2)])
    for method, value in {
        "decimal": Decimal("1.50"),
        "bytes_": b"\0\xff",
        "datetime": ZONED,
        "date": NAIVE.date(),
        "time": NAIVE.time(),
        "timedelta": dt.timedelta(days=3, seconds=1),
        "uuid": ID,
        "enum": Color.BLUE,
        "tuple_": (1, "a"),
        "set_": {1, 2},
        "record": order,
        "named_tuple": Point(1, 2),
        "struct": Compact("k"),
        "none": None,
    }.items():
        given = () if method == "none" else (value,)
        result = getattr(tool, method)(*given)
        assert result == value
        assert type(result) is type(value)


@register("sample.renamed")
class Renamed(StandardTool):
    @expose("the-time")
    def when(self) -> dt.date:
        return NAIVE.date()


def test_methods_that_have_another_name_for_callers():
    with serve(Renamed) as server:
        tool = server.remote().get_tool("sample.renamed", Renamed)
        assert tool.when() == NAIVE.date()
        plain = server.remote().get_tool("sample.renamed")
        assert getattr(plain, "the-time")() == "1998-07-17"
        with pytest.raises(errors.MethodNotFound):
            plain.when()


class Else:
    """A class that the tool does not fit."""

    none = 5

    def str_(self, value: str) -> int: ...


def test_results_that_do_not_fit_the_class(remote):
    tool = remote.get_tool("sample.types", Else)
    with pytest.raises(TypeError, match="result of str_: expected int, got str 'a'"):
        tool.str_("a")
    # Of what the class has no hint, results are as they come.
    assert tool.none() is None
    assert tool.int_(3) == 3


def test_a_remote_server_tells_its_address(server):
    with RemoteToolserver("http://localhost:1/") as client:
        assert repr(client) == "<RemoteToolserver http://localhost:1/>"


def test_records(remote, protocol):
    result = remote.call("sample.types.record", Order(7, [Line("book")]))
    expected = {"id": 7, "lines": [{"item": "book", "count": 1}], "note": None}
    if protocol == "RPC2":
        # None among members is left out, as some clients fail on it.
        del expected["note"]
    assert result == expected


def test_numbers_that_json_and_xmlrpc_lack(remote, protocol):
    types = remote.get_tool("sample.types")
    if protocol == "SOAP":
        assert math.isnan(types.float_(math.nan))
        assert types.float_(-math.inf) == -math.inf
    else:
        with pytest.raises(errors.InvalidParams, match="argument cannot be sent"):
            types.float_(math.nan)


def test_arguments_by_name(remote, protocol):
    named = remote.get_tool("sample.named")
    assert named.place("book") == "book 1 None"
    assert named.place("book", count=2) == "book 2 None"
    assert named.place("book", note="soon") == "book 1 soon"
    assert named.place(note="soon", item="pen", count=3) == "pen 3 soon"
    with pytest.raises(errors.InvalidParams, match="given twice"):
        named.place("book", item="pen")
    with pytest.raises(errors.InvalidParams, match="cuont"):
        named.place("book", cuont=2)
    with pytest.raises(errors.InvalidParams, match="item: missing"):
        named.place(count=2)
    if protocol == "RPC2":
        with pytest.raises(errors.InvalidParams, match="count: given by name"):
            named.only("book", count=2)
    else:
        assert named.only("book", count=2) == "book 2"


def test_any_number_of_arguments(remote, protocol):
    many = remote.get_tool("sample.types").many
    if protocol == "MCP":
        assert many(1, factor=3, a="b") == [1, [], 3, {"a": "b"}]
        with pytest.raises(errors.InvalidParams, match="got 3 positional arguments"):
            many(1, 2, 3)
        return
    assert many(1, 2, 3) == [1, [2, 3], 1, {}]
    if protocol == "SOAP":
        assert many(1, 2, factor=3, a="b") == [1, [2], 3, {"a": "b"}]
    elif protocol == "RPC2":
        with pytest.raises(errors.InvalidParams, match="factor: given by name"):
            many(1, factor=3)
    else:
        assert many(1, factor=3, a="b") == [1, [], 3, {"a": "b"}]
        with pytest.raises(errors.InvalidParams, match="factor: given by name"):
            many(1, 2, factor=3)


@pytest.mark.parametrize(
    ("method", "args", "error", "message"),
    [
        ("missing", (), errors.NotFound, "no such thing"),
        ("conflict", (), errors.Conflict, "not now"),
        ("raises", (), RemoteFault, "ValueError: broken"),
        ("secret", (), errors.MethodNotFound, "no method"),
        ("fine", (1,), errors.InvalidParams, "positional arguments"),
        ("waits", ("x",), errors.InvalidParams, "seconds: expected float"),
        ("unsendable", (), errors.ApplicationError, "cannot be sent"),
    ],
)
def test_failures_are_errors_of_their_class(
    remote, protocol, method, args, error, message
):
    if protocol == "REST" and method == "secret":
        # Over REST it is an address that leads nowhere.
        error, message = errors.NotFound, "secret"
    if protocol == "MCP" and method == "secret":
        message = "unknown tool: 'sample.faults.secret'"
    with pytest.raises(errors.ToolserverError, match=message) as caught:
        getattr(remote.get_tool("sample.faults"), method)(*args)
    # XML-RPC has numbers alone, and all exceptions of tools share one.
    if not (protocol == "RPC2" and method == "unsendable"):
        assert type(caught.value) is error


def test_exceptions_of_a_tool_tell_their_class(remote):
    with pytest.raises(errors.ToolFault) as caught:
        remote.call("sample.faults.raises")
    assert isinstance(caught.value, RemoteFault)
    assert (caught.value.kind, caught.value.code) == ("ValueError", -32500)
    assert caught.value.message == "ValueError: broken"


def test_errors_of_a_class_that_both_sides_know(remote, protocol):
    with pytest.raises(OutOfStock, match="sold out") as caught:
        remote.call("sample.faults.own")
    if protocol in ("JSONRPC", "REST", "MCP"):
        assert caught.value.data == {"left": 0}


def test_unknown_tools(remote, protocol):
    error = errors.NotFound if protocol == "REST" else errors.MethodNotFound
    with pytest.raises(error):
        remote.call("no.such")


def test_tools_and_methods_are_listed(remote):
    assert {"sample.types", "sample.faults", "system"} <= set(remote.tools())
    tool = remote.get_tool("sample.faults")
    assert {"fine", "raises", "list_methods"} <= set(dir(tool))
    assert "secret" not in dir(tool)
    assert {"types", "faults"} <= set(dir(remote.get_tool("sample")))
    assert remote.get_tool("sample").faults.fine() == "fine"
    assert repr(tool) == "<RemoteTool sample.faults>"
    with pytest.raises(AttributeError):
        tool._private  # noqa: B018
    with pytest.raises(TypeError):
        iter(tool)


def test_the_test_server_gives_clients(server):
    with server.remote("SOAP") as client:
        assert client.call("sample.types.str_", "a") == "a"
    assert server.remote().call("sample.types.int_", 1) == 1


@register("sample.guarded")
class Guarded(OnlyRPCCRAMTool):
    settings = CRAMSettings(secret="s3cret")

    def add(self, a: int, b: int = 0) -> int:
        return a + b


@register("sample.half")
class Half(CRAMTool):
    """Asks for a token where it wants one."""

    settings = CRAMSettings(secret="s3cret")

    def look(self) -> str:
        return "closed"

    def open(self, token: list[str], door: int) -> str:
        self.check_token(token)
        return f"open {door}"


@pytest.mark.parametrize("protocol", ["JSONRPC", "RPC2", "SOAP", "MCP"])
def test_challenges_are_answered_with_the_secret(protocol):
    with serve(Guarded, Half) as server:
        remote = server.remote(protocol)
        guarded = remote.get_tool("sample.guarded", secret="s3cret")
        assert guarded.add(1, 2) == 3
        assert guarded.add(a=1, b=2) == 3
        assert guarded.add(1, b=2) == 3
        assert guarded.get_challenges(2)
        half = remote.get_tool("sample.half", secret="s3cret")
        assert half.look() == "closed"
        assert half.open(3) == half.open(door=3) == "open 3"
        with pytest.raises(errors.Unauthenticated, match="token: wrong"):
            remote.get_tool("sample.guarded", secret="wrong").add(1)
        with pytest.raises(errors.Unauthenticated):
            remote.get_tool("sample.guarded").add(1)


class Page(TransientTool):
    def rename(self, title: str, draft: bool = False) -> str:
        return f"{self.key}: {title}{' (draft)' if draft else ''}"


@register("sample.pages")
class Pages(FactoryTool):
    children = (Page,)

    def child_exists(self, key: str) -> bool:
        return key.startswith("p")


@pytest.mark.parametrize("protocol", OPEN)
def test_tools_that_factories_make(protocol, monkeypatch):
    monkeypatch.setattr("toolserver.client.known._MOST", 3)
    with serve(Pages) as server:
        remote = server.remote(protocol)
        pages = remote.get_tool("sample.pages")
        for number in range(6):
            page = pages[f"p{number}"]
            assert page.rename("x", draft=True) == f"p{number}: x (draft)"
        assert remote.get_tool("sample.pages.p1").rename("y") == "p1: y"
        assert pages.p7.rename("z") == "p7: z"
        assert "rename" in dir(pages["p1"])
        with pytest.raises(errors.ToolserverError):
            pages["q"].rename("x")
        with pytest.raises(TypeError, match="key: got 1"):
            pages[1]
