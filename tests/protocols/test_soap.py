"""The codec of SOAP in the literal style, without a server."""

import base64
import dataclasses
import datetime as dt
import enum
import gc
import math
import time
import typing
import uuid
from decimal import Decimal

import hypothesis.strategies as st
import pytest
from hypothesis import assume, given
from lxml import etree

from toolserver import StandardTool, errors
from toolserver.calls import Call, Outcome
from toolserver.describe.names import from_xml_name, target_namespace, xml_name
from toolserver.describe.wsdl import write_wsdl
from toolserver.errors import (
    ApplicationError,
    Conflict,
    InternalError,
    InvalidParams,
    InvalidRequest,
    MethodNotFound,
    NotOffered,
    ParseError,
    ToolFault,
    ToolserverError,
)
from toolserver.message import Headers, Request
from toolserver.protocols.base import RPCProtocol
from toolserver.protocols.soap import SOAP
from toolserver.protocols.soap_envelope import MustUnderstand, VersionMismatch
from toolserver.registry import Registry
from toolserver.settings import Limits

ENVELOPES = {
    "1.1": "http://schemas.xmlsoap.org/soap/envelope/",
    "1.2": "http://www.w3.org/2003/05/soap-envelope",
}
CONTENT_TYPES = {
    "1.1": "text/xml; charset=utf-8",
    "1.2": "application/soap+xml; charset=utf-8",
}
XSI = "http://www.w3.org/2001/XMLSchema-instance"
XSD = "http://www.w3.org/2001/XMLSchema"
TNS = "urn:toolserver:shop.echo"
VERSIONS = pytest.mark.parametrize("version", ["1.1", "1.2"])


class Color(enum.Enum):
    RED = "red"
    BLUE = "blue sky"


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2


@dataclasses.dataclass
class Leaf:
    name: str
    size: int = 1
    area: float = dataclasses.field(init=False, default=2.5)


@dataclasses.dataclass
class Tree:
    key: str
    below: "list[Tree]" = dataclasses.field(default_factory=list)
    parent: "Tree | None" = None


@dataclasses.dataclass
class Line:
    item: str


class Point(typing.NamedTuple):
    x: int
    y: int | None
    label: str = "p"


@dataclasses.dataclass
class Left:
    a: "Left | Right | None" = None


@dataclasses.dataclass
class Right:
    a: "Left | Right | None"
    b: int


class Odd(typing.TypedDict("Odd", {"first name": str, "1st": int})):
    pass


class Echo(StandardTool):
    """Gives back what it gets."""

    def bool_(self, value: bool) -> bool: ...
    def int_(self, value: int) -> int: ...
    def float_(self, value: float) -> float: ...
    def decimal(self, value: Decimal) -> Decimal: ...
    def str_(self, value: str) -> str: ...
    def bytes_(self, value: bytes) -> bytes: ...
    def datetime(self, value: dt.datetime) -> dt.datetime: ...
    def date(self, value: dt.date) -> dt.date: ...
    def time(self, value: dt.time) -> dt.time: ...
    def timedelta(self, value: dt.timedelta) -> dt.timedelta: ...
    def uuid(self, value: uuid.UUID) -> uuid.UUID: ...
    def enum(self, value: Color) -> Color: ...
    def level(self, value: Level) -> Level: ...
    def literal(
        self, value: typing.Literal["a", 1, None]
    ) -> typing.Literal["a", 1, None]: ...
    def list_(self, value: list[int]) -> list[int]: ...
    def nested(self, value: list[list[str | None]]) -> list[list[str | None]]: ...
    def many(self, value: tuple[int, ...]) -> tuple[int, ...]: ...
    def pair(self, value: tuple[int, str]) -> tuple[int, str]: ...
    def point(self, value: Point) -> Point: ...
    def dict_(self, value: dict[str, int]) -> dict[str, int]: ...
    def numbers(self, value: dict[int, list[Leaf]]) -> dict[int, list[Leaf]]: ...
    def leaf(self, value: Leaf) -> Leaf: ...
    def tree(self, value: Tree) -> Tree: ...
    def lines(self, value: list[Line]) -> list[Line]: ...
    def odd(self, value: Odd) -> Odd: ...
    def optional(self, value: int | None) -> int | None: ...
    def union(self, value: int | str | Leaf | Point) -> int | str | Leaf | Point: ...
    def twins(self, value: Left | Right) -> Left | Right: ...
    def choice(
        self, value: dict[str, int] | list[int] | Leaf | tuple[str, int]
    ) -> dict[str, int] | list[int] | Leaf | tuple[str, int]: ...
    def untyped(self, value): ...
    def none(self) -> None: ...
    def defaults(
        self, first: int, second: int = 2, *rest: int, third: int = 3
    ) -> None: ...
    def extra(self, first: int | None, **extra: int) -> None: ...
    def several(self, a: int, b: int = 2, c: int = 3, d: int = 4) -> None: ...


