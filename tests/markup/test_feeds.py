import datetime as dt
from email.utils import parsedate_to_datetime

import feedparser
import lxml.etree
import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolserver import Markup, html, rss, xml

WHEN = dt.datetime(2026, 3, 1, 12, tzinfo=dt.timezone(dt.timedelta(hours=2)))
SITE = "https://example.org/wiki/"


def news(*items, **more):
    return rss("News & <views>", SITE, "What is new", *items, **more)


def test_a_reader_of_feeds_understands_it():
    feed = news(
        rss.item(
            "First & foremost",
            link=SITE + "first?a=1&b=2",
            description=html.p("It is ", html.b("here"), " & now"),
            creator="Ann Lee",
            published=WHEN,
            categories=["one", "two"],
            enclosure=(SITE + "a.ogg", 1234, "audio/ogg"),
        ),
        rss.item(description="2 < 3 & 4", guid="note-2"),
        self_link=SITE + "changes.rss",
        language="en",
        built=WHEN,
        ttl=dt.timedelta(hours=1),
    )
    found = feedparser.parse(str(feed).encode())
    assert not found.bozo
    assert found.version == "rss20"
    assert found.feed.link == SITE
    assert found.feed.language == "en"
    assert found.feed.ttl == "60"
    assert {"rel": "self", "href": SITE + "changes.rss"}.items() <= max(
        found.feed.links, key=lambda link: link.rel == "self"
    ).items()
    first, second = found.entries
    assert first.title == "First & foremost"
    assert first.link == first.id == SITE + "first?a=1&b=2"
    assert first.summary == "<p>It is <b>here</b> &amp; now</p>"
    assert first.author == "Ann Lee"
    assert first.published_parsed[:5] == (2026, 3, 1, 10, 0)
    assert [tag.term for tag in first.tags] == ["one", "two"]
    (enclosure,) = first.enclosures
    assert (enclosure.href, enclosure.length) == (SITE + "a.ogg", "1234")
    assert second.id == "note-2"
    assert not second.guidislink
    assert second.summary == "2 &lt; 3 &amp; 4"


@given(st.text(st.characters(exclude_categories=["Cs", "Cc"], codec="utf-8")))
def test_text_comes_out_as_it_went_in(text):
    text = text.replace("\ufffe", "").replace("\uffff", "") or "x"
    feed = rss(text, SITE, text, rss.item(text, description=text, creator=text))
    channel = lxml.etree.fromstring(str(feed))[0]
    assert channel.findtext("title") == channel.findtext("item/title") == text
    # Descriptions are HTML, escaped once more.
    for described in (channel, channel.find("item")):
        assert Markup(described.findtext("description")) == Markup.escape(text)


def test_times_are_those_of_mail():
    channel = lxml.etree.fromstring(str(news(built=WHEN)))[0]
    assert channel.findtext("lastBuildDate") == "Sun, 01 Mar 2026 10:00:00 GMT"
    assert parsedate_to_datetime(channel.findtext("lastBuildDate")) == WHEN
    with pytest.raises(ValueError, match="expected a time with a zone"):
        news(built=WHEN.replace(tzinfo=None))


def test_namespaces_are_declared_where_they_are_used():
    assert "xmlns" not in news(rss.item("<dc:creator>"))
    assert news(rss.item("x", creator="Ann")).count("xmlns") == 1
    assert "xmlns:atom" in news(self_link=SITE)
    media = xml["media:rating"]("x", ns={"media": "http://search.yahoo.com/mrss/"})
    assert "<media:rating" in news(rss.item("x", media))


@pytest.mark.parametrize("url", ["/wiki", "wiki", "//a/b", "", "http://a b"])
def test_links_are_absolute(url):
    with pytest.raises(ValueError, match="expected an absolute URL"):
        rss("x", url, "y")
    with pytest.raises(ValueError, match="expected an absolute URL"):
        rss.item("x", enclosure=(url, 1, "a/b"))


def test_an_item_says_something():
    with pytest.raises(ValueError, match="neither a title nor a description"):
        rss.item(link=SITE)
