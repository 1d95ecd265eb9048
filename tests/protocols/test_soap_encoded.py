"""The codec of SOAP in its own encoding, as callers without a WSDL speak it."""

import datetime as dt
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from tests.protocols.test_soap import (
    ANYTHING,
    CODEC,
    ENVELOPES,
    REGISTRY,
    TNS,
    VALUES,
    VERSIONS,
    XSI,
    Color,
    Leaf,
    Line,
    Point,
    arguments,
    envelope,
    request_of,
    same,
)
from toolserver.calls import Outcome
from toolserver.errors import InvalidParams, InvalidRequest, ParseError
from toolserver.protocols.soap import SOAP
from toolserver.settings import Limits

ENC11 = "http://schemas.xmlsoap.org/soap/encoding/"
ENC12 = "http://www.w3.org/2003/05/soap-encoding"
ENCODINGS = {"1.1": ENC11, "1.2": ENC12}
STYLE = {
    version: f's:encodingStyle="{uri}" xmlns:enc="{uri}" '
    'xmlns:apache="http://xml.apache.org/xml-soap"'
    for version, uri in ENCODINGS.items()
}


def encoded(content, version="1.1"):
    return envelope(content, version, attributes=STYLE[version])


def sent(method, content, *, version="1.1", beside=""):
    """A message with a method and what stands beside it."""
    operation = f'<m:{method} xmlns:m="{TNS}">{content}</m:{method}>'
    return encoded(operation + beside, version)


def read(method, content, **facts):
    args, named = arguments(sent(method, content, **facts))
    (value,) = [*args, *named.values()]
    return value


def answer(message, value):
    request = request_of(message)
    (call,) = CODEC.decode(request)
    call.read()
    return CODEC.encode(request, [Outcome(call, value)]).body


class TestBothWays:
    @pytest.mark.parametrize("method", VALUES)
    @given(st.data())
    def test_results_can_be_sent_back(self, method, data):
        value = data.draw(VALUES[method])
        version = data.draw(st.sampled_from(["1.1", "1.2"]))
        body = answer(sent(method, "<value/>", version=version), value)
        (result, *_) = etree.fromstring(body)[0][0]
        assert result.tag == "return"
        result.tag = "param0"
        back = read(method, etree.tostring(result).decode(), version=version)
        assert same(back, value)

    @given(ANYTHING)
    def test_each_value_says_its_type(self, value):
        body = answer(sent("untyped", "<value/>"), value)
        result = etree.fromstring(body)[0][0][0]
        told = {f"{{{XSI}}}{name}" for name in ("type", "nil")}
        for element in result.iter():
            if element.tag != "item" or element.attrib or not len(element):
                assert told & set(element.attrib)


class TestStyles:
    """Who calls in which style, as is seen from the answer."""

    def is_encoded(self, message):
        body = answer(message, "x")
        return b"<return xsi:type=" in body

    @VERSIONS
    @pytest.mark.parametrize("place", ["Envelope", "Body", "str_"])
    def test_it_may_be_told_anywhere(self, place, version):
        operation = f'<m:str_ xmlns:m="{TNS}"><value>x</value></m:str_>'
        message = envelope(operation, version)
        for prefix in ("s:", "m:"):
            message = message.replace(
                f"<{prefix}{place} ", f"<{prefix}{place} {STYLE[version]} ", 1
            ).replace(f"<{prefix}{place}>", f"<{prefix}{place} {STYLE[version]}>", 1)
        assert self.is_encoded(message)

    def test_types_of_parameters_tell_it(self):
        for attributes, namespace in (("", "m:"), ("", ""), (f'xmlns="{TNS}"', "")):
            message = envelope(
                f'<m:str_ xmlns:m="{TNS}" {attributes}>'
                f'<{namespace}value xsi:type="xsd:string">x</{namespace}value></m:str_>'
            )
            assert self.is_encoded(message)

    def test_types_where_the_schema_has_none_do_not_tell_it(self):
        message = envelope(
            f'<untyped xmlns="{TNS}"><value xsi:type="xsd:long">5</value></untyped>'
        )
        assert arguments(message) == ([5], {})
        assert b'<untypedResponse xmlns="' in answer(message, 5)

    @pytest.mark.parametrize(
        "style", ["", "urn:mine", f"{ENVELOPES['1.2']}/encoding/none"]
    )
    def test_other_encodings_do_not_tell_it(self, style):
        message = envelope(
            f'<m:str_ xmlns:m="{TNS}"><value>x</value></m:str_>',
            attributes=f's:encodingStyle="{style}"',
        )
        assert not self.is_encoded(message)


