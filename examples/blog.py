"""A blog: each post is a tool of its own, and so is each comment.

Posts are files, one each. A post's tool reads its file when somebody asks for the post,
and is forgotten when nobody has asked for a while.

    curl -d 'title=A first note' -d 'text=It works.' localhost:4334/blog/create
    curl localhost:4334/blog/list
    curl -H 'Accept: application/json' localhost:4334/blog/2026-03-01-a-first-note/show
    tsctl call blog.2026-03-01-a-first-note.comment author=Ann text=Fine.
"""

from __future__ import annotations

import datetime as dt
import os
import re
import unicodedata
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import msgspec
from msgspec import Meta

from toolserver import (
    FactoryTool,
    Markup,
    Request,
    Response,
    TransientFactoryTool,
    TransientTool,
    destructive,
    expose,
    generator,
    hidden,
    html,
    read_only,
    redirect,
    register,
    rest,
)
from toolserver.errors import Conflict

Line = Annotated[str, Meta(min_length=1, max_length=100)]
Text = Annotated[str, Meta(min_length=1, max_length=20_000)]

_STYLE = html.style("""
:root { color-scheme: light dark; font: 1.05rem/1.6 system-ui, sans-serif; }
body { margin: 2rem auto; max-width: 40rem; padding: 0 1rem; overflow-wrap: anywhere; }
h1 { line-height: 1.2; }
h2 { margin-top: 2.5rem; }
ul { list-style: none; padding: 0; }
time { font-size: .85em; opacity: .8; white-space: nowrap; }
article, li { white-space: pre-line; }
form { display: grid; gap: .75rem; }
input, textarea, button { font: inherit; padding: .4rem .6rem; }
input, textarea { box-sizing: border-box; display: block; width: 100%; }
button { justify-self: start; }
""")


def _page(title: str, *content: Markup) -> Markup:
    return html.document(title, html.h1(title), *content, head=_STYLE)


def _form(action: str, button: str, *fields: Markup) -> Markup:
    return html.form(*fields, html.button(button), method="post", action=action)


def _time(written: dt.datetime) -> Markup:
    return html.time(
        f"{written:%Y-%m-%d %H:%M}", datetime=written.isoformat(timespec="seconds")
    )


def _line(label: str, name: str) -> Markup:
    return html.label(label, html.input(name=name, required=True, maxlength=100))


def _text(label: str, rows: int) -> Markup:
    return html.label(label, html.textarea(name="text", rows=rows, required=True))


@dataclass(frozen=True)
class BlogSettings:
    """The section ``[tool.blog]`` of the configuration may change these.

    Attributes:
        title: What stands above the list of posts.
        folder: Where the posts are; empty for a folder that goes with the server.
        most_posts: How many posts there may be.
        most_comments: How many comments a post may have.
    """

    title: str = "Notes"
    folder: str = ""
    most_posts: int = 1000
    most_comments: int = 200


@dataclass
class Remark:
    """What a reader has to say.

    Attributes:
        author: Who says it.
        text: What.
        written: When.
    """

    author: str
    text: str
    written: dt.datetime


@dataclass
class Article:
    """A post as it is kept in its file.

    Attributes:
        title: Its title.
        text: Its text.
        written: When it was published.
        comments: The comments by their numbers.
        next_comment: The number of the next comment.
    """

    title: str
    text: str
    written: dt.datetime
    comments: dict[str, Remark] = field(default_factory=dict)
    next_comment: int = 1


@dataclass(frozen=True)
class Summary:
    """A line of the list of posts.

    Attributes:
        key: Names the post: its tool is ``blog.<key>``.
        title: Its title.
        written: When it was published.
    """

    key: str
    title: str
    written: dt.datetime


class Comment(TransientTool):
    """A comment: ``/blog/<post>/comments/<number>/``."""

    parent: Comments

    @read_only
    def show(self) -> Remark:
        """The comment."""
        return self.parent.parent.article.comments[self.key]

    @destructive
    def remove(self) -> None:
        """Take the comment away; its number is not used again."""
        post = self.parent.parent
        del post.article.comments[self.key]
        post.save()
        self.parent.forget(self.key)


class Comments(TransientFactoryTool):
    """The comments of a post: ``/blog/<post>/comments/``."""

    children = (Comment,)
    parent: Post

    def child_keys(self) -> list[str]:
        """The numbers of the comments; by default these are the keys that exist."""
        return list(self.parent.article.comments)

    @expose("list")
    @read_only
    def list_comments(self) -> dict[str, Remark]:
        """The comments by their numbers."""
        return self.parent.article.comments


