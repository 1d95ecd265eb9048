"""Static files: as values, and over a real server with real clients."""

import email.utils
import errno
import gzip
import http.client
import os
import re
import resource
import tempfile
import time
from contextlib import contextmanager
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import urljoin

import gevent
import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st

from toolserver.errors import Overload
from toolserver.http.transport import HTTPServer
from toolserver.message import FileBody, Headers, Request, Response
from toolserver.settings import Limits, ServerSettings, StaticSettings
from toolserver.web.conditional import format_date
from toolserver.web.filecache import FileCache
from toolserver.web.files import ListedFile, open_file
from toolserver.web.listings import listing
from toolserver.web.mediatypes import media_type_of
from toolserver.web.static import StaticFiles

TEXT = b"Hello, file!\n"
LARGE = bytes(range(256)) * 1024


@pytest.fixture
def www(tmp_path):
    root = tmp_path / "www"
    root.mkdir()
    (root / "a.txt").write_bytes(TEXT)
    (root / "large.bin").write_bytes(LARGE)
    return root


@pytest.fixture
def files(www):
    return StaticFiles(www, StaticSettings())


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """For tests that hypothesis repeats."""
    root = tmp_path_factory.mktemp("www")
    (root / "large.bin").write_bytes(LARGE)
    (root / "docs").mkdir()
    return StaticFiles(root, StaticSettings(listings=True))


def ask(files, path, method="GET", *, query="", **fields) -> Response:
    pairs = [(name.replace("_", "-"), value) for name, value in fields.items()]
    return files.serve(
        Request(method=method, path=path, query_string=query, headers=Headers(pairs))
    )


def content(response: Response) -> bytes:
    body = response.body
    if isinstance(body, FileBody):
        try:
            return os.pread(body.fileno(), body.length, body.offset)
        finally:
            body.close()
    return body if isinstance(body, bytes) else b"".join(body)


def field(response: Response, name: str) -> str | None:
    return dict(response.headers).get(name)


class TestPlainFiles:
    def test_small_file(self, files, www):
        answer = ask(files, "/a.txt")
        status = (www / "a.txt").stat()
        assert answer.status == 200
        assert answer.body == TEXT
        assert dict(answer.headers) == {
            "Content-Type": "text/plain; charset=utf-8",
            "Cache-Control": "no-cache",
            "Last-Modified": format_date(status.st_mtime),
            "ETag": f'"{status.st_mtime_ns:x}-{len(TEXT):x}"',
            "Accept-Ranges": "bytes",
            "X-Content-Type-Options": "nosniff",
        }

    def test_large_file_is_sent_from_disk(self, files):
        answer = ask(files, "/large.bin")
        assert isinstance(answer.body, FileBody)
        assert answer.body.length == len(LARGE)
        assert content(answer) == LARGE

    @pytest.mark.parametrize("path", ["/none", "/", "/a.txt/", "/../a.txt", "//a.txt"])
    def test_nothing_there(self, files, path):
        assert ask(files, path) is None
        assert ask(files, path, "POST") is None

    def test_the_folder_may_appear_later(self, tmp_path):
        files = StaticFiles(tmp_path / "later", StaticSettings())
        assert ask(files, "/a.txt") is None
        (tmp_path / "later").mkdir()
        (tmp_path / "later" / "a.txt").write_bytes(TEXT)
        assert content(ask(files, "/a.txt")) == TEXT

    def test_empty_file(self, files, www):
        (www / "empty.txt").touch()
        assert content(ask(files, "/empty.txt")) == b""
        assert ask(files, "/empty.txt", range="bytes=0-0").status == 200

    def test_names_beyond_ascii(self, files, www):
        (www / "grüße €.txt").write_bytes(TEXT)
        (www / os.fsdecode(b"latin-\xfc.txt")).write_bytes(TEXT)
        assert content(ask(files, "/grüße €.txt")) == TEXT
        assert content(ask(files, "/latin-\udcfc.txt")) == TEXT

    @pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "TRACE", "X"])
    def test_other_verbs(self, files, method):
        for path in ("/a.txt", "/large.bin"):
            answer = ask(files, path, method)
            assert answer.status == 405
            assert field(answer, "Allow") == "GET, HEAD, OPTIONS"

    def test_options(self, files):
        answer = ask(files, "/a.txt", "OPTIONS")
        assert answer.status == 204
        assert field(answer, "Allow") == "GET, HEAD, OPTIONS"

    def test_max_age(self, www):
        files = StaticFiles(www, StaticSettings(max_age=60))
        assert field(ask(files, "/a.txt"), "Cache-Control") == "max-age=60"

    def test_times_out_of_range_are_clamped(self, files, www):
        os.utime(www / "a.txt", (2**33, 2**33))
        modified = field(ask(files, "/a.txt"), "Last-Modified")
        assert abs(email.utils.parsedate_to_datetime(modified).timestamp()) < 2**32
        os.utime(www / "a.txt", (-5, -5))
        expected = "Thu, 01 Jan 1970 00:00:00 GMT"
        assert field(ask(files, "/a.txt"), "Last-Modified") == expected

    @pytest.mark.parametrize(
        ("name", "expected"),
        [
            ("a.html", "text/html; charset=utf-8"),
            ("A.HTML", "text/html; charset=utf-8"),
            ("a.js", "text/javascript; charset=utf-8"),
            ("a.mjs", "text/javascript; charset=utf-8"),
            ("a.css", "text/css; charset=utf-8"),
            ("a.md", "text/markdown; charset=utf-8"),
            ("a.json", "application/json"),
            ("a.xml", "application/xml"),
            ("a.svg", "image/svg+xml"),
            ("a.wasm", "application/wasm"),
            ("a.webp", "image/webp"),
            ("a.avif", "image/avif"),
            ("a.woff2", "font/woff2"),
            ("a.webmanifest", "application/manifest+json"),
            ("a.tar.gz", "application/gzip"),
            ("a.unknown", "application/octet-stream"),
            ("README", "application/octet-stream"),
            (".txt", "application/octet-stream"),
            ("txt", "application/octet-stream"),
            ("a.", "application/octet-stream"),
        ],
    )
    def test_media_types(self, name, expected):
        assert media_type_of(name) == expected


