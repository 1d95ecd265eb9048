import base64
import contextlib
import datetime
import decimal
import math
import mmap
import xmlrpc.client
from datetime import timedelta, timezone
from pathlib import Path

import hypothesis.strategies as st
import pytest
from hypothesis import given

from toolserver.calls import Call, Outcome
from toolserver.errors import (
    ApplicationError,
    InvalidParams,
    InvalidRequest,
    ParseError,
    ToolserverError,
)
from toolserver.message import Headers, Request
from toolserver.protocols.base import RPCProtocol
from toolserver.protocols.xmlrpc import XMLRPC
from toolserver.protocols.xmlrpc_reader import Fault, read_response, walk_call
from toolserver.protocols.xmlrpc_scanner import scan_call
from toolserver.protocols.xmlrpc_writer import write_call
from toolserver.settings import Limits, XMLRPCSettings

CODEC = XMLRPC(Limits(), XMLRPCSettings())
NIL_CODEC = XMLRPC(Limits(), XMLRPCSettings(nil_members=True))

MEMORY = Path("/proc/self/statm")

#: Text that XML can carry; a carriage return is told apart below.
TEXT = st.text(
    st.characters(exclude_categories=("Cs", "Cc"), exclude_characters="\ufffe\uffff")
    | st.sampled_from("\t\n&<>\"' ]")
)
SCALARS = (
    st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT
    | st.binary(max_size=80)
    | st.datetimes(min_value=datetime.datetime(1000, 1, 1)).map(
        lambda value: value.replace(microsecond=0, fold=0)
    )
)
ZONED = st.datetimes(timezones=st.just(timezone(timedelta(hours=-7)))).map(
    lambda value: value.replace(fold=0)
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=5) | st.dictionaries(TEXT, inner, max_size=5)
    ),
    max_leaves=20,
)


def request_of(body, content_type="text/xml"):
    if isinstance(body, str):
        body = body.encode()
    headers = Headers([("Content-Type", content_type)])
    return Request(method="POST", path="/RPC2", headers=headers, content=body)


def call_with(value):
    """A call with one parameter whose value element holds this."""
    return (
        "<methodCall><methodName>shop.echo</methodName><params>"
        f"<param><value>{value}</value></param></params></methodCall>"
    )


def decode(body, content_type="text/xml", codec=CODEC):
    (call,) = codec.decode(request_of(body, content_type))
    return call


def read(value):
    (argument,) = decode(call_with(value)).args
    return argument


def encode(value, codec=CODEC):
    response = codec.encode(request_of(""), [Outcome(Call("m"), value)])
    assert response.status == 200
    assert dict(response.headers)["Content-Type"] == "text/xml; charset=utf-8"
    return response.body


def encode_error(error):
    return CODEC.encode(request_of(""), [Outcome(Call("m"), error=error)]).body


def read_with_stdlib(body):
    (value,), _ = xmlrpc.client.loads(body, use_builtin_types=True)
    return value


def same(one, other):
    """Equal, and of equal types, as 1, 1.0 and True are not."""
    return repr(one) == repr(other)


def test_it_is_a_protocol():
    assert isinstance(CODEC, RPCProtocol)


