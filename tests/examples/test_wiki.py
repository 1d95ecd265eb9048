"""The wiki example, as its readers and writers use it."""

import datetime as dt
import os
import re
import xmlrpc.client
from pathlib import Path
from urllib.parse import quote, unquote

import feedparser
import gevent
import html5lib
import pytest
import wiki
from hypothesis import given
from hypothesis import strategies as st
from wiki import EditConflict, Wiki
from wiki.markdown import render_text
from wiki.names import page_name, page_path

import toolserver.testing
from toolserver.errors import InvalidParams

PAGE = {"Accept": "text/html"}
DATA = {"Accept": "application/json"}


@pytest.fixture
def server(tmp_path):
    settings = {"wiki": {"most_pages": 20, "most_revisions": 5}}
    with toolserver.testing.serve(Wiki, settings=settings, home=tmp_path) as running:
        yield running


def save(server, page, text, base=0, **more):
    form = {"page": page, "text": text, "base": base, **more}
    return server.http.post("/wiki/write", data=form, headers=PAGE)


def show(server, path):
    return server.http.get(f"/wiki/{path}", headers=PAGE)


def test_a_visitor_writes_a_page_and_everybody_reads_a_file(server, tmp_path):
    assert "There are no pages yet" in show(server, "").text
    assert "Write it</a>" in show(server, "page/Garden/").text
    form = show(server, "edit?page=Garden")
    assert '<input type="hidden" name="page" value="Garden">' in form.text
    answer = save(server, "Garden", "We have *roses*.", author="Ann", note="First")
    assert [step.status_code for step in answer.history] == [303]
    assert answer.url == server.url("/wiki/page/Garden/")
    assert "<p>We have <em>roses</em>.</p>" in answer.text
    assert " by Ann" in answer.text
    # A static file, with all that goes with it.
    assert answer.headers["accept-ranges"] == "bytes"
    file = tmp_path / "www" / "wiki" / "page" / "Garden" / "index.html"
    assert file.read_text() == answer.text
    known = {"If-None-Match": answer.headers["etag"]}
    assert server.http.get("/wiki/page/Garden/", headers=known).status_code == 304
    assert '<a href="page/Garden/">Garden</a>' in show(server, "").text
    assert show(server, "style.css").headers["content-type"].startswith("text/css")


def test_a_page_without_its_file_is_rendered_again(server, tmp_path):
    page = save(server, "Garden", "We have roses.").text
    file = tmp_path / "www" / "wiki" / "page" / "Garden" / "index.html"
    file.unlink()
    assert show(server, "page/Garden/").text == page
    assert file.read_text() == page
    assert show(server, "page/Garden").url == server.url("/wiki/page/Garden/")


def test_links_tell_whether_there_is_a_page(server):
    save(server, "Garden", "See [[Roses]] and [[Beds/Front|the bed]].")
    text = show(server, "page/Garden/").text
    assert 'href="../../edit?page=Roses"' in text
    assert text.count('class="missing"') == 2
    save(server, "Roses", "Red.")
    save(server, "Beds/Front", "Back to [[Garden]].")
    text = show(server, "page/Garden/").text
    assert '<a href="../../page/Roses/">Roses</a>' in text
    assert '<a href="../../page/Beds/Front/">the bed</a>' in text
    assert "missing" not in text
    assert 'href="../../../page/Garden/"' in show(server, "page/Beds/Front/").text
    save(server, "Roses", "", base=1)
    assert show(server, "page/Garden/").text.count('class="missing"') == 1


def test_a_page_that_is_taken_away_keeps_its_history(server, tmp_path):
    save(server, "Garden", "We have roses.")
    answer = save(server, "Garden", "", base=1, note="No longer")
    assert answer.status_code == 404
    assert not (tmp_path / "www/wiki/page/Garden/index.html").exists()
    assert "Garden" not in show(server, "list").text
    assert "taken away" in show(server, "changes").text
    assert server.http.get("/wiki/read?page=Garden", headers=DATA).status_code == 404
    old = server.http.get("/wiki/read?page=Garden&revision=1", headers=DATA).json()
    assert old["text"] == "We have roses."
    assert (
        "We have roses.</textarea>" in show(server, "edit?page=Garden&revision=1").text
    )
    # Who did not see that it was there once may write it, too.
    assert save(server, "Garden", "Roses again.").status_code == 200
    assert server.call("wiki.read", "Garden").number == 3