class TestMemory:
    def test_the_same_answer_is_used_again(self, files):
        assert ask(files, "/a.txt") is ask(files, "/a.txt")

    def test_an_edited_file_is_seen_at_once(self, files, www):
        first = ask(files, "/a.txt")
        (www / "a.txt").write_bytes(b"edited")
        second = ask(files, "/a.txt")
        assert second.body == b"edited"
        assert field(first, "ETag") != field(second, "ETag")

    def test_a_file_edited_in_secret_is_seen(self, files, www):
        before = (www / "a.txt").stat()
        ask(files, "/a.txt")
        (www / "a.txt").write_bytes(TEXT.upper())
        os.utime(www / "a.txt", ns=(before.st_atime_ns, before.st_mtime_ns))
        assert ask(files, "/a.txt").body == TEXT.upper()

    def test_a_file_replaced_by_a_link_out_is_gone(self, files, www):
        (www.parent / "secret").write_bytes(TEXT)
        assert ask(files, "/a.txt") is not None
        (www / "a.txt").unlink()
        (www / "a.txt").symlink_to("../secret")
        assert ask(files, "/a.txt") is None

    def test_a_removed_file_is_gone(self, files, www):
        for name in ("a.txt", "large.bin"):
            assert content(ask(files, f"/{name}"))
            (www / name).unlink()
            assert ask(files, f"/{name}") is None

    def test_large_files_follow_their_changes(self, files, www):
        ask(files, "/large.bin").close()
        (www / "large.bin").write_bytes(LARGE * 2)
        answer = ask(files, "/large.bin")
        assert answer.body.length == 2 * len(LARGE)
        assert content(answer) == LARGE * 2

    def test_sizes_at_the_bound(self, www):
        files = StaticFiles(www, StaticSettings(cached_file=len(TEXT)))
        (www / "more.txt").write_bytes(TEXT + b"!")
        assert isinstance(ask(files, "/a.txt").body, bytes)
        answer = ask(files, "/more.txt")
        assert isinstance(answer.body, FileBody)
        answer.close()

    def test_memory_is_bounded(self, www):
        bound = 50_000
        files = StaticFiles(www, StaticSettings(cache_size=bound))
        for number in range(40):
            (www / f"{number}.txt").write_bytes(b"x" * 5000)
        for number in range(40):
            assert content(ask(files, f"/{number}.txt")) == b"x" * 5000
            assert files._cache.size <= bound
        assert 3 <= len(files._cache) < 40

    def test_what_was_not_asked_for_goes_first(self, www):
        files = StaticFiles(www, StaticSettings(cache_size=8000))
        for name in "bcd":
            (www / name).write_bytes(b"")
        kept = ask(files, "/a.txt")
        for name in "bcdb":
            ask(files, f"/{name}")
            assert ask(files, "/a.txt") is kept

    def test_a_folder_and_its_index_count_once(self, www, files):
        (www / "sub").mkdir()
        (www / "sub" / "index.html").write_bytes(TEXT)
        for path in ("/sub/", "/sub", "/sub/", "/sub"):
            ask(files, path)
        assert len(files._cache) == 1
        (www / "sub" / "index.html").unlink()
        assert ask(files, "/sub/") is None
        assert files._cache.size == 0

    def test_a_file_replaced_between_a_look_and_its_opening(
        self, files, www, monkeypatch
    ):
        ask(files, "/large.bin").close()

        def replace_first(root, names):
            (www / "large.bin").write_bytes(LARGE[:-1])
            return open_file(root, names)

        monkeypatch.setattr("toolserver.web.static.open_file", replace_first)
        answer = ask(files, "/large.bin", range=f"bytes=0-{len(LARGE)}")
        size = len(LARGE) - 1
        assert field(answer, "Content-Range") == f"bytes 0-{size - 1}/{size}"
        assert field(answer, "ETag").endswith(f'-{size:x}"')
        assert content(answer) == LARGE[:-1]

    @pytest.mark.parametrize("times", [1, 3])
    def test_a_file_written_while_it_is_read(self, files, www, monkeypatch, times):
        written = []
        pread = os.pread

        def write_after(opened, size, offset):
            found = pread(opened, size, offset)
            if len(written) < times:
                written.append(b"x")
                (www / "a.txt").write_bytes(TEXT + b"".join(written))
            return found

        monkeypatch.setattr(os, "pread", write_after)
        answer = ask(files, "/a.txt")
        assert isinstance(answer.body, bytes if times == 1 else FileBody)
        monkeypatch.undo()
        assert content(answer) == TEXT + b"x" * times
        assert field(answer, "ETag").endswith(f'-{len(TEXT) + times:x}"')

    def test_no_memory_at_all(self, www):
        files = StaticFiles(www, StaticSettings(cache_size=0, cached_file=0))
        assert content(ask(files, "/a.txt")) == TEXT
        assert len(files._cache) == 0

    def test_an_entry_is_found_once(self):
        cache = FileCache(1000)
        assert cache.get("/none") is None
        assert cache.size == 0


