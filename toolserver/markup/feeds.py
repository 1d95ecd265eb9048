"""RSS: ``rss("News", link, "What is new", rss.item("First", link=…), self_link=…)``.

Spec: RSS 2.0.11 (RSS Advisory Board), with the board's profile for what it leaves open:
dates in English with a zone (RFC 822, RFC 2822), descriptions as escaped HTML, names of
authors as ``dc:creator`` and the feed's own URL as ``atom:link``.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterable
from email.utils import format_datetime
from typing import ClassVar

from markupsafe import Markup, escape

from toolserver.markup.content import Child
from toolserver.markup.documents import XML, make_document, xml

__all__ = ["RSS", "FeedWriter", "rss"]

_SPACES = {
    "atom": "http://www.w3.org/2005/Atom",
    "dc": "http://purl.org/dc/elements/1.1/",
}
_ABSOLUTE = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:[^\s]+")


class RSS(XML):
    """A feed: markup that is sent as RSS."""

    content_type: ClassVar[str] = "application/rss+xml"


class FeedWriter:
    """Called, it writes a feed; `item` writes what is in it."""

    def __call__(
        self,
        title: str,
        link: str,
        description: str,
        *items: Child,
        self_link: str = "",
        language: str = "",
        built: dt.datetime | None = None,
        ttl: dt.timedelta | None = None,
    ) -> RSS:
        """Write a feed.

        Args:
            title: Its name.
            link: Absolute URL of the pages that it is about.
            description: What it is about; plain text is shown as it is, markup as
                HTML.
            *items: What `item` made, the newest first; also iterables of it, and
                further elements of the channel.
            self_link: Absolute URL of the feed itself.
            language: Its language (RFC 5646).
            built: When it last changed; with a zone.
            ttl: How long readers may keep it.

        Returns:
            The feed, which REST sends as ``application/rss+xml``.

        Raises:
            ValueError: A URL is not absolute, or a time has no zone.
        """
        channel = xml.channel(
            xml.title(title),
            xml.link(_absolute("link", link)),
            xml.description(str(escape(description))),
            self_link
            and xml["atom:link"](
                href=_absolute("self_link", self_link),
                rel="self",
                type=RSS.content_type,
            ),
            language and xml.language(language),
            built and xml.lastBuildDate(_date("built", built)),
            ttl is not None and xml.ttl(max(1, ttl // dt.timedelta(minutes=1))),
            items,
        )
        # "<" is escaped in texts: these are tags.
        used = {
            name: url for name, url in _SPACES.items() if f"<{name}:" in str(channel)
        }
        return make_document(xml.rss(channel, version="2.0", ns=used), RSS)

    def item(
        self,
        title: str = "",
        *more: Child,
        link: str = "",
        description: str | Markup = "",
        creator: str = "",
        published: dt.datetime | None = None,
        guid: str = "",
        categories: Iterable[str] = (),
        enclosure: tuple[str, int, str] | None = None,
    ) -> XML:
        """Write an item of a feed.

        Args:
            title: Its name; may be left out where there is a description.
            *more: Further elements.
            link: Absolute URL of its page.
            description: What it says; plain text is shown as it is, markup as HTML.
            creator: Name of who wrote it.
            published: When; with a zone.
            guid: What readers know it by, and never changes; by default its link.
            categories: What it belongs to.
            enclosure: A file: its absolute URL, its length in bytes and its media
                type.

        Returns:
            The item.

        Raises:
            ValueError: It has neither title nor description, a URL is not absolute,
                or a time has no zone.
        """
        if not title and not description:
            raise ValueError("rss item: got neither a title nor a description")
        if enclosure is not None:
            url, length, media_type = enclosure
            more += (
                xml.enclosure(
                    url=_absolute("enclosure", url), length=length, type=media_type
                ),
            )
        # A guid that is no link has to say so.
        identity = xml.guid(guid, isPermaLink=False) if guid else xml.guid(link)
        return xml.item(
            title and xml.title(title),
            link and xml.link(_absolute("link", link)),
            description and xml.description(str(escape(description))),
            creator and xml["dc:creator"](creator),
            map(xml.category, categories),
            (guid or link) and identity,
            published and xml.pubDate(_date("published", published)),
            more,
        )


def _absolute(name: str, url: str) -> str:
    if not _ABSOLUTE.fullmatch(url):
        raise ValueError(f"rss: got {name}={url[:60]!r}, expected an absolute URL")
    return url


def _date(name: str, time: dt.datetime) -> str:
    if time.tzinfo is None:
        raise ValueError(f"rss: got {name}={time}, expected a time with a zone")
    return format_datetime(time.astimezone(dt.UTC), usegmt=True)


rss = FeedWriter()