class TestReading:
    def test_a_call_of_the_standard_library(self):
        args = (1, 2.5, "a < b & c", True, None, b"\x00\xff", [1, [2]], {"k": {"l": 1}})
        body = xmlrpc.client.dumps(args, "shop.orders.place", allow_none=True)
        call = decode(body.encode())
        assert call.name == "shop.orders.place"
        assert same(call.args, list(args))
        assert call.kwargs == {}
        assert not call.notify

    @pytest.mark.parametrize(
        ("sent", "expected"),
        [
            ("", ""),
            ("text", "text"),
            (" two  words\n", " two  words\n"),
            ("<string>text</string>", "text"),
            ("<string/>", ""),
            ("<string> text\t</string>", " text\t"),
            ("\n <string>text</string> \n", "text"),
            ("a<!-- c -->b<?pi x?>c<![CDATA[<&>]]>", "abc<&>"),
            ("<string>a<!-- c -->b<?pi x?>c<![CDATA[<&>]]></string>", "abc<&>"),
            ("&lt;&amp;&gt;&quot;&apos;&#65;&#x42;", "<&>\"'AB"),
            ("<int>1</int>", 1),
            ("<int> +01\n</int>", 1),
            ("<i4>-2147483648</i4>", -(2**31)),
            ("<i8>9223372036854775807</i8>", 2**63 - 1),
            ("<int>4294967296</int>", 2**32),
            ("<i1>-1</i1>", -1),
            ("<i2>2</i2>", 2),
            ("<biginteger>18446744073709551616</biginteger>", 2**64),
            ("<ex:i8>5</ex:i8>", 5),
            (
                '<ex:i8 xmlns:ex="http://ws.apache.org/xmlrpc/namespaces/ext">5</ex:i8>',
                5,
            ),
            ("<ex:i1>5</ex:i1>", 5),
            ("<ex:biginteger>5</ex:biginteger>", 5),
            ("<ns1:bigdecimal>1.50</ns1:bigdecimal>", decimal.Decimal("1.50")),
            ("<ex:float>1.5</ex:float>", 1.5),
            ("<nil/>", None),
            ("<nil></nil>", None),
            ("<nil> </nil>", None),
            ("<ex:nil/>", None),
            ("<boolean>1</boolean>", True),
            ("<boolean>0</boolean>", False),
            ("<boolean>true</boolean>", True),
            ("<boolean> false </boolean>", False),
            ("<double>-1.5</double>", -1.5),
            ("<double>1</double>", 1.0),
            ("<double>.5</double>", 0.5),
            ("<double>5.</double>", 5.0),
            ("<double>1e3</double>", 1000.0),
            ("<double>-1.5E-3</double>", -0.0015),
            ("<base64>AP8=</base64>", b"\x00\xff"),
            ("<base64>\n  A P\r\n8=\t</base64>", b"\x00\xff"),
            ("<base64/>", b""),
            ("<array><data/></array>", []),
            ("<array><data></data></array>", []),
            ("<array/>", []),
            ("<array>\n<data>\n<value>a</value>\n<value/></data> </array>", ["a", ""]),
            ("<struct/>", {}),
            (
                "<struct> <member> <name>a b</name> <value><int>1</int></value> "
                "</member> </struct>",
                {"a b": 1},
            ),
            ("<struct><member><name/><value/></member></struct>", {"": ""}),
            ("a <array>b<data>c</data></array>d", []),
        ],
    )
    def test_each_dialect_of_values(self, sent, expected):
        assert same(read(sent), expected)

    @pytest.mark.parametrize(
        ("sent", "expected"),
        [
            ("19980717T14:08:55", datetime.datetime(1998, 7, 17, 14, 8, 55)),
            ("1998-07-17T14:08:55", datetime.datetime(1998, 7, 17, 14, 8, 55)),
            ("1998-07-17 14:08:55", datetime.datetime(1998, 7, 17, 14, 8, 55)),
            ("19980717T140855", datetime.datetime(1998, 7, 17, 14, 8, 55)),
            (" 19980717T14:08:55\n", datetime.datetime(1998, 7, 17, 14, 8, 55)),
            (
                "19980717T14:08:55.5",
                datetime.datetime(1998, 7, 17, 14, 8, 55, 500000),
            ),
            (
                "19980717T14:08:55.123456789",
                datetime.datetime(1998, 7, 17, 14, 8, 55, 123456),
            ),
            (
                "19980717T14:08:55Z",
                datetime.datetime(1998, 7, 17, 14, 8, 55, tzinfo=datetime.UTC),
            ),
            (
                "1998-07-17T14:08:55.001+02:00",
                datetime.datetime(
                    *(1998, 7, 17, 14, 8, 55, 1000),
                    tzinfo=timezone(timedelta(hours=2)),
                ),
            ),
            (
                "19980717T14:08:55-0330",
                datetime.datetime(
                    *(1998, 7, 17, 14, 8, 55),
                    tzinfo=timezone(-timedelta(hours=3, minutes=30)),
                ),
            ),
        ],
    )
    @pytest.mark.parametrize("tag", ["dateTime.iso8601", "ex:dateTime"])
    def test_each_dialect_of_times(self, sent, expected, tag):
        got = read(f"<{tag}>{sent}</{tag}>")
        assert got == expected
        assert got.tzinfo == expected.tzinfo

    @pytest.mark.parametrize(
        "body",
        [
            "<methodCall><methodName>a.b</methodName></methodCall>",
            "<methodCall><methodName>a.b</methodName><params/></methodCall>",
            "<m:methodCall xmlns:m='urn:x'><m:methodName>a.b</m:methodName>"
            "</m:methodCall>",
            "<methodCall>\n<params> </params><methodName> a.b\n</methodName>"
            "</methodCall>",
            "<?xml version='1.0'?><!-- c --><methodCall xmlns='urn:x'>"
            "<methodName>a<!-- c -->.b</methodName></methodCall><!-- c -->\n",
        ],
    )
    def test_calls_without_parameters(self, body):
        call = decode(body)
        assert (call.name, call.args) == ("a.b", [])

    @pytest.mark.parametrize(
        ("sent", "message"),
        [
            ("<int></int>", "int: got '', expected an integer"),
            ("<int>x</int>", "int: got 'x', expected an integer"),
            ("<int>1.0</int>", "int: got '1.0', expected an integer"),
            ("<int>1_0</int>", "int: got '1_0', expected an integer"),
            ("<i4>\u0663</i4>", "i4: got '\u0663', expected an integer"),
            ("<boolean>2</boolean>", "boolean: got '2', expected 0 or 1"),
            ("<boolean/>", "boolean: got '', expected 0 or 1"),
            ("<double>nan</double>", "double: got 'nan', expected a decimal number"),
            ("<double>inf</double>", "double: got 'inf', expected a decimal number"),
            ("<double>1_0</double>", "double: got '1_0', expected a decimal number"),
            (
                "<double>1e999</double>",
                "double: got '1e999', expected a number in the range of a double",
            ),
            ("<bigdecimal>NaN</bigdecimal>", "got 'NaN', expected a decimal number"),
            ("<base64>A</base64>", "base64: got 'A', expected base64"),
            ("<base64>AP8=AP8=</base64>", "expected base64"),
            ("<base64>A\u00e48=</base64>", "expected base64"),
            ("<nil>x</nil>", "nil: got 'x', expected nothing"),
            ("<date>x</date>", "value: got <date>, expected"),
            ("<ex:string>x</ex:string>", "value: got <ex:string>, expected"),
            ("<ex:dom><a/></ex:dom>", "value: got <ex:dom>, expected"),
            ("<int><int>1</int></int>", "int: got <int>, expected text only"),
            ("<int>1</int><int>2</int>", "value: got <int>, expected one type"),
            ("<array/><int>2</int>", "value: got <int>, expected one type"),
            ("<value/>", "value: got <value>, expected"),
            ("<array><value/></array>", "array: got <value>, expected data"),
            ("<array><data/><data/></array>", "array: got 2 elements, expected one"),
            ("<struct><value/></struct>", "struct: got <value>, expected member"),
            (
                "<struct><member/></struct>",
                "member: got nothing, expected <name>, <value>",
            ),
            (
                "<struct><member><name>a</name></member></struct>",
                "member: got <name>, expected <name>, <value>",
            ),
            (
                "<struct><member><value/><name>a</name></member></struct>",
                "member: got <value>, <name>, expected",
            ),
            (
                "<struct><member><name>a</name><name>b</name><value/></member></struct>",
                "member: got <name>, <name>, <value>, expected",
            ),
            (
                "<struct><member><name>a</name><value/><value/></member></struct>",
                "member: got <name>, <value>, <value>, expected",
            ),
            (
                "<struct><member><name>a</name><value/></member>"
                "<member><name>a</name><value/></member></struct>",
                "struct: got the member 'a' twice",
            ),
            *(
                (
                    f"<dateTime.iso8601>{text}</dateTime.iso8601>",
                    f"got '{text}', expected a time such as 19980717T14:08:55",
                )
                for text in (
                    *("", "today", "19980717", "19981317T14:08:55"),
                    *("00000000T00:00:00", "19980717T24:08:55", "19980717T14:08"),
                    *("19980717T14:08:60", "19980717T14:08:55+99:00"),
                )
            ),
        ],
    )
    def test_what_is_no_value_is_refused(self, sent, message):
        with pytest.raises(InvalidRequest) as caught:
            read(sent)
        assert message in caught.value.message

    @pytest.mark.parametrize(
        "body",
        [
            "<methodCall/>",
            "<methodCall><methodName/></methodCall>",
            "<methodCall><methodName> </methodName></methodCall>",
            "<methodCall><params/></methodCall>",
            "<methodCall><methodName>a</methodName><other/></methodCall>",
            "<methodCall><methodName>a<b/></methodName></methodCall>",
            "<methodCall><methodName>a</methodName><methodName>b</methodName>"
            "</methodCall>",
            "<methodCall><methodName>a</methodName><params/><params/></methodCall>",
            "<methodCall><methodName>a</methodName><params><param/></params>"
            "</methodCall>",
            "<methodCall><methodName>a</methodName><params><param><value/><value/>"
            "</param></params></methodCall>",
            "<methodCall><methodName>a</methodName><params><value/></params>"
            "</methodCall>",
            "<methodResponse><params><param><value/></param></params></methodResponse>",
            "<html/>",
            "<value/>",
        ],
    )
    def test_what_is_no_call_is_refused(self, body):
        with pytest.raises(InvalidRequest):
            decode(body)

    @pytest.mark.parametrize(
        "body",
        [
            *("", " ", "x", "<methodCall>", "</methodCall>", "<methodCall></value>"),
            call_with("&undefined;"),
            call_with("&#0;"),
            call_with("\x01"),
            call_with("<int a='1' a='2'>1</int>"),
            call_with("") + call_with(""),
            call_with("") + "x",
            call_with("").encode() + b"\0",
            call_with("X").encode().replace(b"X", b"\xff"),
            call_with("X").encode().replace(b"X", b"\xed\xa0\x80"),
            b"\xef\xbb\xbf",
            b"\xff\xfe",
            b"\xff\xfe<",
            "<?xml version='1.0' encoding='utf-16'?>" + call_with(""),
        ],
    )
    def test_what_is_not_well_formed_is_a_parse_error(self, body):
        with pytest.raises(ParseError):
            decode(body)