class TestConditions:
    @pytest.mark.parametrize("path", ["/a.txt", "/large.bin"])
    def test_not_modified(self, files, path):
        first = ask(files, path)
        first.close()
        tag, date = field(first, "ETag"), field(first, "Last-Modified")
        for fields in (
            {"if_none_match": tag},
            {"if_none_match": f'"x", W/{tag}'},
            {"if_none_match": "*"},
            {"if_modified_since": date},
        ):
            for method in ("GET", "HEAD"):
                answer = ask(files, path, method, **fields)
                assert answer.status == 304
                assert answer.body == b""
                assert field(answer, "ETag").removeprefix("W/") == tag
                assert field(answer, "Cache-Control") == "no-cache"
                assert field(answer, "Content-Type") is None

    def test_modified(self, files):
        answer = ask(files, "/a.txt", if_none_match='"other"')
        assert answer.status == 200
        past = format_date(time.time() - 3600)
        assert ask(files, "/a.txt", if_modified_since=past).status == 200

    def test_failed_preconditions(self, files):
        past = format_date(time.time() - 3600)
        assert ask(files, "/a.txt", if_match='"other"').status == 412
        assert ask(files, "/a.txt", if_unmodified_since=past).status == 412
        assert ask(files, "/large.bin", if_match='"other"').status == 412

    def test_preconditions_come_before_ranges(self, files):
        tag = field(ask(files, "/a.txt"), "ETag")
        answer = ask(files, "/a.txt", if_none_match=tag, range="bytes=0-1")
        assert answer.status == 304