class Post(TransientFactoryTool):
    """A post: ``/blog/<key>/``."""

    children = (Comments,)
    parent: Blog

    def on_start(self) -> None:
        """Read the post from its file."""
        self.article = msgspec.json.decode(
            self.parent.file(self.key).read_bytes(), type=Article
        )

    def child_keys(self) -> tuple[str, ...]:
        """A post has one place for all its comments."""
        return ("comments",)

    @read_only
    def show(self) -> Article:
        """The post with its comments."""
        return self.article

    def comment(self, author: Line, text: Text) -> str:
        """Comment on the post.

        Args:
            author: Who comments.
            text: What they have to say.

        Returns:
            The number of the comment.

        Raises:
            Conflict: The post has as many comments as it may.
        """
        article = self.article
        most = self.parent.settings.most_comments
        if len(article.comments) >= most:
            raise Conflict(f"{self.key}: has {most} comments already")
        key = str(article.next_comment)
        article.next_comment += 1
        article.comments[key] = Remark(author, text, dt.datetime.now(dt.UTC))
        self.save()
        return key

    def edit(self, text: Text) -> None:
        """Write the post anew.

        Args:
            text: The new text.
        """
        self.article.text = text
        self.save()

    @destructive
    def remove(self) -> None:
        """Take the post and its comments away."""
        self.parent.file(self.key).unlink()
        self.parent.forget(self.key)

    @hidden
    def save(self) -> None:
        """Write the post to its file."""
        self.parent.write(self.key, self.article)

    @rest("GET")
    def index(self, request: Request) -> Markup:
        """The post's page."""
        return self._as_page(request, self.article)

    @generator(show, content_type="text/html")
    def _as_page(self, request: Request, article: Article) -> Markup:
        comments = (
            html.li(html.b(remark.author), ": ", remark.text, value=key)
            for key, remark in article.comments.items()
        )
        return _page(
            article.title,
            html.article(article.text),
            html.p(_time(article.written), " ", html.a("All posts", href="../")),
            html.h2("Comments"),
            html.ol(comments),
            _form("comment", "Send", _line("Name", "author"), _text("Comment", 3)),
        )

    @generator(comment, "POST", content_type="text/html")
    def _back_to_page(self, request: Request, key: str) -> Response:
        # Loading the page again must not send the comment again.
        return redirect("./")


@register("blog")
class Blog(FactoryTool):
    """A blog."""

    settings = BlogSettings()
    children = (Post,)
    # As `create` makes them: a date and words. They are names of files, too.
    key_pattern = r"\d{4}-\d\d-\d\d(-[a-z0-9]{1,60}){1,20}"
    max_age = 600.0
    max_children = 100

    def on_start(self) -> None:
        """Find the folder of the posts."""
        self._temporary = None
        if self.settings.folder:
            self._folder = Path(self.settings.folder)
            self._folder.mkdir(parents=True, exist_ok=True)
        else:
            self._temporary = TemporaryDirectory(prefix="blog-")
            self._folder = Path(self._temporary.name)

    def on_close(self) -> None:
        """Remove the folder, if it goes with the server."""
        if self._temporary is not None:
            self._temporary.cleanup()

    def child_exists(self, key: str) -> bool:
        """Whether there is a post; its key has passed `key_pattern`."""
        return self.file(key).exists()

    def child_keys(self) -> list[str]:
        """The keys of all posts, the latest day first."""
        found = [file.stem for file in self._folder.glob("*.json")]
        return sorted(
            (key for key in found if re.fullmatch(self.key_pattern, key)), reverse=True
        )

    def create(self, title: Line, text: Text) -> str:
        """Publish a post.

        Args:
            title: Its title.
            text: Its text.

        Returns:
            Its key.

        Raises:
            Conflict: There are as many posts as there may be.
        """
        most = self.settings.most_posts
        if len(self.child_keys()) >= most:
            raise Conflict(f"there are {most} posts already")
        now = dt.datetime.now(dt.UTC)
        wanted = key = f"{now:%Y-%m-%d}-{_words(title)}"
        number = 1
        while self.file(key).exists():
            number += 1
            key = f"{wanted}-{number}"
        self.write(key, Article(title, text, now))
        return key

    @expose("list")
    @read_only
    def list_posts(self) -> list[Summary]:
        """The posts, the latest day first."""
        return [
            msgspec.convert(
                {"key": key, **msgspec.json.decode(self.file(key).read_bytes())},
                type=Summary,
            )
            for key in self.child_keys()
        ]

    @hidden
    def file(self, key: str) -> Path:
        """The file of a post.

        Args:
            key: A key that was checked.
        """
        return self._folder / f"{key}.json"

    @hidden
    def write(self, key: str, article: Article) -> None:
        """Write a post to its file, all of it or nothing.

        Args:
            key: Its key.
            article: The post.
        """
        new = self._folder / f"{key}.new"
        new.write_bytes(msgspec.json.encode(article))
        os.replace(new, self.file(key))

    @rest("GET")
    def index(self, request: Request) -> Markup:
        """The list of posts, and a form for another one."""
        posts = (
            html.li(html.a(post.title, href=f"{post.key}/"), " ", _time(post.written))
            for post in self.list_posts()
        )
        return _page(
            self.settings.title,
            html.ul(posts),
            html.h2("Write"),
            _form("create", "Publish", _line("Title", "title"), _text("Text", 8)),
        )

    @generator(create, "POST", content_type="text/html")
    def _to_the_post(self, request: Request, key: str) -> Response:
        return redirect(f"{key}/")


def _words(title: str) -> str:
    """The words of a title as they may stand in a key."""
    plain = unicodedata.normalize("NFKD", title).encode("ascii", "ignore").decode()
    words = re.findall(r"[a-z0-9]+", plain.lower())
    return "-".join(word[:30] for word in words[:8]) or "post"
