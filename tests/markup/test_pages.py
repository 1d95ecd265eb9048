import datetime as dt
import uuid
from decimal import Decimal
from html.parser import HTMLParser

import html5lib
import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolserver import Markup, html

# What HTML has no way to hold: see the test of it.
CARRIED = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))
HOSTILE = st.sampled_from(
    ["</p>", "<script>", '"', "'", "&amp;", "&", "<!--", "]]>", "=", " ", "\n", "\r"]
)
TEXT = st.lists(CARRIED | HOSTILE, max_size=8).map("".join)


class Reader(HTMLParser):
    """What a page consists of, by the standard library."""

    def __init__(self, page):
        super().__init__(convert_charrefs=True)
        self.tags, self.text = [], ""
        self.feed(page)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        self.tags.append(f"/{tag}")

    def handle_data(self, data):
        self.text += data

    def handle_comment(self, data):
        raise AssertionError("a text became a comment")


def test_an_element_says_what_it_is():
    assert repr(html.textarea) == "<element textarea>"


@given(TEXT, TEXT)
def test_text_comes_out_as_it_went_in_and_stays_in_its_place(text, value):
    written = html.p(html.b(text), title=value, data_x=Markup(value))
    reader = Reader(str(written))
    attributes = {"title": value, "data-x": value}
    assert reader.tags == [("p", attributes), ("b", {}), "/b", "/p"]
    assert reader.text == text


@given(TEXT, TEXT)
def test_a_parser_by_the_standard_reads_the_same(text, value):
    elements = (html.div, html.pre, html.textarea, html.title)
    written = "".join(element(text, title=value) for element in elements)
    found = html5lib.parseFragment(written, namespaceHTMLElements=False)
    assert [element.tag for element in found] == ["div", "pre", "textarea", "title"]
    for element in found:
        read = element.text or "", element.get("title"), len(element)
        assert read == (text, value, 0)


def test_line_ends_in_front_are_kept():
    # A browser drops one line feed there (HTML Standard, 13.2.6.4.7).
    assert html.pre("\nx") == "<pre>\n\nx</pre>"
    assert html.pre("x") == "<pre>x</pre>"


def test_what_a_page_cannot_hold_is_shown_as_such():
    assert html.p("a\0b\ud800c\udcff", id="\0") == (
        '<p id="\ufffd">a\ufffdb\ufffdc\ufffd</p>'
    )
    assert html.p("a\r\nb") == "<p>a&#13;\nb</p>"


def test_children_nest_and_flatten():
    names = ["Ann", "Bob"]
    assert html.ul(html.li(name) for name in names) == (
        "<ul><li>Ann</li><li>Bob</li></ul>"
    )
    assert html.p("a", [html.b("b"), ("c", [["d"]])], None, False, 1, 2.5) == (
        "<p>a<b>b</b>cd12.5</p>"
    )
    assert html.p(Markup("<i>x</i>"), "<i>") == "<p><i>x</i>&lt;i&gt;</p>"
    assert type(html.p("x")) is Markup


def test_numbers_dates_and_identifiers_are_text():
    when = dt.datetime(2026, 3, 1, 12, 30, tzinfo=dt.UTC)
    assert html.time(when.date(), datetime=when) == (
        '<time datetime="2026-03-01T12:30:00+00:00">2026-03-01</time>'
    )
    assert html.p(Decimal("1.50"), id=uuid.UUID(int=1)) == (
        '<p id="00000000-0000-0000-0000-000000000001">1.50</p>'
    )


def test_attributes_by_keyword_and_by_mapping():
    assert html.label("x", class_=["a", None, False, "b"], for_="y", data_id=3) == (
        '<label class="a b" for="y" data-id="3">x</label>'
    )
    assert html.input(required=True, disabled=False, value=None, name="") == (
        '<input required name="">'
    )
    assert html.p({"x-on:click.away": "open = 1"}, "y", hidden=True) == (
        '<p hidden x-on:click.away="open = 1">y</p>'
    )


def test_markup_is_no_markup_in_an_attribute():
    assert html.a("x", title=html.b('"')) == (
        '<a title="&lt;b&gt;&amp;#34;&lt;/b&gt;">x</a>'
    )