class TestRanges:
    @pytest.mark.parametrize(
        ("text", "span"),
        [
            ("bytes=0-4", range(5)),
            ("bytes=7-", range(7, len(LARGE))),
            ("bytes=-6", range(len(LARGE) - 6, len(LARGE))),
            ("bytes=5-5", range(5, 6)),
            (f"bytes=10-{10**12}", range(10, len(LARGE))),
            (f"bytes=1-2,{len(LARGE)}-", range(1, 3)),
        ],
    )
    def test_one_span(self, files, text, span):
        answer = ask(files, "/large.bin", range=text)
        expected = f"bytes {span.start}-{span.stop - 1}/{len(LARGE)}"
        assert answer.status == 206
        assert field(answer, "Content-Range") == expected
        assert field(answer, "Content-Type") == "application/octet-stream"
        assert content(answer) == LARGE[span.start : span.stop]

    def test_one_span_of_a_small_file(self, files):
        whole = ask(files, "/a.txt")
        answer = ask(files, "/a.txt", range="bytes=7-10")
        assert answer.status == 206
        assert answer.body == b"file"
        assert field(answer, "ETag") == field(whole, "ETag")
        assert whole.body == TEXT
        assert field(whole, "Content-Range") is None

    @pytest.mark.parametrize("path", ["/a.txt", "/large.bin"])
    def test_outside(self, files, path):
        answer = ask(files, path, range="bytes=999999-")
        size = len(TEXT if path == "/a.txt" else LARGE)
        assert answer.status == 416
        assert field(answer, "Content-Range") == f"bytes */{size}"

    @pytest.mark.parametrize("text", ["bytes=5-4", "lines=1-2", "bytes=0-1,1-2", "x"])
    def test_ignored(self, files, text):
        answer = ask(files, "/large.bin", range=text)
        assert answer.status == 200
        assert content(answer) == LARGE

    def test_head_has_no_ranges(self, files):
        assert ask(files, "/a.txt", "HEAD", range="bytes=0-1").status == 200

    def test_if_range(self, files):
        first = ask(files, "/a.txt")
        for condition, status in (
            (field(first, "ETag"), 206),
            (field(first, "Last-Modified"), 206),
            ('"old"', 200),
            (format_date(0), 200),
        ):
            answer = ask(files, "/a.txt", range="bytes=0-1", if_range=condition)
            assert answer.status == status

    @given(
        st.lists(st.integers(0, len(LARGE) - 1), min_size=4, max_size=8, unique=True)
    )
    def test_several_spans(self, shared, cuts):
        cuts.sort()
        spans = [range(a, b) for a, b in zip(cuts[::2], cuts[1::2], strict=False)]
        spans.reverse()
        text = ",".join(f"{span.start}-{span.stop - 1}" for span in spans)
        answer = ask(shared, "/large.bin", range=f"bytes={text}")
        assert answer.status == 206
        kind = field(answer, "Content-Type")
        body = content(answer)
        answer.close()
        assert len(body) == int(field(answer, "Content-Length"))
        assert field(answer, "Content-Range") is None
        parts = multipart(kind, body)
        assert [part for _, part in parts] == [LARGE[s.start : s.stop] for s in spans]
        assert [head["content-range"] for head, _ in parts] == [
            f"bytes {s.start}-{s.stop - 1}/{len(LARGE)}" for s in spans
        ]

    def test_several_spans_of_a_small_file(self, files):
        answer = ask(files, "/a.txt", range="bytes=0-4,7-10")
        parts = multipart(field(answer, "Content-Type"), content(answer))
        assert [part for _, part in parts] == [b"Hello", b"file"]
        assert parts[0][0]["content-type"] == "text/plain; charset=utf-8"

    def test_a_file_that_shrinks_breaks_off(self, files, www):
        answer = ask(files, "/large.bin", range="bytes=0-1,200000-200001")
        os.truncate(www / "large.bin", 1000)
        with pytest.raises(EOFError, match="ended at byte 200000"):
            content(answer)
        answer.close()


def multipart(kind: str, body: bytes) -> list[tuple[dict[str, str], bytes]]:
    """Parts by the grammar of RFC 2046, and that nothing is between them."""
    found = re.fullmatch(r"multipart/byteranges; boundary=([0-9a-f]{32})", kind)
    first, *pieces = body.split(b"\r\n--" + found[1].encode())
    assert first == b""
    assert pieces.pop() == b"--\r\n"
    parts = []
    for piece in pieces:
        head, data = piece.removeprefix(b"\r\n").split(b"\r\n\r\n", 1)
        lines = [line.split(": ", 1) for line in head.decode().split("\r\n")]
        parts.append(({name.lower(): value for name, value in lines}, data))
    return parts