class TestEncodings:
    TEXT = "gr\u00fc\u00dfe"
    DECLARED = '<?xml version="1.0" encoding="{}"?>\n'

    @pytest.mark.parametrize(
        ("encoding", "declared", "content_type"),
        [
            ("utf-8", "", "text/xml"),
            ("utf-8", "", "text/xml; charset=UTF-8"),
            ("utf-8", "UTF-8", "text/xml"),
            ("utf-8-sig", "", "text/xml"),
            ("utf-8-sig", "utf-8", "text/xml"),
            ("latin-1", "ISO-8859-1", "text/xml"),
            ("latin-1", "iso-8859-1", "text/xml; charset=utf-8"),
            ("utf-8", "utf-8", "text/xml; charset=iso-8859-1"),
            ("latin-1", "", "text/xml; charset=iso-8859-1"),
            ("latin-1", "", 'text/xml; x=y; Charset="Latin1"'),
            ("utf-16", "", "text/xml"),
            ("utf-16", "UTF-16", "text/xml; charset=utf-16"),
            ("utf-16-le", "UTF-16", "text/xml; charset=utf-16"),
            ("utf-16-be", "", "text/xml; charset=utf-16"),
        ],
    )
    def test_accepted_ones(self, encoding, declared, content_type):
        head = self.DECLARED.format(declared) if declared else ""
        body = (head + call_with(self.TEXT)).encode(encoding)
        assert decode(body, content_type).args == [self.TEXT]

    @pytest.mark.parametrize(
        "name", ["windows-1252", "utf-7", "ibm037", "utf-32", "rot13", "nonsense"]
    )
    def test_others_are_refused(self, name):
        for body, content_type in (
            (self.DECLARED.format(name) + call_with("x"), "text/xml"),
            (call_with("x"), f"text/xml; charset={name}"),
        ):
            with pytest.raises(ParseError, match="encoding: got"):
                decode(body, content_type)

    def test_latin_1_bytes_without_a_word_are_refused(self):
        with pytest.raises(ParseError):
            decode(call_with(self.TEXT).encode("latin-1"))