def test_documents_begin_with_what_browsers_need():
    page = html.document("A & B", html.p("x"), lang="de", head=html.style("p{}"))
    assert page == (
        '<!doctype html>\n<html lang="de"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        "<title>A &amp; B</title><style>p{}</style></head>"
        "<body><p>x</p></body></html>\n"
    )
    assert html.html().startswith("<!doctype html>\n<html>")


def test_custom_elements_have_hyphens():
    assert html.my_widget("x") == html["my-widget"]("x") == "<my-widget>x</my-widget>"


def test_elements_that_html_does_not_have_are_refused():
    with pytest.raises(AttributeError, match="got 'dvi', expected an element of HTML"):
        html.dvi  # noqa: B018
    for name in ("", "p x", "my-widget>", "P", "a/b", "-x", "p\n"):
        with pytest.raises(KeyError):
            html[name]
    assert {"p", "br", "script", "document"} <= set(dir(html))


@pytest.mark.parametrize(
    "name", ["", "a b", "a=b", "a>b", "a/b", '"', "'", "<", "\0", "a\n", "\x7f"]
)
def test_names_of_attributes_cannot_end_their_place(name):
    with pytest.raises(ValueError, match="expected an attribute's name"):
        html.p({name: "x"})


@pytest.mark.parametrize(
    "url",
    [
        *("javascript:alert(1)", "JavaScript:x", " \x01javascript:x"),
        *("java\nscript:x", "java\tscript\r:x", "vbscript:x"),
    ],
)
def test_links_run_no_script(url):
    with pytest.raises(ValueError, match="expected a URL that runs no script"):
        html.a("x", href=url)
    with pytest.raises(ValueError, match="expected a URL"):
        html.button("x", formaction=url)
    with pytest.raises(ValueError, match="expected a URL"):
        html.a({"HREF": Markup(url)}, "x")
    assert html.p(title=url)


def test_other_links_pass():
    for url in ("/javascript:x", "?q=javascript:", "https://a/?b=c&d", "mailto:a@b"):
        assert Reader(str(html.a(href=url))).tags[0] == ("a", {"href": url})


def test_what_runs_as_script_has_to_be_marked():
    with pytest.raises(ValueError, match="onclick as plain text, expected Markup"):
        html.button("x", onclick="send()")
    with pytest.raises(ValueError, match="OnClick as plain text"):
        html.p({"OnClick": "send()"})
    with pytest.raises(ValueError, match="srcdoc"):
        html.iframe(srcdoc="<p>")
    assert html.button(onclick=Markup("a < 'b'")) == (
        '<button onclick="a &lt; &#39;b&#39;"></button>'
    )


def test_scripts_and_styles_are_not_escaped_and_cannot_be_left():
    assert html.script("if (a < b && c) {}") == "<script>if (a < b && c) {}</script>"
    assert (
        html.style("a > b { content: '<' }") == "<style>a > b { content: '<' }</style>"
    )
    for content in ("x</script >", "</SCRIPT", "<!--<script>", "<script"):
        with pytest.raises(ValueError, match="which could end it"):
            html.script(content)
        with pytest.raises(ValueError, match="which could end it"):
            html.script(Markup(content))
    with pytest.raises(ValueError, match="which could end it"):
        html.style("a{}</style><b>")


def test_void_elements_have_no_children():
    assert html.br() == "<br>"
    assert html.img({"src": "a.png"}, alt="") == '<img alt="" src="a.png">'
    with pytest.raises(ValueError, match="br: got children"):
        html.br("x")


@pytest.mark.parametrize("child", [b"x", {"a": 1}, True, object(), 1j])
def test_children_that_nobody_meant_are_refused(child):
    with pytest.raises(TypeError, match="p: got a child of type"):
        html.p("x", child)


@pytest.mark.parametrize("value", [b"x", {"a": "b"}, object()])
def test_values_that_nobody_meant_are_refused(value):
    with pytest.raises(TypeError, match="p: got title of type"):
        html.p(title=value)


def test_an_attribute_is_given_once():
    with pytest.raises(ValueError, match="twice"):
        html.p({"class": "a"}, class_="b")