class TestClients:
    """What clients of many years send."""

    def test_soap_lite(self):
        message = (
            '<?xml version="1.0" encoding="UTF-8"?><soap:Envelope '
            'soap:encodingStyle="http://schemas.xmlsoap.org/soap/encoding/" '
            'xmlns:soap="http://schemas.xmlsoap.org/soap/envelope/" '
            'xmlns:soapenc="http://schemas.xmlsoap.org/soap/encoding/" '
            'xmlns:xsd="http://www.w3.org/2001/XMLSchema" '
            'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"><soap:Body>'
            f'<defaults xmlns="{TNS}"><c-gensym3 xsi:type="xsd:int">1</c-gensym3>'
            '<c-gensym5 xsi:type="xsd:int">2</c-gensym5>'
            '<third xsi:type="xsd:int">7</third></defaults></soap:Body></soap:Envelope>'
        )
        assert arguments(message) == ([1, 2], {"third": 7})

    def test_soap_lite_names_arrays_by_their_type(self):
        message = encoded(
            f'<list_ xmlns="{TNS}"><enc:Array enc:arrayType="xsd:int[1]" '
            'xsi:type="enc:Array"><item xsi:type="xsd:int">1</item></enc:Array></list_>'
        )
        assert arguments(message) == ([[1]], {})

    @pytest.mark.parametrize(
        ("type_", "text", "expected"),
        [
            ("base64Binary", "Z3LDvMOfZQ==", "grüße"),
            ("base64", "Z3LDvMOfZQ==", "grüße"),
            ("int", "007", "007"),
            ("float", "1.50", "1.50"),
            ("string", "x", "x"),
        ],
    )
    def test_guessed_types_do_not_spoil_text(self, type_, text, expected):
        got = read("str_", f'<param0 xsi:type="xsd:{type_}">{text}</param0>')
        assert got == expected

    def test_guessed_types_of_other_values(self):
        for method, type_, text, expected in (
            ("float_", "int", "5", 5.0),
            ("decimal", "float", "1.50", Decimal("1.50")),
            ("decimal", "string", "1.50", Decimal("1.50")),
            ("int_", "string", "5", 5),
            ("bytes_", "string", "abc", b"abc"),
            ("bytes_", "hexBinary", "00ff", b"\x00\xff"),
            ("enum", "string", "red", Color.RED),
            ("bool_", "int", "1", True),
            ("date", "string", "2026-01-02", dt.date(2026, 1, 2)),
            ("union", "string", "5", "5"),
            ("union", "int", "5", 5),
        ):  # fmt: skip
            got = read(method, f'<param0 xsi:type="xsd:{type_}">{text}</param0>')
            assert same(got, expected)

    def test_soappy(self):
        # Of 1999, with names of its own making.
        message = (
            '<?xml version="1.0" encoding="UTF-8"?>\n<SOAP-ENV:Envelope\n'
            '  SOAP-ENV:encodingStyle="http://schemas.xmlsoap.org/soap/encoding/"\n'
            '  xmlns:SOAP-ENC="http://schemas.xmlsoap.org/soap/encoding/"\n'
            '  xmlns:xsi="http://www.w3.org/1999/XMLSchema-instance"\n'
            '  xmlns:SOAP-ENV="http://schemas.xmlsoap.org/soap/envelope/"\n'
            '  xmlns:xsd="http://www.w3.org/1999/XMLSchema">\n<SOAP-ENV:Body>\n'
            f'<ns1:untyped xmlns:ns1="{TNS}" SOAP-ENC:root="1">\n'
            '<v1 SOAP-ENC:arrayType="xsd:int[2]" xsi:type="SOAP-ENC:Array">\n'
            '<item>1</item>\n<item xsi:null="1"/>\n</v1>\n'
            "</ns1:untyped>\n</SOAP-ENV:Body>\n</SOAP-ENV:Envelope>\n"
        )
        assert arguments(message) == ([[1, None]], {})

    def test_php_without_a_wsdl(self):
        message = (
            '<?xml version="1.0" encoding="UTF-8"?>\n'
            '<SOAP-ENV:Envelope xmlns:SOAP-ENV="http://schemas.xmlsoap.org/soap/'
            f'envelope/" xmlns:ns1="{TNS}" '
            'xmlns:xsd="http://www.w3.org/2001/XMLSchema" '
            'xmlns:ns2="http://xml.apache.org/xml-soap" '
            'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" '
            'xmlns:SOAP-ENC="http://schemas.xmlsoap.org/soap/encoding/" '
            'SOAP-ENV:encodingStyle="http://schemas.xmlsoap.org/soap/encoding/">'
            '<SOAP-ENV:Body><ns1:leaf><param0 xsi:type="ns2:Map">'
            '<item><key xsi:type="xsd:string">name</key>'
            '<value xsi:type="xsd:string">oak</value></item>'
            '<item><key xsi:type="xsd:string">size</key>'
            '<value xsi:type="xsd:int">3</value></item>'
            "</param0></ns1:leaf></SOAP-ENV:Body></SOAP-ENV:Envelope>\n"
        )
        assert arguments(message) == ([Leaf("oak", 3)], {})
        # A record with a member named as the items of a map are.
        item = "<item><key>{}</key><value>{}</value></item>"
        line = '<i xsi:type="apache:Map">' + item.format("item", "x") + "</i>"
        content = f'<p0 enc:arrayType="apache:Map[1]">{line}</p0>'
        assert read("lines", content) == [Line("x")]
        struct = (
            '<param0 xsi:type="SOAP-ENC:Struct"><name xsi:type="xsd:string">oak</name>'
            '<size xsi:type="xsd:int">3</size></param0>'
        ).replace("SOAP-ENC", "enc")
        assert read("leaf", struct) == Leaf("oak", 3)

    def test_axis(self):
        message = sent(
            "point",
            f'<arg0 href="#id0" xmlns:enc="{ENC11}"/>',
            beside='<multiRef id="id0" enc:root="0" xsi:type="n:Point" xmlns:n="urn:n">'
            '<x href="#id1"/><y href="#id1"/></multiRef>'
            '<multiRef id="id1" enc:root="0" xsi:type="xsd:long">5</multiRef>',
        )
        assert arguments(message) == ([Point(5, 5)], {})

    def test_ksoap(self):
        message = (
            f'<v:Envelope xmlns:i="http://www.w3.org/2001/XMLSchema-instance" '
            f'xmlns:d="http://www.w3.org/2001/XMLSchema" xmlns:c="{ENC11}" '
            f'xmlns:v="{ENVELOPES["1.1"]}"><v:Header /><v:Body>'
            f'<str_ xmlns="{TNS}" id="o0" c:root="1">'
            '<value i:type="d:string">x</value></str_></v:Body></v:Envelope>'
        )
        assert arguments(message) == (["x"], {})