class TestBounds:
    @pytest.mark.parametrize(
        "dtd",
        [
            "<!DOCTYPE methodCall>",
            '<!DOCTYPE methodCall SYSTEM "file:///etc/passwd">',
            '<!DOCTYPE m [<!ENTITY a "b">]>',
            '<!DOCTYPE m [<!ENTITY x SYSTEM "file:///etc/passwd">]>',
            "<!DOCTYPE m [<!ENTITY a0 'dos'>"
            + "".join(f"<!ENTITY a{n + 1} '{f'&a{n};' * 10}'>" for n in range(12))
            + "]>",
            "<!DOCTYPE m [<!ENTITY % p SYSTEM 'http://127.0.0.1/x'> %p;]>",
        ],
    )
    def test_dtds_are_refused(self, dtd):
        body = "<?xml version='1.0'?>" + dtd + call_with("&a12;")
        with pytest.raises(ParseError, match="document type declaration"):
            decode(body)

    def test_depth(self):
        # methodCall, params, param, value around it; array, data, value for each.
        codec = XMLRPC(Limits(xml_depth=10), XMLRPCSettings())
        wrap = "<array><data><value>{}</value></data></array>"
        two = wrap.format(wrap.format(""))
        assert decode(call_with(two), codec=codec).args == [[[""]]]
        with pytest.raises(ParseError, match="XML nested deeper than 10"):
            decode(call_with(wrap.format(wrap.format("<int>1</int>"))), codec=codec)

    @pytest.mark.parametrize("times", [30, 1000, 50_000])
    def test_depth_without_end(self, times):
        wrapped = "<array><data><value>" * times, "</value></data></array>" * times
        with pytest.raises(ParseError):
            decode(call_with("".join(wrapped)))
        with pytest.raises(ParseError):
            decode(call_with(wrapped[0]))

    def test_elements(self):
        codec = XMLRPC(Limits(xml_elements=10), XMLRPCSettings())
        # Seven elements around the elements of the array.
        sent = "<array><data>{}</data></array>"
        assert decode(call_with(sent.format("<value/>" * 3)), codec=codec).args == [
            ["", "", ""]
        ]
        with pytest.raises(ParseError, match="more than 10 elements"):
            decode(call_with(sent.format("<value/>" * 4)), codec=codec)

    def test_attributes(self):
        codec = XMLRPC(Limits(xml_attributes=3), XMLRPCSettings())
        assert decode(call_with("<int a='' b='' c=''>1</int>"), codec=codec).args == [1]
        with pytest.raises(ParseError, match="more than 3 attributes"):
            decode(call_with("<int a='' b='' c='' d=''>1</int>"), codec=codec)

    def test_many_attributes(self):
        attributes = " ".join(f"a{n} = ''" for n in range(100_000))
        with pytest.raises(ParseError, match="more than 256 attributes"):
            decode(call_with(f"<int {attributes}>1</int>"))

    @pytest.mark.parametrize(
        "around",
        [
            "<value><![CDATA[<int {}/>]]></value>",
            "<!-- <int {}/> --><value>1</value>",
            "<?pi <int {}/> ?><value>1</value>",
        ],
    )
    def test_attributes_that_are_none(self, around):
        codec = XMLRPC(Limits(xml_attributes=3), XMLRPCSettings())
        attributes = " ".join(f"a{n}=''" for n in range(4))
        text = f"<methodCall><methodName>a</methodName><params><param>{around}"
        text += "</param></params></methodCall>"
        (value,) = decode(text.format(attributes), codec=codec).args
        assert value in ("1", f"<int {attributes}/>")
        with pytest.raises(ParseError, match="more than 3 attributes"):
            decode(text.format(attributes) + f"<a {attributes}/>", codec=codec)

    @pytest.mark.parametrize("begin", ["<!--", "<![CDATA[", "<?", "<a b='", "<a b="])
    def test_attributes_are_counted_in_linear_time(self, begin):
        attributes = " ".join(f"a{n}=''" for n in range(300))
        with pytest.raises(ParseError):
            decode(begin * 1_000_000 + f"<a {attributes}/>")

    def test_many_elements(self):
        with pytest.raises(ParseError, match="more than 100000 elements"):
            decode(call_with("<a/>" * 2_000_000))

    def test_what_only_looks_like_too_much_is_accepted(self):
        codec = XMLRPC(Limits(xml_elements=7, xml_attributes=3), XMLRPCSettings())
        for sent in ("====", "<![CDATA[<<<<<<<<]]>", "<![CDATA[<!DOCTYPE html>]]>"):
            text = sent.removeprefix("<![CDATA[").removesuffix("]]>")
            body = call_with(f"<string>{sent}</string>")
            assert decode(f"<!-- <a><a> -->{body}", codec=codec).args == [text]
            with pytest.raises(ParseError):
                decode(body.replace("</string>", ""), codec=codec)

    def test_prefixes_that_are_not_declared_hide_no_other_error(self):
        assert read("<ex:nil/>") is None
        for sent in ("<ex:nil>", "<ex:nil/>&a;", "<ex:nil/>\x01", "<ex:nil/><b></a>"):
            with pytest.raises(ParseError):
                read(sent)

    @pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-32-le"])
    @pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf", b"\xef\xbb\xbf "])
    @pytest.mark.parametrize("charset", ["utf-8", "iso-8859-1"])
    def test_dtds_are_refused_in_all_disguises(self, encoding, mark, charset):
        dtd = '<!DOCTYPE m [<!ENTITY a "b">]>'
        for space in ("", " "):
            body = mark + (space + dtd + call_with("&a;")).encode(encoding)
            with pytest.raises(ParseError):
                decode(body, f"text/xml; charset={charset}")

    @pytest.mark.skipif(not MEMORY.exists(), reason="needs the numbers of Linux")
    def test_names_are_forgotten(self):
        def resident_mib():
            return int(MEMORY.read_text().split()[1]) * mmap.PAGESIZE >> 20

        def send_names(start):
            names = (
                f"<{'x' * 60}{number}/>" for number in range(start, start + 50_000)
            )
            with pytest.raises(InvalidRequest):
                decode(call_with("".join(names)))

        send_names(0)
        before = resident_mib()
        for start in range(50_000, 300_000, 50_000):
            send_names(start)
        assert resident_mib() - before < 20

    def test_digits(self):
        assert read(f"<int>{'9' * 4300}</int>") == 10**4300 - 1
        with pytest.raises(InvalidRequest, match="at most 4300 digits"):
            read(f"<int>{'9' * 4301}</int>")

    def test_messages_do_not_repeat_long_texts(self):
        for sent in (f"<int>{'x' * 9999}</int>", f"<{'x' * 9999}/>"):
            with pytest.raises(InvalidRequest) as caught:
                read(sent)
            assert len(caught.value.message) < 300