REGISTRY = Registry()
ENTRY = REGISTRY.add(Echo(), "shop.echo")
CODEC = SOAP(Limits(), REGISTRY.target)

TEXT = st.text(
    st.characters(exclude_categories=("Cs", "Cc"), exclude_characters="\ufffe\uffff")
    | st.sampled_from("\t\n\r&<>\"' ]")
)
LONGS = st.integers(-(2**63), 2**63 - 1)
ZONES = st.sampled_from([None, dt.UTC, dt.timezone(dt.timedelta(hours=-7))])
TIMES = st.datetimes(timezones=ZONES).map(lambda value: value.replace(fold=0))
CLOCKS = st.times().map(lambda value: value.replace(fold=0))
LEAVES = st.builds(Leaf, TEXT, LONGS)
TREES = st.recursive(
    st.builds(Tree, TEXT),
    lambda inner: st.builds(Tree, TEXT, st.lists(inner, max_size=3), st.none() | inner),
    max_leaves=6,
)
SCALARS = (
    st.booleans()
    | LONGS
    | st.floats(allow_nan=False)
    | TEXT
    | st.binary(max_size=60)
    | TIMES
    | st.dates()
    | CLOCKS
    | st.decimals(allow_nan=False, allow_infinity=False, places=3)
)
ANYTHING = st.recursive(
    st.none() | SCALARS,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4)
    ),
    max_leaves=12,
)
#: Values by the method that gives them back.
VALUES = {
    "bool_": st.booleans(),
    "int_": LONGS,
    "float_": st.floats(allow_nan=False),
    "decimal": st.decimals(allow_nan=False, allow_infinity=False, places=3),
    "str_": TEXT,
    "bytes_": st.binary(max_size=60),
    "datetime": TIMES,
    "date": st.dates(),
    "time": CLOCKS,
    "timedelta": st.timedeltas(),
    "uuid": st.uuids(),
    "enum": st.sampled_from(Color),
    "level": st.sampled_from(Level),
    "literal": st.sampled_from(["a", 1, None]),
    "list_": st.lists(LONGS),
    "nested": st.lists(st.lists(st.none() | TEXT)),
    "many": st.lists(LONGS).map(tuple),
    "pair": st.tuples(LONGS, TEXT),
    "point": st.builds(Point, LONGS, st.none() | LONGS, TEXT),
    "dict_": st.dictionaries(TEXT, LONGS),
    "numbers": st.dictionaries(LONGS, st.lists(LEAVES, max_size=3)),
    "leaf": LEAVES,
    "tree": TREES,
    "lines": st.lists(st.builds(Line, TEXT)),
    "odd": st.fixed_dictionaries({"first name": TEXT, "1st": LONGS}).map(
        lambda value: {name: value[name] for name in sorted(value, reverse=True)}
    ),
    "optional": st.none() | LONGS,
    "union": LONGS | TEXT | LEAVES | st.builds(Point, LONGS, st.none(), TEXT),
    "untyped": ANYTHING,
}


def envelope(body, version="1.1", header="", attributes=""):
    return (
        f'<?xml version="1.0"?><s:Envelope xmlns:s="{ENVELOPES[version]}" '
        f'xmlns:xsi="{XSI}" xmlns:xsd="{XSD}" {attributes}>{header}'
        f"<s:Body>{body}</s:Body></s:Envelope>"
    )


def operation(name, content="", namespace=TNS):
    return f'<{name} xmlns="{namespace}">{content}</{name}>'


def request_of(body, *, path="/SOAP", content_type="text/xml", action=None):
    headers = [("Content-Type", content_type)]
    if action is not None:
        headers.append(("SOAPAction", action))
    content = body.encode() if isinstance(body, str) else body
    return Request(method="POST", path=path, headers=Headers(headers), content=content)


def decode(body, codec=CODEC, **facts):
    """The call that a request makes, with the converted arguments."""
    (call,) = codec.decode(request_of(body, **facts))
    return call


def arguments(body, codec=CODEC, **facts):
    call = decode(body, codec, **facts)
    return REGISTRY.target(call.name).spec.convert(*call.read())


def read(method, content, version="1.1"):
    """The converted value that this content of a wrapper sends."""
    args, named = arguments(envelope(operation(method, content), version))
    assert not named
    (value,) = args
    return value


def answer(method, value, version="1.1"):
    """The answer to a request for a value that a method has returned."""
    request = request_of(envelope(operation(method, "<value/>"), version))
    (call,) = CODEC.decode(request)
    call.read()
    return CODEC.encode(request, [Outcome(call, value)])


def answer_error(error, version="1.1"):
    request = request_of(envelope(operation("str_"), version))
    (call,) = CODEC.decode(request)
    return CODEC.encode(request, [Outcome(call, error=error)])


def body_of(response):
    root = etree.fromstring(response.body)
    return root[-1]


def only_text(element, path):
    (found,) = element.xpath(path)
    return found.text


