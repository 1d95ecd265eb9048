import re

import lxml.etree
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from toolserver import Markup, html, xml

LEGAL = st.characters(
    exclude_categories=["Cs"],
    exclude_characters=[
        *(chr(code) for code in range(32) if chr(code) not in "\t\n\r"),
        *("\ufffe", "\uffff"),
    ],
)
TEXT = st.text(LEGAL | st.sampled_from("<>&'\"]\r\n\t"))
# XML 1.0, section 2.2.
ILLEGAL = re.compile("[\0-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
NAME = st.from_regex(r"[A-Za-z_é][A-Za-z0-9_.é-]*", fullmatch=True)


def read(document):
    return lxml.etree.fromstring(str(document))


@given(NAME, NAME, TEXT, TEXT)
def test_text_comes_out_as_it_went_in(name, attribute, text, value):
    assume(attribute != "xmlns")
    document = xml("root", xml[name]({attribute: value}, text))
    (element,) = read(document)
    assert (element.tag, element.text or "", len(element)) == (name, text, 0)
    assert dict(element.attrib) == {attribute: value}


@given(st.text())
def test_any_text_is_carried_or_refused(text):
    if ILLEGAL.search(text):
        with pytest.raises(ValueError, match="which XML cannot carry"):
            xml("a", text)
        with pytest.raises(ValueError, match="which XML cannot carry"):
            xml("a", b=text)
    else:
        root = read(xml("a", text, b=text))
        assert (root.text or "", root.get("b")) == (text, text)


@given(st.text())
def test_any_name_makes_a_well_formed_document_or_an_error(name):
    try:
        document = xml(name, {name: "x"})
    except (KeyError, ValueError):
        return
    assert read(document).tag == name


def test_namespaces_are_declared_at_the_top():
    document = xml(
        "order",
        xml.item("book", count=2, gift=True, note=None, late=False),
        xml["dc:creator"]({"xml:lang": "de"}, "Ann"),
        ns={"": "urn:example:shop", "dc": "http://purl.org/dc/elements/1.1/"},
    )
    assert document == (
        '<?xml version="1.0"?>\n<order xmlns="urn:example:shop"'
        ' xmlns:dc="http://purl.org/dc/elements/1.1/">'
        '<item count="2" gift="true" late="false">book</item>'
        '<dc:creator xml:lang="de">Ann</dc:creator></order>'
    )
    root = read(document)
    assert [child.tag for child in root] == [
        "{urn:example:shop}item",
        "{http://purl.org/dc/elements/1.1/}creator",
    ]
    assert xml("a", ns="urn:a&b").endswith('<a xmlns="urn:a&amp;b"/>')


def test_a_document_stands_in_another_without_its_declaration():
    inner = xml("inner", "x", doctype="inner", ns="urn:x")
    assert read(xml("outer", inner, [inner])).xpath("count(*)") == 2
    picture = xml("svg", xml.circle(r=5), ns="http://www.w3.org/2000/svg")
    assert html.figure(picture) == (
        '<figure><svg xmlns="http://www.w3.org/2000/svg"><circle r="5"/></svg></figure>'
    )


def test_a_document_may_have_a_type():
    document = xml("plist", doctype='plist PUBLIC "-//Apple//DTD" "http://a/b.dtd"')
    assert read(document).getroottree().docinfo.public_id == "-//Apple//DTD"
    for doctype in ('a [<!ENTITY x "y">]', "a><b", "a PUBLIC"):
        with pytest.raises(ValueError, match=r"doctype|well-formed"):
            xml("a", doctype=doctype)


@pytest.mark.parametrize(
    "content",
    [
        html.br(),
        Markup("<b>"),
        Markup("</a><c/>"),
        Markup("&nbsp;"),
        Markup("\0"),
        Markup("\ud800"),
        xml["dc:creator"]("x"),
        xml.b({"x:y": "z"}),
        html.p(hidden=True),
    ],
)
def test_what_is_not_well_formed_is_refused(content):
    with pytest.raises(ValueError, match="xml: not well-formed"):
        xml("a", content)


@pytest.mark.parametrize("name", ["", "1a", "a b", "a>", ":a", "a:", "a:b:c", "a\n"])
def test_names_that_are_none_are_refused(name):
    with pytest.raises(KeyError, match="expected the name of an element"):
        xml[name]
    with pytest.raises(ValueError, match="expected an attribute's name"):
        xml.a({name: "x"})


@pytest.mark.parametrize("prefix", ["xml", "xmlns", "a b", "1", 'x="y" z'])
def test_prefixes_that_are_none_are_refused(prefix):
    with pytest.raises(ValueError, match=r"well-formed|expected a prefix"):
        xml("a", ns={prefix: "urn:x"})


def test_namespaces_are_no_attributes():
    with pytest.raises(ValueError, match="got the attribute xmlns, expected ns="):
        xml("a", {"xmlns": "urn:x"})


def test_keywords_of_python_have_an_underscore():
    assert xml.class_("x", for_="y", first_name="z") == (
        '<class for="y" first_name="z">x</class>'
    )
    with pytest.raises(AttributeError):
        xml._repr_html_  # noqa: B018