class TestWriting:
    @pytest.mark.parametrize(
        ("value", "expected"),
        [
            (None, "<nil/>"),
            (True, "<boolean>1</boolean>"),
            (2**31 - 1, "<int>2147483647</int>"),
            (-(2**31), "<int>-2147483648</int>"),
            (2**31, "<i8>2147483648</i8>"),
            (-(2**63), "<i8>-9223372036854775808</i8>"),
            (1.5, "<double>1.5</double>"),
            (1e22, "<double>10000000000000000000000</double>"),
            (-1.5e-7, "<double>-0.00000015</double>"),
            ("a<b>&\r\n", "<string>a&lt;b&gt;&amp;&#13;\n</string>"),
            ("", "<string></string>"),
            (b"\x00\xff", "<base64>AP8=</base64>"),
            (decimal.Decimal("1.50"), "<string>1.50</string>"),
            (datetime.date(2024, 2, 29), "<string>2024-02-29</string>"),
            (datetime.time(1, 2, 3), "<string>01:02:03</string>"),
            (timedelta(hours=1), "<string>PT3600S</string>"),
            (
                datetime.datetime(1998, 7, 17, 14, 8, 55),
                "<dateTime.iso8601>19980717T14:08:55</dateTime.iso8601>",
            ),
            (
                datetime.datetime(98, 7, 17, 14, 8, 55, 5, datetime.UTC),
                "<dateTime.iso8601>00980717T14:08:55.000005Z</dateTime.iso8601>",
            ),
            (
                datetime.datetime(
                    *(1998, 7, 17, 14, 8, 55), tzinfo=timezone(timedelta(hours=2))
                ),
                "<dateTime.iso8601>19980717T14:08:55+02:00</dateTime.iso8601>",
            ),
            (
                (1, None),
                "<array><data><value><int>1</int></value><value><nil/></value></data>"
                "</array>",
            ),
            (
                {"a&b": 1, "c": None},
                "<struct><member><name>a&amp;b</name><value><int>1</int></value>"
                "</member></struct>",
            ),
        ],
    )
    def test_each_type(self, value, expected):
        assert encode(value).decode() == (
            '<?xml version="1.0" encoding="utf-8"?>\n<methodResponse><params><param>'
            f"<value>{expected}</value></param></params></methodResponse>\n"
        )

    def test_members_that_are_none_are_kept_where_it_is_set(self):
        value = {"a": None, "b": [{"c": None}]}
        assert read_with_stdlib(encode(value)) == {"b": [{}]}
        assert read_with_stdlib(encode(value, NIL_CODEC)) == value

    @pytest.mark.parametrize("length", [1, 10_000])
    def test_names_of_members_may_be_long(self, length):
        value = [{"x" * length: 1}] * 2
        assert read_with_stdlib(encode(value)) == value

    @pytest.mark.parametrize(
        ("value", "message"),
        [
            (math.nan, "got nan, expected a finite number"),
            ([-math.inf], "got -inf, expected a finite number"),
            (2**63, "got an integer of 65 bits, expected at most 64"),
            (-(2**63) - 1, "got an integer of 65 bits, expected at most 64"),
            ("\x00", r"it holds the character '\x00'"),
            ({"\x1b": 1}, r"it holds the character '\x1b'"),
            ("\ud800", r"it holds the character '\ud800'"),
            ("\uffff", r"it holds the character '\uffff'"),
            (object(), "got a value of type object"),
        ],
    )
    def test_what_xmlrpc_cannot_carry_is_an_error(self, value, message):
        with pytest.raises(ApplicationError) as caught:
            encode(value)
        assert message in caught.value.message

    def test_a_fault(self):
        body = encode_error(InvalidParams("count: got 'x', expected <int>"))
        with pytest.raises(xmlrpc.client.Fault) as caught:
            xmlrpc.client.loads(body)
        assert caught.value.faultCode == -32602
        assert caught.value.faultString == "count: got 'x', expected <int>"

    def test_a_fault_arrives_whatever_its_message_holds(self):
        body = encode_error(ApplicationError("bad \x00 \ud800 text"))
        with pytest.raises(xmlrpc.client.Fault) as caught:
            xmlrpc.client.loads(body)
        assert caught.value.faultString == r"bad \x00 \ud800 text"