class TestNeighbours:
    @pytest.fixture
    def styled(self, www):
        (www / "s.css").write_bytes(b"plain " * 100)
        (www / "s.css.gz").write_bytes(gzip.compress(b"plain " * 100))
        (www / "s.css.br").write_bytes(b"as if by brotli")
        return www

    @pytest.mark.parametrize(
        ("accept", "coding"),
        [
            (None, None),
            ("", None),
            ("gzip", "gzip"),
            ("gzip, br", "br"),
            ("gzip, deflate, br;q=0.5", "gzip"),
            ("br;q=0, gzip;q=0", None),
            ("*", "br"),
            ("identity;q=1, gzip;q=0.5", None),
            ("zstd", None),
        ],
    )
    def test_choice(self, styled, files, accept, coding):
        fields = {} if accept is None else {"accept_encoding": accept}
        for _ in range(2):
            answer = ask(files, "/s.css", **fields)
            end = {None: "", "gzip": ".gz", "br": ".br"}[coding]
            assert content(answer) == (styled / f"s.css{end}").read_bytes()
            assert field(answer, "Content-Encoding") == coding
            assert field(answer, "Content-Type") == "text/css; charset=utf-8"
            assert field(answer, "Vary") == "Accept-Encoding"

    def test_each_has_a_tag_of_its_own(self, styled, files):
        answers = [
            ask(files, "/s.css", accept_encoding=coding)
            for coding in ("identity", "gzip", "br")
        ]
        assert len({field(answer, "ETag") for answer in answers}) == 3
        for answer, coding in zip(answers, ("identity", "gzip", "br"), strict=True):
            tag = field(answer, "ETag")
            again = ask(
                files, "/s.css", accept_encoding=coding, if_none_match=f'"x", {tag}'
            )
            assert again.status == 304
            assert field(again, "ETag") == tag
            assert field(again, "Vary") == "Accept-Encoding"

    def test_ranges_are_of_the_encoded_bytes(self, styled, files):
        answer = ask(files, "/s.css", accept_encoding="br", range="bytes=0-4")
        assert content(answer) == b"as if"
        assert field(answer, "Content-Encoding") == "br"

    def test_asked_for_by_name_it_is_a_file_like_others(self, styled, files):
        answer = ask(files, "/s.css.gz", accept_encoding="gzip")
        assert field(answer, "Content-Type") == "application/gzip"
        assert field(answer, "Content-Encoding") is None

    def test_alone_it_stands_for_nothing(self, files, www):
        (www / "lone.css.gz").write_bytes(b"x")
        assert ask(files, "/lone.css", accept_encoding="gzip") is None

    def test_older_ones_are_left_aside(self, styled, files):
        os.utime(styled / "s.css.br", (1, 1))
        answer = ask(files, "/s.css", accept_encoding="br, gzip;q=0.1")
        assert field(answer, "Content-Encoding") == "gzip"

    def test_switched_off(self, styled):
        files = StaticFiles(styled, StaticSettings(precompressed=False))
        answer = ask(files, "/s.css", accept_encoding="br")
        assert field(answer, "Content-Encoding") is None
        assert field(answer, "Vary") is None

    def test_large_ones(self, styled, files):
        (styled / "s.css.gz").write_bytes(LARGE)
        answer = ask(files, "/s.css", accept_encoding="gzip")
        assert isinstance(answer.body, FileBody)
        assert content(answer) == LARGE
        assert field(answer, "Content-Encoding") == "gzip"

    def test_one_that_vanishes_leaves_the_file(self, styled, files):
        ask(files, "/s.css", accept_encoding="br")
        (styled / "s.css.br").unlink()
        answer = ask(files, "/s.css", accept_encoding="br")
        assert content(answer) == b"plain " * 100

    def test_one_that_leads_out_leaves_the_file(self, styled, files):
        (styled.parent / "secret").write_bytes(b"secret")
        (styled / "s.css.br").unlink()
        (styled / "s.css.br").symlink_to("../secret")
        answer = ask(files, "/s.css", accept_encoding="br")
        assert content(answer) == b"plain " * 100

    def test_a_new_one_is_found_before_long(self, www, files):
        assert content(ask(files, "/a.txt", accept_encoding="br")) == TEXT
        (www / "a.txt.br").write_bytes(b"new")
        with gevent.Timeout(10):
            while content(ask(files, "/a.txt", accept_encoding="br")) != b"new":
                gevent.sleep(0.05)