@pytest.fixture(scope="module")
def schema():
    """The schema of the tool, as it is published."""
    document = etree.fromstring(write_wsdl(ENTRY, "http://localhost/").encode())
    (found,) = document.iter(f"{{{XSD}}}schema")
    return etree.XMLSchema(found)


def same(one, other):
    """Equal, and of equal types, as 1, 1.0 and True are not."""
    return repr(one) == repr(other)


def test_it_is_a_protocol():
    assert isinstance(CODEC, RPCProtocol)


class TestBothWays:
    @pytest.mark.parametrize("method", VALUES)
    @given(st.data())
    def test_results_can_be_sent_back(self, method, schema, data):
        value = data.draw(VALUES[method])
        version = data.draw(st.sampled_from(["1.1", "1.2"]))
        response = answer(method, value, version)
        body = body_of(response)
        # What is sent is what was published.
        schema.assertValid(body[0])
        (result,) = body[0]
        result.tag = f"{{{TNS}}}value"
        sent = etree.tostring(result).decode()
        assert same(read(method, sent, version), value)

    @given(ANYTHING)
    def test_types_are_told_where_none_are_known_only(self, value):
        body = answer("untyped", value).body
        assert (b"xsi:type=" in body) == (value is not None and type(value) is not str)
        assert b"xsi:type=" not in answer("int_", 5).body
        assert b"xsi:type=" not in answer("tree", Tree("a", [Tree("b")])).body

    @given(st.text())
    def test_any_name_can_be_the_name_of_an_element(self, name):
        assume(name != "_x_")
        made = xml_name(name)
        assert from_xml_name(made) == name
        etree.Element(made)