class TestBothWays:
    @given(st.lists(VALUES, max_size=4))
    def test_calls_of_the_standard_library(self, args):
        # Its marshaller knows no integers beyond 32 bits.
        def fits(value):
            if isinstance(value, dict):
                return all(map(fits, value.values()))
            if isinstance(value, list):
                return all(map(fits, value))
            return not isinstance(value, int) or -(2**31) <= value < 2**31

        args = [arg for arg in args if fits(arg)]
        body = xmlrpc.client.dumps(tuple(args), "shop.echo").encode()
        call = decode(body)
        assert call.name == "shop.echo"
        assert same(call.args, args)

    @given(VALUES)
    def test_results_for_the_standard_library(self, value):
        assert same(read_with_stdlib(encode(value)), value)

    @given(VALUES | st.text("\r\n\u0085\u2028 &"))
    def test_results_for_ourselves(self, value):
        assert same(read_response(encode(value), "text/xml", Limits()), value)

    @given(VALUES | ZONED)
    def test_calls_of_ourselves(self, value):
        call = decode(write_call("shop.echo", [value, None]))
        assert (call.name, len(call.args)) == ("shop.echo", 2)
        assert same(call.args, [value, None])

    def test_faults_for_ourselves(self):
        with pytest.raises(Fault) as caught:
            read_response(encode_error(InvalidParams("no")), "text/xml", Limits())
        assert (caught.value.code, caught.value.message) == (-32602, "no")

    @pytest.mark.parametrize(
        "body",
        [
            "<methodResponse/>",
            "<methodResponse><params/></methodResponse>",
            "<methodResponse><params><param><value/></param><param><value/></param>"
            "</params></methodResponse>",
            "<methodResponse><other/></methodResponse>",
            "<methodResponse><params><param><value><array><data><item/></data></array>"
            "</value></param></params></methodResponse>",
            "<methodResponse><fault/></methodResponse>",
            "<methodResponse><fault><other/></fault></methodResponse>",
            "<methodResponse><fault><value>x</value></fault></methodResponse>",
            "<methodResponse><fault><value><struct/></value></fault></methodResponse>",
            call_with(""),
        ],
    )
    def test_what_is_no_response_is_refused(self, body):
        with pytest.raises(InvalidRequest):
            read_response(body.encode(), "text/xml", Limits())