def test_of_two_edits_at_once_none_is_lost(server):
    save(server, "Garden", "Old.")
    save(server, "Garden", "We have <roses>.", base=1, author="Ann")
    answer = save(
        server, "Garden", "\nWe have <tulips>.", base=1, author="Bob", note="x"
    )
    assert answer.status_code == 409
    assert "somebody else has changed the page in between" in answer.text
    assert (
        '<pre class="theirs" tabindex="0">We have &lt;roses&gt;.</pre>' in answer.text
    )
    assert ">\n\nWe have &lt;tulips&gt;.</textarea>" in answer.text
    assert 'value="Bob"' in answer.text
    (base,) = re.findall(r'name="base" value="(\d+)"', answer.text)
    answer = save(server, "Garden", "We have both.", base=base)
    assert answer.status_code == 200
    assert "We have both." in answer.text
    texts = [server.call("wiki.read", "Garden", number).text for number in (1, 2, 3)]
    assert texts == ["Old.", "We have <roses>.", "We have both."]


def test_programs_learn_of_a_conflict(server):
    save(server, "Garden", "One.")
    save(server, "Garden", "Two.", base=1)
    edit = {"page": "Garden", "text": "Three.", "base": 1}
    answer = server.http.post("/wiki/write", json=edit, headers=DATA)
    assert answer.status_code == 409
    assert (answer.json()["revision"], answer.json()["text"]) == (2, "Two.")
    with (
        xmlrpc.client.ServerProxy(server.url("/RPC2")) as proxy,
        pytest.raises(xmlrpc.client.Fault, match="revision 2 in between") as caught,
    ):
        proxy.wiki.write("Garden", "Three.", 1)
    assert caught.value.faultCode == EditConflict.code


def test_programs_write_and_read(server):
    edit = {"page": "Garden ", "text": "One.", "author": "Ann"}
    answer = server.http.post("/wiki/write", json=edit, headers=DATA).json()
    assert (answer["page"], answer["number"], answer["author"]) == ("Garden", 1, "Ann")
    # What takes anything is shown the page.
    answer = server.http.post("/wiki/write", json=edit)
    assert answer.url == server.url("/wiki/page/Garden/")
    with xmlrpc.client.ServerProxy(server.url("/RPC2")) as proxy:
        assert proxy.wiki.write("Garden", "Two.", 1)["number"] == 2
        assert proxy.wiki.read("Garden")["text"] == "Two."
        assert [hit["page"] for hit in proxy.wiki.search("two")] == ["Garden"]


def test_links_hold_with_a_slash_at_the_end(server):
    save(server, "Garden", "One.")
    assert '<a href="../page/Garden/">Garden</a>' in show(server, "list/").text


def test_of_many_writers_one_wins(server, tmp_path):
    save(server, "Garden", "Old.")

    def write(where, number):
        try:
            return where.call("wiki.write", "Garden", f"Text {number}.", 1).number
        except EditConflict:
            return None

    # Each server has an instance of its own, as each worker process has.
    with toolserver.testing.serve(Wiki, home=tmp_path) as other:
        writers = [
            gevent.spawn(write, where, number)
            for number, where in enumerate([server, other] * 5)
        ]
        gevent.joinall(writers, raise_error=True)
    assert [w.value for w in writers if w.value is not None] == [2]
    assert server.call("wiki.read", "Garden").text in show(server, "page/Garden/").text