class TestReading:
    @pytest.mark.parametrize(
        ("method", "sent", "expected"),
        [
            ("bool_", "true", True),
            ("bool_", " 1 ", True),
            ("bool_", "false", False),
            ("bool_", "0", False),
            ("int_", " +05\n", 5),
            ("int_", str(2**70), 2**70),
            ("float_", "INF", math.inf),
            ("float_", "-INF", -math.inf),
            ("float_", "-Infinity", -math.inf),
            ("float_", "1e3", 1000.0),
            ("float_", "5", 5.0),
            ("decimal", " 1.50", Decimal("1.50")),
            ("str_", "", ""),
            ("str_", " a  b ", " a  b "),
            ("str_", "a<!-- c -->b<![CDATA[<&>]]>&lt;", "ab<&><"),
            ("bytes_", " AP\r\n8= ", b"\x00\xff"),
            ("bytes_", "", b""),
            ("datetime", "2026-01-02T03:04:05", dt.datetime(2026, 1, 2, 3, 4, 5)),
            (
                "datetime",
                "2026-01-02T03:04:05.1234567Z",
                dt.datetime(2026, 1, 2, 3, 4, 5, 123456, dt.UTC),
            ),
            ("date", "2026-01-02", dt.date(2026, 1, 2)),
            ("date", "2026-01-02+02:00", dt.date(2026, 1, 2)),
            ("date", "2026-01-02Z", dt.date(2026, 1, 2)),
            ("time", "03:04:05", dt.time(3, 4, 5)),
            ("timedelta", "P1DT1M", dt.timedelta(days=1, minutes=1)),
            ("timedelta", "-PT1.5S", dt.timedelta(seconds=-1.5)),
            ("enum", "blue sky", Color.BLUE),
            ("level", "2", Level.HIGH),
            ("literal", "1", 1),
            ("list_", "", []),
            ("list_", "<item>1</item><item>2</item>", [1, 2]),
            ("list_", "<long>1</long>", [1]),
            ("dict_", "", {}),
            ("dict_", "<item><key>a</key><value>1</value></item>", {"a": 1}),
            ("dict_", "<a>1</a><b>2</b>", {"a": 1, "b": 2}),
            ("leaf", "<name>n</name><area>7</area><unknown/>", Leaf("n")),
            ("leaf", "<item><key>name</key><value>n</value></item>", Leaf("n")),
            ("pair", "<item1>1</item1><item2>a</item2>", (1, "a")),
            ("pair", "<item>1</item><item>a</item>", (1, "a")),
            ("point", "<x>1</x>", Point(1, None)),
            ("point", "<x>1</x><label>l</label>", Point(1, None, "l")),
            ("union", "5", 5),
            ("union", "<string>5</string>", "5"),
            ("union", "<name>n</name>", Leaf("n")),
            ("union", "<Leaf><name>n</name></Leaf>", Leaf("n")),
            ("choice", "<item>1</item>", [1]),
            ("choice", "<item><key>a</key><value>1</value></item>", {"a": 1}),
            ("choice", "<name>a</name>", Leaf("a")),
            ("choice", "<item1>a</item1><item2>1</item2>", ("a", 1)),
            ("choice", "<Leaf><name>a</name></Leaf>", Leaf("a")),
            ("untyped", "text", "text"),
            ("untyped", "<a>1</a><b><c/></b>", {"a": "1", "b": {"c": ""}}),
            ("untyped", "<item>1</item>", ["1"]),
            ("untyped", "<a>1</a><a>2</a><a>3</a>", {"a": ["1", "2", "3"]}),
        ],
    )
    @VERSIONS
    def test_each_type(self, method, sent, expected, version):
        got = read(method, f"<value>{sent}</value>", version)
        if method == "leaf" and isinstance(got, Leaf):
            assert got.area == 2.5
        assert same(got, expected)

    def test_not_a_number(self):
        assert math.isnan(read("float_", "<value>NaN</value>"))

    @pytest.mark.parametrize("method", ["optional", "literal", "untyped"])
    def test_nil(self, method):
        for nil in ("true", "1"):
            assert read(method, f'<value xsi:nil="{nil}"/>') is None

    @pytest.mark.parametrize(
        ("method", "sent", "message"),
        [
            ("bool_", "yes", "value: expected bool, got str 'yes'"),
            ("int_", "", "value: expected int, got str ''"),
            ("int_", "1.0", "value: expected int, got str '1.0'"),
            ("int_", "1_0", "value: expected int, got str '1_0'"),
            ("int_", "9" * 5000, "value: expected int, got str '999"),
            ("int_", "<a/>", "value: expected int, got dict of 1"),
            ("float_", "1e999", "value: expected float, got str '1e999'"),
            ("float_", "infinite", "value: expected float, got str 'infinite'"),
            ("decimal", "x", "value: "),
            ("str_", "<a>1</a>", "value: expected str, got dict of 1"),
            ("bytes_", "A", "value: "),
            ("datetime", "2026-13-02T03:04:05", "value: "),
            ("date", "2026-02-30", "value: "),
            ("time", "25:00:00", "value: "),
            ("timedelta", "P1Y", "value: "),
            ("uuid", "x", "value: "),
            ("enum", "green", "value: expected one of 'red', 'blue sky'"),
            ("list_", "text", "value: expected list[int], got str 'text'"),
            ("list_", "<item>1</item><item>x</item>", "value[1]: expected int"),
            ("dict_", "<item><key>a</key><value>x</value></item>", "value"),
            ("pair", "<item1>1</item1>", "value: "),
            ("leaf", "<size>1</size>", "name"),
            ("leaf", "<name>a</name><name>b</name>", "member 'name': given twice"),
            ("dict_", "<a>1</a><a>2</a>", "key 'a': given twice"),
        ],
    )
    def test_what_does_not_fit_is_told(self, method, sent, message):
        with pytest.raises(InvalidParams) as caught:
            read(method, f"<value>{sent}</value>")
        assert message in caught.value.message
        assert len(caught.value.message) < 300

    def test_parameters_may_be_left_out(self):
        def call(content, method="defaults"):
            return arguments(envelope(operation(method, content)))

        assert call("<first>1</first>") == ([1], {})
        assert call("<third>9</third><first>1</first>") == ([1], {"third": 9})
        assert call("<first>1</first><second>5</second><rest>6</rest><rest>7</rest>"
                    "<third>8</third>") == ([1, 5, 6, 7], {"third": 8})  # fmt: skip
        assert call("<a>1</a><c>5</c>", "several") == ([1], {"c": 5})
        assert call("", "extra") == ([], {"first": None})
        assert call("<first>1</first><x>5</x>", "extra") == ([1], {"x": 5})
        sent = "<extra><item><key>k v</key><value>5</value></item></extra>"
        assert call(sent, "extra") == ([], {"first": None, "k v": 5})
        item = "<item><key>{}</key><value>5</value></item>"
        for content in (
            "<x>1</x><x>2</x>",
            f"<x>1</x><extra>{item.format('x')}</extra>",
            f"<extra>{item.format('x') * 2}</extra>",
            f"<extra>{item.format('first')}</extra><first>1</first>",
        ):
            with pytest.raises(InvalidParams, match="given twice"):
                call(content, "extra")
        for content, message in (
            ("<rest>1</rest>", "first: missing"),
            ("<first>1</first><rest>1</rest>", "second: missing"),
            ("<first>1</first><first>1</first>", "first: given twice"),
            ("<frist>1</frist>", "did you mean 'first'"),
        ):
            with pytest.raises(InvalidParams, match=message):
                call(content)

    def test_namespaces_of_parameters_do_not_matter(self):
        for sent in (
            f'<t:int_ xmlns:t="{TNS}"><value>5</value></t:int_>',
            f'<t:int_ xmlns:t="{TNS}"><t:value>5</t:value></t:int_>',
            f'<t:int_ xmlns:t="{TNS}" xmlns="urn:other"><value>5</value></t:int_>',
        ):
            assert arguments(envelope(sent)) == ([5], {})

    def test_choices_that_are_not_simply_text_are_read_by_their_types(self):
        class Odd(StandardTool):
            def pick(self, value: typing.Literal[b"x"]) -> None: ...

        registry = Registry()
        registry.add(Odd(), "odd")
        codec = SOAP(Limits(), registry.target)

        def read(content):
            body = envelope(operation("pick", content, "urn:toolserver:odd"))
            (call,) = codec.decode(request_of(body))
            return registry.target(call.name).spec.convert(*call.read())

        assert read('<value xsi:type="xsd:base64Binary">eA==</value>') == ([b"x"], {})
        with pytest.raises(InvalidParams, match="value"):
            read('<value xsi:type="xsd:base64Binary">eQ==</value>')