class TestDamage:
    VALID = (
        b"<?xml version='1.0'?>\n<methodCall><methodName>a.b</methodName><params>"
        b"<param><value><struct><member><name>k</name><value><array><data><value>"
        b"<int>1</int></value><value>x</value></data></array></value></member>"
        b"</struct></value></param><param><value><base64>"
        + base64.b64encode(b"bytes")
        + b"</base64></value></param></params></methodCall>"
    )

    @given(st.binary())
    def test_any_bytes_are_read_or_refused(self, body):
        with pytest.raises(ToolserverError):
            decode(body)

    @given(st.data())
    def test_damaged_calls_are_read_or_refused(self, data):
        body = bytearray(self.VALID)
        tag = st.sampled_from(
            [b"<value>", b"</value>", b"<nil/>", b"<data>", b"&", b"<"]
        )
        for _ in range(data.draw(st.integers(1, 4))):
            at = data.draw(st.integers(0, len(body) - 1))
            end = at + data.draw(st.integers(0, 9))
            body[at:end] = data.draw(tag | st.binary(max_size=3))
            if not body:
                break
        try:
            call = decode(bytes(body))
        except (ParseError, InvalidRequest):
            return
        assert call.name
        assert isinstance(call.args, list)

    @given(st.text())
    def test_any_content_type_is_understood(self, content_type):
        for sent in (content_type, f"text/xml; charset={content_type}"):
            with contextlib.suppress(ParseError):
                assert decode(call_with("x"), sent).args == ["x"]