class TestArrays:
    @pytest.mark.parametrize(
        "shape",
        [
            'xsi:type="enc:Array" enc:arrayType="xsd:anyType[3]"',
            'xsi:type="enc:Array" enc:arrayType="enc:Struct[3]"',
            'enc:arrayType="xsd:int[3]"',
            'xsi:type="enc:Array"',
            "",
        ],
    )
    def test_each_shape(self, shape):
        items = "<a>1</a><b>2</b><item>3</item>"
        assert read("list_", f"<param0 {shape}>{items}</param0>") == [1, 2, 3]

    def test_arrays_without_a_hint(self):
        array = 'xsi:type="enc:Array" enc:arrayType="xsd:int[{}]"'
        content = f"<param0 {array.format(2)}><i>1</i><i>2</i></param0>"
        assert read("untyped", content) == [1, 2]
        assert read("untyped", f"<param0 {array.format(0)}/>") == []
        inner = f"<i {array.format(1)}><i>1</i></i>"
        content = f'<param0 enc:arrayType="xsd:int[][1]">{inner}</param0>'
        assert read("untyped", content) == [[1]]
        shape = 'enc:itemType="xsd:boolean" enc:arraySize="1"'
        content = f"<param0 {shape}><i>1</i></param0>"
        assert read("untyped", content, version="1.2") == [True]

    def test_maps_and_structs_without_a_hint(self):
        item = '<item><key>a b</key><value xsi:type="xsd:int">1</value></item>'
        assert read("untyped", f'<p0 xsi:type="apache:Map">{item}</p0>') == {"a b": 1}
        assert read("untyped", '<p0 xsi:type="apache:Map"/>') == {}
        member = '<a xsi:type="xsd:int">1</a><b xsi:nil="1"/>'
        content = f'<p0 xsi:type="enc:Struct">{member}</p0>'
        assert read("untyped", content) == {"a": 1, "b": None}
        content = f'<p0 xsi:type="enc:Struct"><item>{member}</item></p0>'
        assert read("untyped", content) == {"item": {"a": 1, "b": None}}

    def test_what_is_not_of_its_type_is_refused(self):
        for type_, text in (("int", "x"), ("boolean", "no"), ("dateTime", "today")):
            with pytest.raises(InvalidRequest, match=f"expected {type_}"):
                read("untyped", f'<param0 xsi:type="xsd:{type_}">{text}</param0>')

    def test_unknown_arguments_are_told(self):
        with pytest.raises(
            InvalidParams, match="unknown argument 'vale', did you mean"
        ):
            read("str_", '<vale xsi:type="xsd:string">x</vale>')
        with pytest.raises(InvalidParams, match="got 2 positional arguments"):
            read("str_", "<param0>x</param0><param1>y</param1>")

    def test_arguments_with_and_without_names_may_be_mixed(self):
        content = "<param0>1</param0><second>5</second><rest>6</rest>"
        assert arguments(sent("defaults", content)) == ([1, 5, 6], {})
        with pytest.raises(InvalidParams, match="second: missing, expected before"):
            arguments(sent("defaults", content.replace("second", "third")))