class TestAddressing:
    @pytest.mark.parametrize(
        ("path", "name", "namespace"),
        [
            ("/SOAP", "int_", TNS),
            ("/SOAP/", "int_", TNS),
            ("/SOAP", "shop.echo.int_", ""),
            ("/SOAP", "shop.echo.int_", "urn:whatever"),
        ],
    )
    def test_full_names(self, path, name, namespace):
        body = envelope(operation(name, "<value>5</value>", namespace))
        assert decode(body, path=path).name == "shop.echo.int_"
        assert arguments(body, path=path) == ([5], {})

    @pytest.mark.parametrize("namespace", ["", TNS, "urn:other"])
    def test_bare_names_below_a_path(self, namespace):
        body = envelope(operation("int_", "<value>5</value>", namespace))
        call = decode(body, path="/SOAP/shop/echo")
        # The server puts the path before it, as it does for all protocols.
        assert call.name == "int_"
        assert call.read() == ([5], {})

    @pytest.mark.parametrize(
        "action", [None, "", '""', "nonsense", f'"{TNS}#other"', f"{TNS}#int_"]
    )
    def test_the_action_does_not_matter(self, action):
        body = envelope(operation("int_", "<value>5</value>"))
        assert decode(body, action=action).name == "shop.echo.int_"

    def test_the_action_may_name_the_tool(self):
        body = envelope(operation("int_", "<value>5</value>", "urn:mine"))
        assert decode(body, action=f'"{TNS}#int_"').name == "shop.echo.int_"
        body = envelope(operation("int_", "<value>5</value>", "urn:mine"), "1.2")
        content_type = f'application/soap+xml; action="{TNS}#int_"'
        assert decode(body, content_type=content_type).name == "shop.echo.int_"

    def test_names_of_odd_tools(self):
        for name in ("a~b.c d", "ü.<&>", ""):
            body = envelope(operation("m", "", target_namespace(name)))
            assert decode(body).name == (f"{name}.m" if name else "m")


class TestEnvelopes:
    @pytest.mark.parametrize(
        ("body", "error"),
        [
            ("", ParseError),
            ("<a>", ParseError),
            ("x", ParseError),
            (envelope("<x:a/>"), ParseError),
            (envelope("&a;"), ParseError),
            ("<Envelope/>", VersionMismatch),
            ('<e:Envelope xmlns:e="http://www.w3.org/2001/12/soap-envelope"/>',
             VersionMismatch),
            ("<html/>", InvalidRequest),
            ("<methodCall/>", InvalidRequest),
            (envelope("").replace("s:Body", "s:Content"), InvalidRequest),
            (envelope(""), InvalidRequest),
            (envelope(operation("a") + operation("b")), InvalidRequest),
        ],
    )  # fmt: skip
    def test_what_is_none_is_refused(self, body, error):
        with pytest.raises(error) as caught:
            decode(body)
        assert type(caught.value) is error

    @pytest.mark.parametrize(
        ("version", "attributes", "is_refused"),
        [
            ("1.1", 's:mustUnderstand="1"', True),
            ("1.1", 's:mustUnderstand="0"', False),
            ("1.1", "", False),
            ("1.1", 's:mustUnderstand="1" s:actor="http://other/"', False),
            ("1.1", 's:mustUnderstand="1" s:actor='
             '"http://schemas.xmlsoap.org/soap/actor/next"', True),
            ("1.2", 's:mustUnderstand="true"', True),
            ("1.2", 's:mustUnderstand="1"', True),
            ("1.2", 's:mustUnderstand="false"', False),
            ("1.2", 's:mustUnderstand="true" s:role="http://other/"', False),
            ("1.2", 's:mustUnderstand="true" s:role='
             '"http://www.w3.org/2003/05/soap-envelope/role/ultimateReceiver"', True),
        ],
    )  # fmt: skip
    def test_headers(self, version, attributes, is_refused):
        header = f'<s:Header><h:Sec xmlns:h="urn:h" {attributes}/></s:Header>'
        body = envelope(operation("none"), version, header)
        if is_refused:
            with pytest.raises(MustUnderstand, match="<Sec> is not understood"):
                decode(body)
        else:
            assert decode(body).name == "shop.echo.none"

    @pytest.mark.parametrize(
        ("method", "sent"),
        [
            ("str_", '<value xsi:type="xsd:base64Binary">/w==</value>'),
            ("bytes_", '<value xsi:type="xsd:hexBinary">6x</value>'),
            ("bytes_", '<value xsi:nil="true"/>'),
            ("bytes_", "<value><item>x</item></value>"),
        ],
    )
    def test_octets_that_are_none_or_no_text_are_refused(self, method, sent):
        with pytest.raises(InvalidParams, match="value"):
            read(method, sent)

    def test_encodings(self):
        sent = operation("str_", "<value>gr\u00fc\u00dfe</value>")
        for encoding in ("utf-8", "utf-8-sig", "utf-16", "latin-1"):
            text = envelope(sent).removeprefix('<?xml version="1.0"?>')
            if encoding == "latin-1":
                text = f'<?xml version="1.0" encoding="iso-8859-1"?>{text}'
            assert arguments(text.encode(encoding)) == (["gr\u00fc\u00dfe"], {})

    def test_a_document_type_is_refused(self):
        for dtd in (
            "<!DOCTYPE a>",
            '<!DOCTYPE a [<!ENTITY b "c">]>',
            '<!DOCTYPE a SYSTEM "file:///etc/passwd">',
        ):
            body = envelope(operation("str_", "<value>x</value>"))
            body = body.replace("?>", f"?>{dtd}", 1)
            with pytest.raises(ParseError, match="document type declaration"):
                decode(body)