def outcome_of(read, *args):
    try:
        return repr(read(*args))
    except ToolserverError as error:
        return type(error)


class TestScanning:
    """The quick reader reads what the thorough one does, or nothing at all."""

    #: What messages are made of, in an order that often makes sense.
    PIECES = (
        *("<methodCall>", "<methodName>", "a.b", "</methodName>", "<params>"),
        *("<param>", "<value>", "<struct>", "<member>", "<name>", "k", "</name>"),
        *("<value>", "<array>", "<data>", "<value>", "<int>", "1", "</int>"),
        *("</value>", "<value>", "x", "</value>", "<value>", "<nil/>", "</value>"),
        *("<value>", "<string>", "y", "</string>", "</value>"),
        *("</data>", "</array>", "</value>", "</member>"),
        *("<member>", "<name>", "l", "</name>", "<value>", "<boolean>", "1"),
        *("</boolean>", "</value>", "</member>", "</struct>", "</value>", "</param>"),
        *("<param>", "<value>", "<base64>", "eA==", "</base64>", "</value>"),
        *("</param>", "</params>", "</methodCall>"),
    )

    def test_ordinary_calls_are_scanned(self):
        args = ("text", 1, 2.5, True, None, b"x", [1, ["y"]], {"k": {"l": [{"m": ""}]}})
        body = xmlrpc.client.dumps(
            args, "a.b", encoding="ascii", allow_none=True
        ).encode()
        assert repr(scan_call(body, Limits())) == repr(("a.b", list(args)))

    def test_the_whole_of_the_pieces_is_scanned(self):
        found = scan_call("".join(self.PIECES).encode(), Limits())
        assert found == ("a.b", [{"k": [1, "x", None, "y"], "l": True}, b"x"])

    @pytest.mark.parametrize(
        "content",
        [
            "<struct><member><name>a</name><value><int>1</int></value></member>"
            "<member><name>a</name><value><int>2</int></value></member></struct>",
            "<struct><member><name>a</name><value>1</value></member>"
            "<member><name>a</name><value>2</value></member></struct>",
            "<array><member><name>a</name><value><int>1</int></value></member></array>",
            "<array><value><int>1</int></value></array>",
        ],
    )
    def test_members_and_items_in_the_wrong_place_are_left_alone(self, content):
        body = call_with(content).encode()
        assert scan_call(body, Limits()) is None
        with pytest.raises(InvalidRequest):
            walk_call(body, Limits())

    @given(st.data())
    def test_both_readers_agree(self, data):
        pieces = list(self.PIECES)
        spaces = data.draw(st.sampled_from(["", "", "\n", " ", "\r\n"]))
        odd = ("", " ", "<data/>", "<params/>", "<struct/>", "<value/>", "<i x=''>")
        odder = ("<!-- c -->", "&lt;", "]]>", "<ex:nil/>", "\x01", "\r", "\ufffe")
        other = st.sampled_from([*self.PIECES, *odd, *odder])
        for _ in range(data.draw(st.integers(0, 3))):
            at = data.draw(st.integers(0, len(pieces) - 1))
            end = at + data.draw(st.integers(0, 3))
            pieces[at:end] = data.draw(st.lists(other, max_size=3))
            if not pieces:
                break
        text = spaces.join(pieces).encode()
        limits = Limits(xml_depth=data.draw(st.integers(8, 14)))
        found = scan_call(text, limits)
        if found is not None:
            assert repr(found) == outcome_of(walk_call, text, limits)

    @given(st.data())
    def test_both_readers_agree_on_damaged_calls(self, data):
        body = bytearray(TestDamage.VALID)
        at = data.draw(st.integers(0, len(body) - 1))
        end = at + data.draw(st.integers(0, 4))
        body[at:end] = data.draw(st.binary(max_size=3))
        found = scan_call(bytes(body), Limits())
        if found is not None:
            assert repr(found) == outcome_of(walk_call, bytes(body), Limits())

    def test_garbage_is_left_alone_at_once(self):
        for body in (b"x" * 10**7, b"<name>" + b"x" * 10**7, b"<a>" * 10**6):
            assert scan_call(body, Limits()) is None