class TestFolders:
    @pytest.fixture
    def docs(self, www):
        (www / "docs").mkdir()
        (www / "docs" / "index.html").write_bytes(b"<p>index")
        return www / "docs"

    def test_index(self, docs, files):
        answer = ask(files, "/docs/")
        assert answer.body == b"<p>index"
        assert field(answer, "Content-Type") == "text/html; charset=utf-8"
        assert ask(files, "/docs/", "POST").status == 405

    def test_index_names_in_order(self, docs):
        settings = StaticSettings(index=("none.html", "index.htm", "index.html"))
        files = StaticFiles(docs.parent, settings)
        assert ask(files, "/docs/").body == b"<p>index"

    def test_index_names_lead_nowhere_else(self, docs):
        (docs.parent / ".htm").write_bytes(b"hidden")
        settings = StaticSettings(index=("../a.txt", "../.htm", ".htm", "/a.txt", ""))
        files = StaticFiles(docs.parent, settings)
        assert ask(files, "/docs/") is None
        assert ask(files, "/") is None

    def test_an_index_that_is_a_folder_is_none(self, docs, files):
        (docs / "index.html").unlink()
        (docs / "index.html").mkdir()
        assert ask(files, "/docs/") is None

    @pytest.mark.parametrize("method", ["GET", "HEAD"])
    def test_slash_is_added(self, docs, files, method):
        answer = ask(files, "/docs", method, query="a=1&b=%20/?")
        assert answer.status == 301
        assert field(answer, "Location") == "./docs/?a=1&b=%20/?"

    def test_no_slash_where_nothing_would_come(self, www, files):
        (www / "bare").mkdir()
        assert ask(files, "/bare") is None
        assert ask(files, "/bare/") is None

    def test_only_reading_is_redirected(self, docs, files):
        assert ask(files, "/docs", "POST") is None

    @pytest.mark.parametrize("name", ["a:b", "javascript:alert(1)", "é ü", "%2f", "@x"])
    def test_redirects_stay_here(self, www, files, name):
        (www / name).mkdir()
        (www / name / "index.html").write_bytes(TEXT)
        location = field(ask(files, f"/{name}"), "Location")
        target = urljoin(f"http://here.example/{name}", location)
        assert target.startswith("http://here.example/")
        assert location.isascii()

    @pytest.mark.parametrize(
        "path",
        ["//evil.example", "//evil.example/docs", "/\\evil", "///docs", "//docs"],
    )
    def test_no_open_redirect(self, docs, path):
        files = StaticFiles(docs.parent, StaticSettings(listings=True))
        assert ask(files, path) is None

    @given(st.text(max_size=20), st.text(max_size=20))
    def test_locations_are_safe(self, shared, path, query):
        answer = ask(shared, path, query=query) or ask(shared, "/docs", query=query)
        if (location := field(answer, "Location")) is not None:
            assert re.fullmatch(r"\./[!-~]+/(\?[!-~]*)?", location)


class Links(HTMLParser):
    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str] = []
        self.names: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.links += [value for name, value in attrs if name == "href"]

    def handle_data(self, data):
        if self.tags and self.tags[-1] == "bdi":
            self.names.append(data)
            self.tags.append("")


class TestListings:
    @pytest.fixture
    def listed(self, www):
        return StaticFiles(www, StaticSettings(listings=True))

    def page(self, listed, path="/"):
        answer = ask(listed, path)
        assert answer.status == 200
        return answer, Links(answer.body.decode())

    def test_off_by_default(self, files):
        assert ask(files, "/") is None

    def test_members_in_order(self, listed, www):
        for name in ("b.txt", "B2.txt", ".hidden", "c.txt"):
            (www / name).write_bytes(b"")
        (www / "z").mkdir()
        os.mkfifo(www / "pipe")
        _, page = self.page(listed)
        names = ["z/", "a.txt", "b.txt", "B2.txt", "c.txt", "large.bin"]
        assert page.names == names
        assert page.links == [f"./{name}" for name in names]

    def test_sizes_and_times(self, listed, www):
        os.utime(www / "large.bin", (86400, 86400))
        text = self.page(listed)[0].body.decode()
        assert "256.0 KiB" in text
        assert "13 B" in text
        assert '<time datetime="1970-01-02T00:00:00Z">1970-01-02 00:00</time>' in text

    def test_index_comes_first(self, listed, www):
        (www / "index.html").write_bytes(b"index")
        assert ask(listed, "/").body == b"index"

    def test_parent_and_slash(self, listed, www):
        (www / "sub").mkdir()
        assert ask(listed, "/sub").status == 301
        assert self.page(listed, "/sub/")[1].links == ["../"]

    @pytest.mark.parametrize("path", ["/none/", "/a.txt/", "/.hidden/"])
    def test_only_folders(self, listed, www, path):
        (www / ".hidden").mkdir()
        assert ask(listed, path) is None

    def test_protective_headers(self, listed):
        answer, page = self.page(listed)
        policy = field(answer, "Content-Security-Policy")
        assert "default-src 'self'" in policy
        assert "frame-ancestors 'none'" in policy
        assert field(answer, "X-Content-Type-Options") == "nosniff"
        assert field(answer, "Referrer-Policy") == "no-referrer"
        assert "script" not in page.tags

    @pytest.mark.parametrize(
        "name",
        [
            b"<script>alert(1)<",
            b"\"onclick='x'",
            b"&amp;",
            b"javascript:alert(1)",
            b"a?b#c%2f",
            b"latin-\xfc.txt",
            "grüße €.txt".encode(),
            "\u202etxt.exe".encode(),
            b"{0}{title}",
        ],
    )
    def test_any_name_is_harmless_and_works(self, listed, www, name):
        (www / "sub").mkdir()
        path = os.fsencode(www) + b"/sub/" + name
        with open(path, "wb") as file:
            file.write(name)
        _, page = self.page(listed, "/sub/")
        assert page.tags.count("a") == 2
        assert page.names == [name.decode("utf-8", "replace")]
        target = urljoin("http://h/sub/", page.links[1])
        assert target.startswith("http://h/sub/")
        request = Request().replace(raw_path=target.removeprefix("http://h"))
        assert content(listed.serve(request)) == name

    def test_extremes(self):
        files = [
            ListedFile("huge", False, 5 * 1024**5, 1e18),
            ListedFile("edge", False, 1024**2 - 1, -1e18),
            ListedFile("mid", False, 1536, 0),
        ]
        text = listing("/", files, has_more=False).body.decode()
        assert "5120.0 TiB" in text
        assert "1.0 MiB" in text
        assert "1.5 KiB" in text

    def test_says_where_it_ends(self, listed, www, monkeypatch):
        monkeypatch.setattr("toolserver.web.static._LISTED", 1)
        assert b"more files than are listed" in self.page(listed)[0].body