class TestReferences:
    @pytest.mark.parametrize(
        ("version", "reference", "name"),
        [("1.1", 'href="#{}"', 'id="{}"'), ("1.2", 'enc:ref="{}"', 'enc:id="{}"')],
    )
    def test_later_and_inner_ones(self, version, reference, name):
        def call(content, beside=""):
            return read("untyped", content, version=version, beside=beside)

        to, at = reference.format, name.format
        value = f'<x {at("1")} xsi:type="xsd:int">5</x>'
        assert call(f"<p0 {to('1')}/>", value) == 5
        content = f'<p0><a {at("1")} xsi:type="xsd:int">5</a><b {to("1")}/></p0>'
        assert call(content) == {"a": 5, "b": 5}
        content = f"<p0><a {to('2')}/><b {to('1')}/></p0>"
        beside = f"<y {at('2')}><c {to('1')}/></y>{value}"
        assert call(content, beside) == {"a": {"c": 5}, "b": 5}
        assert call(f"<p0 {to('2')}/>", f"<y {at('2')} {to('1')}/>{value}") == 5

    @pytest.mark.parametrize(
        ("content", "beside"),
        [
            ('<p0 href="#1"/>', ""),
            ('<p0 href="#1" id="1"/>', ""),
            ('<p0 href="#1"/>', '<x id="1" href="#2"/><x id="2" href="#1"/>'),
            ('<p0 id="1"><a href="#1"/></p0>', ""),
            ('<p0 href="#1"/>', '<x id="1"><a><b href="#1"/></a></x>'),
            ('<p0 href="#1"/>',
             '<x id="1"><a href="#2"/></x><x id="2"><a href="#1"/></x>'),
        ],
    )  # fmt: skip
    def test_circles_and_ends_are_refused(self, content, beside):
        with pytest.raises(InvalidRequest, match=r"circle|no such id"):
            read("untyped", content, beside=beside)

    def test_bombs_of_elements(self):
        beside = "".join(
            f'<x id="{n}"><a href="#{n + 1}"/><a href="#{n + 1}"/></x>'
            for n in range(40)
        )
        with pytest.raises(ParseError, match="more than 100000 elements"):
            read("untyped", '<p0 href="#0"/>', beside=beside + '<x id="40">x</x>')

    def test_bombs_of_lists(self):
        items = "<i/>" * 30_000
        content = "<p0>" + '<a href="#1"/>' * 30_000 + "</p0>"
        with pytest.raises(ParseError, match="more than 100000 elements"):
            read("untyped", content, beside=f'<x id="1">{items}</x>')

    def test_bombs_of_text(self):
        text = "x" * 1_000_000
        content = "<p0>" + '<a href="#1"/>' * 100 + "</p0>"
        with pytest.raises(ParseError, match="more than 10485760 characters"):
            read("untyped", content, beside=f'<x id="1">{text}</x>')

    def test_bombs_of_depth(self):
        beside = "".join(
            f'<x id="{n}"><a><b href="#{n + 1}"/></a></x>' for n in range(50)
        )
        with pytest.raises(ParseError, match="nested deeper than 64"):
            read("untyped", '<p0 href="#0"/>', beside=beside + '<x id="50"/>')

    def test_what_was_met_further_up_counts_where_it_is_deep(self):
        codec = SOAP(Limits(xml_depth=12), REGISTRY.target)
        beside = f'<x id="1">{"<a>" * 4}1{"</a>" * 4}</x>'
        first = '<i href="#1"/>'

        def value(depth):
            deep = f"{'<i>' * depth}{first}{'</i>' * depth}"
            content = f"<p0>{first}{deep}</p0>"
            return arguments(sent("untyped", content, beside=beside), codec)

        assert value(3)
        with pytest.raises(ParseError, match="nested deeper than 12"):
            value(4)

    def test_long_chains(self):
        beside = "".join(f'<x id="{n}" href="#{n + 1}"/>' for n in range(30_000))
        with pytest.raises(InvalidRequest, match="circle"):
            read("untyped", '<p0 href="#0"/>', beside=beside + '<x id="30000"/>')

    def test_what_is_not_referred_to_does_not_count(self):
        codec = SOAP(Limits(xml_elements=110), REGISTRY.target)
        beside = '<x id="1">' + "<i>1</i>" * 50 + "</x>"
        message = sent("list_", '<p0 href="#1"/>', beside=beside)
        assert arguments(message, codec) == ([[1] * 50], {})