def test_sending_a_form_twice_is_no_conflict(server):
    save(server, "Garden", "One.")
    assert save(server, "Garden", "Two.", base=1).status_code == 200
    assert save(server, "Garden", "Two.\r\n", base=1).status_code == 200
    assert server.call("wiki.read", "Garden").number == 2


def test_texts_of_strangers_stay_text(server):
    text = (
        "<script>alert(1)</script> <b onclick=x>\n\n[x](javascript:alert(1))"
        ' ![y](https://elsewhere.example/y.png) [[a"><b>]] [[Name|<i>]] `<u>`\n\n'
        '<div>\nblock\n</div>\n\n[z](https://example.org/?a=1&b="<s>")'
    )
    hostile = '"><script>'
    answer = save(server, "Garden", text, author=hostile, note=hostile)
    found = html5lib.parse(answer.text, namespaceHTMLElements=False)
    names = {element.tag for element in found.iter()}
    assert names.isdisjoint({"script", "b", "i", "u", "s", "img", "div"})
    links = [element.get("href") for element in found.iter("a")]
    assert not any(link.startswith("javascript") for link in links)
    for path in ("changes", "history?page=Garden", "read?page=Garden&revision=1"):
        assert "<script" not in show(server, path).text
    assert "<script" not in show(server, "search?words=" + quote('script "><b>')).text
    editor = html5lib.parse(show(server, "edit?page=Garden").text)
    (field,) = (item for item in editor.iter() if item.tag.endswith("textarea"))
    assert field.text == text


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("Größe", "page/Gr%C3%B6%C3%9Fe/"),
        ("Gro\u0308ße", "page/Gr%C3%B6%C3%9Fe/"),
        ("日本 庭", "page/%E6%97%A5%E6%9C%AC%20%E5%BA%AD/"),
        ("  Two   words ", "page/Two%20words/"),
        ("a/b/c", "page/a/b/c/"),
        (
            "What? (Who's & 50 €)",
            "page/What%3F%20%28Who%27s%20%26%2050%20%E2%82%AC%29/",
        ),
        ("\N{SUNFLOWER} " + "ä" * 50, None),
    ],
)
def test_names_in_any_script(server, name, path):
    answer = save(server, name, f"See [[{name}]].", base=0)
    assert answer.status_code == 200
    path = path or f"page/{quote(name)}/"
    assert answer.url == server.url(f"/wiki/{path}")
    assert "missing" not in answer.text
    assert answer.headers["accept-ranges"] == "bytes"
    assert show(server, f"history?page={quote(name)}").status_code == 200
    assert show(server, f"page/{quote(name)}").url == answer.url
    assert len(server.call("wiki.list")) == 1


@pytest.mark.parametrize(
    "name",
    [
        *("", " ", "/", "a//b", "/etc/passwd", "..", "../x", "a/../../x", ".hidden"),
        *("a/.", "a\\b", "a\0b", "<b>", "a|b", "[[a]]", "index.html", "%2e%2e"),
        *("a/INDEX.html", "\u202eabc", "x" * 61, "ä" * 600, "a/b/c/d/e/f", "\udcff"),
    ],
)
def test_names_that_lead_elsewhere_are_refused(server, tmp_path, name):
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(InvalidParams):
        server.call("wiki.write", name, "x")
    if "\udcff" not in name:
        answer = save(server, name, "my text")
        assert answer.status_code == 400
        assert "my text</textarea>" in answer.text
        assert show(server, f"edit?page={quote(name)}").status_code == 400
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    "path", ["%2E%2E%2F%2E%2E%2Fvar", "a%2F..%2F..%2Fb", "%FF", "%00", "a%0Ab"]
)
def test_paths_that_lead_elsewhere_are_refused(server, path):
    answer = show(server, f"page/{path}/")
    assert answer.status_code in (400, 404)


@given(st.text(max_size=40) | st.text("./\\\0 aÄ%~\u0308", max_size=12))
def test_names_have_one_form_and_stay_below_the_wiki(text):
    try:
        name = page_name(text)
    except InvalidParams:
        return
    assert page_name(name) == name
    root = Path("/wiki")
    path = Path(os.path.normpath(root / unquote(page_path(name))))
    assert path == root / "page" / name
    assert not any(part.startswith(".") for part in path.parts)