class TestTrouble:
    def test_too_many_open_files(self, files):
        before = resource.getrlimit(resource.RLIMIT_NOFILE)
        ask(files, "/a.txt")
        ask(files, "/large.bin").close()
        lowest = os.open("/dev/null", os.O_RDONLY)
        os.close(lowest)
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (lowest, before[1]))
            with pytest.raises(Overload) as caught:
                ask(files, "/large.bin")
            assert caught.value.status == 503
            assert caught.value.__cause__.errno == errno.EMFILE
            # What is in memory needs no descriptor.
            assert ask(files, "/a.txt").body == TEXT
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, before)
        assert content(ask(files, "/large.bin")) == LARGE

    def test_what_may_not_be_read_is_not_there(self, caplog):
        with tempfile.TemporaryDirectory() as folder, unprivileged(folder):
            root = Path(folder) / "www"
            root.mkdir()
            (root / "shut").mkdir()
            for name in ("a.txt", "shut/b.txt"):
                (root / name).write_bytes(TEXT)
            files = StaticFiles(root, StaticSettings(listings=True))
            assert ask(files, "/a.txt").body == TEXT
            (root / "a.txt").chmod(0)
            (root / "shut").chmod(0)
            try:
                for path in ("/a.txt", "/shut/b.txt", "/shut/"):
                    caplog.clear()
                    assert ask(files, path) is None
                    assert "Permission denied" in caplog.text
            finally:
                (root / "shut").chmod(0o700)

    def test_a_folder_may_be_passed_that_may_not_be_read(self):
        with tempfile.TemporaryDirectory() as folder, unprivileged(folder):
            root = Path(folder)
            (root / "pass").mkdir()
            (root / "pass" / "a.txt").write_bytes(TEXT)
            (root / "pass").chmod(0o100)
            files = StaticFiles(root, StaticSettings())
            assert ask(files, "/pass/a.txt").body == TEXT
            (root / "pass").chmod(0o700)

    def test_other_failures_are_told(self, files, monkeypatch):
        def fail(root, names):
            raise OSError(errno.EIO, "broken disk")

        monkeypatch.setattr("toolserver.web.static.open_file", fail)
        with pytest.raises(OSError, match="broken disk"):
            ask(files, "/a.txt")

    def test_no_descriptors_are_left_open(self, files, www):
        (www / "sub").mkdir()
        listed = StaticFiles(www, StaticSettings(listings=True))
        before = set(os.listdir("/proc/self/fd"))
        for path in ("/a.txt", "/large.bin", "/none", "/sub", "/sub/", "/"):
            for fields in (
                {},
                {"range": "bytes=0-1"},
                {"range": "bytes=0-1,3-4"},
                {"range": "bytes=99999999-"},
                {"if_none_match": "*"},
                {"if_match": '"x"'},
            ):
                answer = ask(listed, path, **fields)
                if answer is not None:
                    answer.close()
        left = set(os.listdir("/proc/self/fd")) - before
        assert not [n for n in left if str(www) in link_of(n)]


