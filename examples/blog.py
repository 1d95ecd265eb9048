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
    read_only,
    redirect,
    register,
    rest,
)
from toolserver.errors import Conflict

Line = Annotated[str, Meta(min_length=1, max_length=100)]
Text = Annotated[str, Meta(min_length=1, max_length=20_000)]

_PAGE = Markup(
    """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>{title}</title>
<style>
:root {{ color-scheme: light dark; }}
body {{ font: 1rem/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 40rem;
       padding: 0 1rem; overflow-wrap: anywhere; }}
input, textarea {{ font: inherit; width: 100%; box-sizing: border-box; }}
article, li {{ white-space: pre-line; }}
</style>
<h1>{title}</h1>
{body}
</html>
"""
)
_BLOG = Markup(
    """<ul>{posts}</ul>
<h2>Write</h2>
<form method="post" action="create">
<label>Title <input name="title" required maxlength="100"></label>
<label>Text <textarea name="text" rows="8" required></textarea></label>
<button>Publish</button>
</form>"""
)
_BLOG_ITEM = Markup('<li><a href="{key}/">{title}</a> <time>{written:%Y-%m-%d}</time>')
_POST = Markup(
    """<article>{text}</article>
<p><time>{written:%Y-%m-%d %H:%M}</time> <a href="../">All posts</a>
<h2>Comments</h2>
<ol>{comments}</ol>
<form method="post" action="comment">
<label>Name <input name="author" required maxlength="100"></label>
<label>Comment <textarea name="text" rows="3" required></textarea></label>
<button>Send</button>
</form>"""
)
_COMMENT = Markup('<li value="{key}"><b>{author}</b>: {text}')


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
        return self._page(request, self.article)

    @generator(show, content_type="text/html")
    def _page(self, request: Request, article: Article) -> Markup:
        comments = [
            _COMMENT.format(key=key, author=remark.author, text=remark.text)
            for key, remark in article.comments.items()
        ]
        body = _POST.format(
            text=article.text,
            written=article.written,
            comments=Markup("").join(comments),
        )
        return _PAGE.format(title=article.title, body=body)

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
        posts = [
            _BLOG_ITEM.format(key=post.key, title=post.title, written=post.written)
            for post in self.list_posts()
        ]
        body = _BLOG.format(posts=Markup("").join(posts))
        return _PAGE.format(title=self.settings.title, body=body)

    @generator(create, "POST", content_type="text/html")
    def _to_the_post(self, request: Request, key: str) -> Response:
        return redirect(f"{key}/")


def _words(title: str) -> str:
    """The words of a title as they may stand in a key."""
    plain = unicodedata.normalize("NFKD", title).encode("ascii", "ignore").decode()
    words = re.findall(r"[a-z0-9]+", plain.lower())
    return "-".join(word[:30] for word in words[:8]) or "post"