WORDS = ["[[", "]]", "|", "[", "](", ")", "<b>", "</p>", '"', "`", "*", "\n", "# ", "&"]


@given(st.lists(st.sampled_from(WORDS) | st.text(max_size=5), max_size=20).map("".join))
def test_any_text_is_a_page_without_foreign_elements(text):
    page = render_text(text, {"a"}, "../")
    found = html5lib.parseFragment(page, namespaceHTMLElements=False)
    allowed = "a blockquote br code em h2 h3 h4 h5 h6 hr li ol p pre span strong ul"
    tables = "table tbody td th thead tr DOCUMENT_FRAGMENT"
    names = {element.tag for element in found.iter()}
    assert names <= {*allowed.split(), *tables.split()}


def test_history_tells_what_changed(server):
    save(server, "Garden", "Roses\nTulips", author="Ann", note="A start")
    save(server, "Garden", "Roses\nLilies", base=1, author="Bob")
    text = show(server, "history?page=Garden").text
    assert text.index("Revision 2") < text.index("Revision 1")
    assert "A start" in text
    text = show(server, "read?page=Garden&revision=2").text
    assert "<span>  Roses</span><del>- Tulips</del><ins>+ Lilies</ins>" in text
    assert "<ins>+ Roses</ins>" in show(server, "read?page=Garden&revision=1").text
    changes = server.http.get("/wiki/history?page=Garden", headers=DATA).json()
    assert [change["number"] for change in changes] == [2, 1]
    assert "text" not in changes[0]
    assert show(server, "history?page=Nope").status_code == 404
    assert show(server, "read?page=Garden&revision=9").status_code == 404


def test_pages_are_found_by_their_words(server):
    save(server, "Garden", "Roses and tulips.")
    save(server, "Tulips", "x" * 500 + " and ROSES.")
    save(server, "Weather", "Rain.")
    text = show(server, "search?words=tulips+roses").text
    assert "2 pages found" in text
    assert "<mark>ROSES</mark>" in text
    found = server.http.get("/wiki/search?words=tulips", headers=DATA).json()
    assert [hit["page"] for hit in found] == ["Tulips", "Garden"]
    assert max(len(hit["excerpt"]) for hit in found) < 300
    assert server.call("wiki.search", "no such words") == []
    assert show(server, "search?words=").status_code == 400


def test_changes_are_a_feed(server):
    save(server, "Garden/Roses", "Red & green.", author="Ann", note="First <b>")
    save(server, "Weather", "Rain.")
    save(server, "Garden/Roses", "Red.", base=1, author="Bob", note="Better")
    answer = show(server, "feed")
    assert answer.headers["content-type"] == "application/rss+xml"
    feed = feedparser.parse(answer.content)
    assert not feed.bozo
    assert [entry.title for entry in feed.entries] == ["Garden/Roses", "Weather"]
    first = feed.entries[0]
    assert (first.author, first.summary) == ("Bob", "Better")
    assert server.http.get(first.link).status_code == 200
    written = dt.datetime(*first.published_parsed[:6], tzinfo=dt.UTC)
    assert dt.datetime.now(dt.UTC) - written < dt.timedelta(minutes=1)


def test_pages_of_other_sites_cannot_write(server):
    form = {"page": "Garden", "text": "Spam."}
    headers = {**PAGE, "Sec-Fetch-Site": "cross-site"}
    answer = server.http.post("/wiki/write", data=form, headers=headers)
    assert answer.status_code == 403
    assert server.call("wiki.list") == []
    headers["Sec-Fetch-Site"] = "same-origin"
    answer = server.http.post("/wiki/write", data=form, headers=headers)
    assert answer.status_code == 200
    # Links from other sites are welcome.
    headers["Sec-Fetch-Site"] = "cross-site"
    for path in ("page/Garden/", "search?words=spam", "edit?page=Garden"):
        assert server.http.get(f"/wiki/{path}", headers=headers).status_code == 200