class TestBounds:
    def test_depth(self):
        codec = SOAP(Limits(xml_depth=10), REGISTRY.target)

        def nested(times):
            inner = "<item>" * times + "x" + "</item>" * times
            return envelope(operation("untyped", f"<value>{inner}</value>"))

        # Envelope, Body, operation and parameter are around it.
        assert arguments(nested(6), codec) == ([[[[[[["x"]]]]]]], {})
        with pytest.raises(ParseError, match="XML nested deeper than 10"):
            decode(nested(7), codec)

    @pytest.mark.parametrize("times", [100, 1000, 50_000])
    def test_depth_without_end(self, times):
        inner = "<a>" * times, "</a>" * times
        for content in ("".join(inner), inner[0]):
            with pytest.raises(ParseError):
                decode(envelope(operation("untyped", content)))
            with pytest.raises(ParseError):
                decode(envelope("", header=f"<s:Header>{content}</s:Header>"))

    def test_elements(self):
        with pytest.raises(ParseError, match="more than 100000 elements"):
            decode(envelope(operation("untyped", "<a/>" * 100_001)))

    def test_attributes(self):
        for name in ("a", "xmlns:a"):
            attributes = " ".join(f'{name}{n}="u"' for n in range(300))
            with pytest.raises(ParseError, match="more than 256 attributes"):
                decode(envelope(operation("untyped", f"<value {attributes}/>")))

    def test_large_messages_keep_their_namespaces(self):
        # More equals signs than one element may have attributes.
        items = '<item xsi:type="xsd:long">5</item>' * 500
        sent = operation("list_", f"<value>{items}</value>")
        assert arguments(envelope(sent)) == ([[5] * 500], {})

    def test_unions_inside_unions(self):
        inner = "<b>x</b>"
        for _ in range(50):
            inner = f"<b>1</b><a>{inner}</a>"
        body = envelope(operation("twins", f"<value>{inner}</value>"))
        begin = time.monotonic()
        decode(body).read()
        assert time.monotonic() - begin < 5

    def test_a_megabyte_of_text(self):
        text = "&<äx" * 250_000
        response = answer("str_", text)
        (result,) = body_of(response)[0]
        assert result.text == text
        escaped = text.replace("&", "&amp;").replace("<", "&lt;")
        assert read("str_", f"<value>{escaped}</value>") == text