@contextmanager
def unprivileged(folder: str):
    """Do without the superuser's rights, to whom every file is readable."""
    if os.geteuid() != 0:
        yield
        return
    os.chown(folder, 65534, 65534)
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


def link_of(number: str) -> str:
    try:
        return os.readlink(f"/proc/self/fd/{number}")
    except OSError:
        return ""


class TestOverTheWire:
    @pytest.fixture
    def server(self, www):
        (www / "huge.bin").write_bytes(LARGE * 20)
        (www / "s.css").write_bytes(b"plain " * 100)
        (www / "s.css.gz").write_bytes(gzip.compress(b"plain " * 100))
        files = StaticFiles(www, StaticSettings(listings=True))

        def handler(request):
            return files.serve(request) or Response("nothing", status=404)

        server = HTTPServer(handler, settings=ServerSettings(port=0), limits=Limits())
        server.listen()
        server.start()
        yield server
        server.stop(1)

    @pytest.fixture
    def url(self, server):
        host, port = server.address
        return f"http://{host}:{port}"

    @pytest.fixture
    def session(self):
        with requests.Session() as session:
            session.trust_env = False
            yield session

    def test_small_and_huge_files(self, session, url):
        for _ in range(2):
            assert session.get(f"{url}/a.txt").content == TEXT
            answer = session.get(f"{url}/huge.bin")
            assert answer.headers["Content-Length"] == str(20 * len(LARGE))
            assert answer.content == LARGE * 20

    @pytest.mark.parametrize(
        ("path", "size"), [("/a.txt", len(TEXT)), ("/huge.bin", 20 * len(LARGE))]
    )
    def test_head(self, server, path, size):
        client = http.client.HTTPConnection(*server.address, timeout=5)
        for _ in range(2):
            client.request("HEAD", path)
            answer = client.getresponse()
            assert answer.status == 200
            assert answer.headers["Content-Length"] == str(size)
            assert answer.read() == b""
        client.close()

    def test_ranges(self, session, url):
        answer = session.get(f"{url}/huge.bin", headers={"Range": "bytes=-300"})
        assert answer.status_code == 206
        assert answer.content == (LARGE * 2)[-300:]
        answer = session.get(f"{url}/huge.bin", headers={"Range": "bytes=0-1,70000-"})
        parts = multipart(answer.headers["Content-Type"], answer.content)
        assert [part for _, part in parts] == [LARGE[:2], (LARGE * 20)[70000:]]
        answer = session.get(f"{url}/a.txt", headers={"Range": "bytes=99-"})
        assert answer.status_code == 416
        assert answer.headers["Content-Range"] == f"bytes */{len(TEXT)}"

    def test_not_modified_keeps_the_connection(self, server, session, url):
        first = session.get(f"{url}/a.txt")
        tag = first.headers["ETag"]
        for _ in range(3):
            answer = session.get(f"{url}/a.txt", headers={"If-None-Match": tag})
            assert answer.status_code == 304
            assert answer.content == b""
            assert answer.headers["ETag"] == tag
        assert session.get(f"{url}/a.txt").content == TEXT
        assert server.connections == 1

    def test_precompressed(self, session, url):
        answer = session.get(f"{url}/s.css", headers={"Accept-Encoding": "gzip"})
        assert answer.headers["Content-Encoding"] == "gzip"
        assert answer.content == b"plain " * 100

    def test_paths_as_clients_send_them(self, server, www):
        (www.parent / "secret.txt").write_bytes(b"secret")
        client = http.client.HTTPConnection(*server.address, timeout=5)
        for path in (
            "/../secret.txt",
            "/%2e%2e/secret.txt",
            "/..%2fsecret.txt",
            "/%2e%2e%2fsecret.txt",
            "/a.txt%00.png",
            "/..%5csecret.txt",
            "/%252e%252e/secret.txt",
            "//a.txt",
        ):
            client.request("GET", path)
            answer = client.getresponse()
            assert answer.status in (400, 404)
            assert b"secret" not in answer.read()
            if answer.will_close:
                client.close()
        client.close()

    def test_redirect_is_followed(self, session, url, www):
        (www / "sub").mkdir()
        (www / "sub" / "index.html").write_bytes(b"index")
        answer = session.get(f"{url}/sub?x=1")
        assert answer.content == b"index"
        assert answer.url == f"{url}/sub/?x=1"

    def test_many_at_once(self, url):
        def load(_):
            return requests.get(f"{url}/huge.bin", timeout=30).content == LARGE * 20

        jobs = [gevent.spawn(load, number) for number in range(8)]
        gevent.joinall(jobs, raise_error=True)
        assert all(job.value for job in jobs)