def test_there_are_bounds(server):
    for number in range(20):
        server.call("wiki.write", f"Page {number}", "x")
    answer = save(server, "Another", "My text")
    assert answer.status_code == 409
    assert "there are 20 pages already" in answer.text
    assert "My text</textarea>" in answer.text
    for number in range(1, 5):
        server.call("wiki.write", "Page 1", f"x{number}", number)
    assert "has 5 revisions" in save(server, "Page 1", "y", base=5).text
    answer = save(server, "Page 2", "y" * 20_001, base=1)
    assert answer.status_code == 400
    assert "y" * 20_001 in answer.text
    assert save(server, "New", "").status_code == 400


def test_pages_outlive_the_server(server, tmp_path):
    save(server, "Garden", "We have roses.")
    file = tmp_path / "www" / "wiki" / "page" / "Garden" / "index.html"
    rendered = file.read_text()
    file.write_text("as an older version rendered it")
    with toolserver.testing.serve(Wiki, home=tmp_path) as other:
        assert show(other, "page/Garden/").text == rendered
        assert other.call("wiki.read", "Garden").text == "We have roses."


def test_pages_are_html_without_mistakes(server):
    save(
        server,
        "Garden",
        "# One\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\n```\nx\n```\n[[x]]",
    )
    save(server, "Garden", "Other.", base=1, author="Ann", note="Note")
    conflict = save(server, "Garden", "Mine.", base=1)
    paths = ["", "list", "changes", "search?words=other", "search?words=nothing"]
    paths += ["page/Garden/", "page/Nope/", "edit?page=Garden", "edit?page=%3C"]
    paths += ["history?page=Garden", "read?page=Garden&revision=2"]
    for answer in (conflict, *(show(server, path) for path in paths)):
        assert answer.headers["content-type"] == "text/html; charset=utf-8"
        parser = html5lib.HTMLParser(strict=True, namespaceHTMLElements=False)
        found = parser.parse(answer.text)
        assert found.get("lang") == "en"
        assert len(found.findall(".//h1")) == 1
        # Nothing is asked of other hosts, and nothing runs.
        assert not found.findall(".//script")
        assert not found.findall(".//img")
        (style,) = found.findall(".//link[@rel='stylesheet']")
        assert show(server, "style.css").ok
        assert style.get("href").removesuffix("style.css").strip("./") == ""
        labelled = {id(field) for field in found.findall(".//label/*")}
        for field in (*found.iter("input"), *found.iter("textarea")):
            hidden = field.get("type") == "hidden"
            assert hidden or field.get("aria-label") or id(field) in labelled


STYLE = (Path(wiki.__file__).parent / "style.css").read_text()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(
    ("front", "back"),
    [
        *(("text", ground) for ground in ("ground", "raised", "mark", "gone", "new")),
        *(("quiet", ground) for ground in ("ground",)),
        *(("link", ground) for ground in ("ground",)),
        *(("missing", ground) for ground in ("ground",)),
    ],
)
def test_colours_can_be_told_apart(scheme, front, back):
    light, dark = re.findall(r":root \{(.*?)\}", STYLE, re.S)
    colours = dict(re.findall(r"--(\w+): (#\w+)", light))
    if scheme == "dark":
        colours |= dict(re.findall(r"--(\w+): (#\w+)", dark))
    lighter, darker = sorted(
        (luminance(colours[front]), luminance(colours[back])), reverse=True
    )
    # WCAG 2.2, success criterion 1.4.3.
    assert (lighter + 0.05) / (darker + 0.05) >= 4.5


def luminance(colour):
    digits = colour[1:] if len(colour) == 7 else "".join(d * 2 for d in colour[1:])
    channels = [int(digits[place : place + 2], 16) / 255 for place in (0, 2, 4)]
    linear = [
        c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels
    ]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