class TestResults:
    @VERSIONS
    def test_a_result(self, version):
        response = answer("str_", "a<b", version)
        assert response.status == 200
        assert dict(response.headers)["Content-Type"] == CONTENT_TYPES[version]
        assert response.body.decode() == (
            '<?xml version="1.0" encoding="utf-8"?>\n'
            f'<soapenv:Envelope xmlns:soapenv="{ENVELOPES[version]}" '
            f'xmlns:xsi="{XSI}" xmlns:xsd="{XSD}"><soapenv:Body>'
            f'<str_Response xmlns="{TNS}"><return>a&lt;b</return></str_Response>'
            "</soapenv:Body></soapenv:Envelope>\n"
        )

    def test_no_result(self):
        assert (
            f'<noneResponse xmlns="{TNS}"></noneResponse>'
            in answer("none", None).body.decode()
        )

    @pytest.mark.parametrize(
        ("method", "value", "text"),
        [
            ("bool_", True, "true"),
            ("float_", math.inf, "INF"),
            ("float_", -math.inf, "-INF"),
            ("float_", math.nan, "NaN"),
            ("float_", 1e300, "1e+300"),
            ("float_", 5, "5"),
            ("decimal", Decimal("1E+3"), "1000"),
            ("decimal", Decimal("-1E-9"), "-0.000000001"),
            ("decimal", 5, "5"),
            ("datetime", dt.datetime(98, 7, 7), "0098-07-07T00:00:00"),
            (
                "datetime",
                dt.datetime(2026, 1, 2, tzinfo=dt.UTC),
                "2026-01-02T00:00:00Z",
            ),
            (
                "datetime",
                dt.datetime(2026, 1, 2, tzinfo=dt.timezone(dt.timedelta(seconds=30))),
                "2026-01-01T23:59:30Z",
            ),
            ("timedelta", dt.timedelta(hours=1), "PT3600S"),
            ("str_", "\r\n", "&#13;\n"),
        ],
    )
    def test_each_form(self, method, value, text):
        body = answer(method, value).body.decode()
        assert f"<return>{text}</return>" in body

    @pytest.mark.parametrize(
        ("method", "value", "message"),
        [
            ("str_", "\x00", r"it holds the character '\x00'"),
            ("str_", "\ud800", r"it holds the character '\ud800'"),
            ("int_", 2**63, "got an integer of 65 bits, expected at most 64"),
            ("untyped", -(2**63) - 1, "got an integer of 65 bits"),
            ("decimal", Decimal("NaN"), "got Decimal NaN"),
            ("decimal", Decimal("1E+999999"), "more than 4300 digits"),
            ("datetime", dt.datetime.max.replace(
                tzinfo=dt.timezone(-dt.timedelta(hours=23))), "cannot be sent as SOAP"),
            ("int_", "5", "got str '5', expected int"),
            ("list_", [1, "x"], "got str 'x', expected int"),
            ("list_", {"a": 1}, "got dict {'a': 1}, expected list[int]"),
            ("enum", "green", "got str 'green', expected Color"),
            ("leaf", {"size": 1}, "member 'name' is missing"),
            ("pair", (1,), "got list [1], expected tuple[int, str]"),
            ("union", 1.5, "got float 1.5, expected int | str | Leaf | Point"),
            ("untyped", object(), "got a value of type object"),
        ],
    )  # fmt: skip
    def test_what_soap_cannot_carry_is_an_error(self, method, value, message):
        with pytest.raises(ApplicationError) as caught:
            answer(method, value)
        assert message in caught.value.message


class TestFaults:
    @pytest.mark.parametrize(
        ("error", "kind", "is_callers"),
        [
            (InvalidParams("no <good>"), "InvalidParams", True),
            (MethodNotFound("gone"), "MethodNotFound", True),
            (Conflict("not now"), "Conflict", True),
            (InternalError("ref"), "InternalError", False),
            (NotOffered("never"), "NotOffered", False),
            (ToolFault("E: x", exception=ValueError(), kind="E"), "E", False),
            (ApplicationError("odd", data={"left": 0}), "ApplicationError", False),
            (ApplicationError("bad \x00 \ud800 text"), "ApplicationError", False),
        ],
    )
    @VERSIONS
    def test_each_kind(self, error, kind, is_callers, version, schema):
        response = answer_error(error, version)
        body = body_of(response)
        names = {"s": ENVELOPES[version], "t": TNS}
        (fault,) = body.xpath("s:Fault", namespaces=names)
        (told,) = fault.iter(f"{{{TNS}}}ToolFault")
        schema.assertValid(told)
        message = error.message.replace("\0", "\\x00").replace("\ud800", "\\ud800")
        assert [each.text for each in told] == [kind, message]
        if version == "1.1":
            assert response.status == 500
            assert [each.tag for each in fault] == [
                *("faultcode", "faultstring", "detail"),
            ]
            code = "Client" if is_callers else "Server"
            assert fault[0].text == f"soapenv:{code}"
            assert fault[1].text == message
        else:
            assert response.status == (400 if is_callers else 500)
            code = "Sender" if is_callers else "Receiver"
            (value,) = fault.xpath("s:Code/s:Value", namespaces=names)
            assert value.text == f"env:{code}"
            (reason,) = fault.xpath("s:Reason/s:Text", namespaces=names)
            assert reason.text == message
        assert dict(response.headers)["Content-Type"] == CONTENT_TYPES[version]

    @VERSIONS
    def test_each_class_has_a_name_of_its_own(self, version):
        """All that may happen to a call; other faults are of the request."""
        classes = [getattr(errors, name) for name in errors.__all__]
        kinds = {}
        for cls in classes:
            if not issubclass(cls, ToolserverError) or issubclass(cls, ToolFault):
                continue
            error = cls("text")
            body = answer_error(error, version).body
            (told,) = etree.fromstring(body).iter(f"{{{TNS}}}type")
            kinds[told.text] = b":Client" in body or b":Sender" in body
            assert kinds[told.text] == (cls.status < 500)
        for kind in ("RequireBroken", "Obsolete", "Forbidden"):
            assert kinds[kind]
        for kind in ("EnsureBroken", "CallTimeout", "Overload"):
            assert not kinds[kind]

    def refused(self, body, content_type="text/xml"):
        request = request_of(body, content_type=content_type)
        with pytest.raises(ToolserverError) as caught:
            CODEC.decode(request)
        return CODEC.encode(request, [Outcome(Call(""), error=caught.value)])

    def test_what_is_no_message_is_answered_by_its_content_type(self):
        response = self.refused("<a")
        assert response.status == 500
        assert b"<faultcode>soapenv:Client</faultcode>" in response.body
        response = self.refused("<a", 'application/soap+xml; action="x"')
        assert response.status == 400
        assert b"<env:Value>env:Sender</env:Value>" in response.body

    def test_another_version(self):
        body = '<e:Envelope xmlns:e="urn:soap:9"><e:Body/></e:Envelope>'
        response = self.refused(body)
        assert response.status == 500
        assert b"<faultcode>soapenv:VersionMismatch</faultcode>" in response.body
        assert b"<detail>" not in response.body
        response = self.refused(body, "application/soap+xml")
        assert response.status == 500
        assert b"<env:Value>env:VersionMismatch</env:Value>" in response.body
        supported = etree.fromstring(response.body).iter(
            f"{{{ENVELOPES['1.2']}}}SupportedEnvelope"
        )
        assert [e.nsmap["s"] for e in supported] == [
            ENVELOPES["1.2"],
            ENVELOPES["1.1"],
        ]

    @VERSIONS
    def test_a_header_that_is_not_understood(self, version):
        header = (
            '<s:Header><h:Sec xmlns:h="urn:a?b&amp;c=d" s:mustUnderstand="1"/>'
            "</s:Header>"
        )
        response = self.refused(envelope(operation("none"), version, header))
        assert response.status == 500
        root = etree.fromstring(response.body)
        if version == "1.1":
            assert only_text(root, "//faultcode") == "soapenv:MustUnderstand"
            return
        assert b"<env:Value>env:MustUnderstand</env:Value>" in response.body
        (named,) = root[0]
        prefix, _, name = named.get("qname").partition(":")
        assert (named.nsmap[prefix], name) == ("urn:a?b&c=d", "Sec")

    def test_a_header_of_no_namespace_that_is_not_understood(self):
        header = '<s:Header><Sec s:mustUnderstand="1"/></s:Header>'
        response = self.refused(envelope(operation("none"), "1.2", header))
        (named,) = etree.fromstring(response.body)[0]
        assert named.get("qname") == "Sec"