class TestResults:
    def test_in_11(self):
        body = answer(sent("leaf", "<value/>"), Leaf("a<b", 2**40)).decode()
        assert (
            f'<m:leafResponse xmlns:m="{TNS}" xmlns:enc="{ENC11}" '
            'xmlns:apache="http://xml.apache.org/xml-soap" '
            f'soapenv:encodingStyle="{ENC11}"><return xsi:type="enc:Struct">'
            '<name xsi:type="xsd:string">a&lt;b</name>'
            '<size xsi:type="xsd:long">1099511627776</size>'
            '<area xsi:type="xsd:double">2.5</area></return></m:leafResponse>'
        ) in body

    def test_in_12(self):
        body = answer(sent("untyped", "<p0/>", version="1.2"), [{"a": None}]).decode()
        assert (
            '<return xsi:type="enc:Array" enc:itemType="xsd:anyType" '
            'enc:arraySize="1"><item xsi:type="apache:Map"><item>'
            '<key xsi:type="xsd:string">a</key><value xsi:nil="true"/></item></item>'
            '</return><r:result xmlns:r="http://www.w3.org/2003/05/soap-rpc">return'
        ) in body

    def test_no_result(self):
        body = answer(sent("none", ""), None).decode()
        assert "<return" not in body
        etree.fromstring(body.encode())

    def test_the_callers_namespace_is_kept(self):
        name = "m:shop.echo.str_"
        message = encoded(f'<{name} xmlns:m="urn:a&amp;b?&quot;"><p0/></{name}>')
        body = answer(message, "x").decode()
        assert 'xmlns:m="urn:a&amp;b?&quot;"' in body
        message = encoded("<shop.echo.str_><p0/></shop.echo.str_>")
        assert "<str_Response xmlns:enc=" in answer(message, "x").decode()