PASSING = target_namespace("passing")


class TestKeeping:
    def test_what_is_known_of_a_method_goes_with_it(self):
        registry = Registry()
        codec = SOAP(Limits(), registry.target)

        def add():
            class Passing(StandardTool):
                def greet(self) -> str: ...

            registry.add(Passing(), "passing")

        add()
        (call,) = codec.decode(
            request_of(envelope(operation("greet", namespace=PASSING)))
        )
        call.read()
        assert len(codec._known) == 1
        registry.swap([registry.entry("passing")], [])
        del call
        gc.collect()
        assert not codec._known


class TestDamage:
    VALID = envelope(
        operation(
            "numbers",
            "<value><item><key>1</key><value><item><name>n</name><size>2</size></item>"
            "</value></item></value>",
        )
        + "<x id='1' href='#1'/>",
        attributes='s:encodingStyle="http://schemas.xmlsoap.org/soap/encoding/"',
    ).encode()

    def outcome_of(self, body):
        request = request_of(body, path="/SOAP/shop/echo")
        try:
            (call,) = CODEC.decode(request)
            spec = REGISTRY.target(f"shop.echo.{call.name}").spec
            spec.convert(*call.read())
        except ToolserverError as error:
            outcome = Outcome(Call(""), error=error)
            assert CODEC.encode(request, [outcome]).status in (400, 500)

    @given(st.binary())
    def test_any_bytes_are_refused(self, body):
        request = request_of(body)
        with pytest.raises(ToolserverError):
            CODEC.decode(request)

    @given(st.data())
    def test_damaged_calls_are_read_or_refused(self, data):
        body = bytearray(self.VALID)
        piece = st.sampled_from(
            [b"<value>", b"</value>", b"<item/>", b"&", b"<", b' xsi:nil="1"',
             b' xsi:type="xsd:int"', b' href="#1"', b' id="1"', b"<s:Body>"]
        )  # fmt: skip
        for _ in range(data.draw(st.integers(1, 4))):
            at = data.draw(st.integers(0, len(body) - 1))
            end = at + data.draw(st.integers(0, 9))
            body[at:end] = data.draw(piece | st.binary(max_size=3))
            if not body:
                break
        self.outcome_of(bytes(body))

    def test_base64_in_pieces(self):
        data = bytes(range(256)) * 40
        text = base64.encodebytes(data).decode()
        assert read("bytes_", f"<value>\n{text}</value>") == data
